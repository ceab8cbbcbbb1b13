/** Programs, opened from source, on each backend that tests run on. */
import type * as Core from "../../compiler/core/ir.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { ndarray } from "../../compiler/core/ndarray.ts";
import { elementCount, type HostArray, hostArray, type Tensor } from "../../runtime/dtype.ts";
import { defaultInput } from "../../runtime/random.ts";
import type { Results } from "./compare.ts";

export type Choices = {
  readonly entry?: string;
  readonly dims?: Readonly<Record<string, number>>;
  readonly mesh?: Readonly<Record<string, number>>;
};
/** Inputs by path, as functions of their indices; those not given are as `gyre run` makes them for seed 0. */
export type Inputs = Readonly<Record<string, ((...index: number[]) => number) | undefined>>;
export type Opened = {
  readonly core: Core.Program;
  readonly ports: readonly Core.Port[];
  readonly inputs: (given: Inputs) => ReadonlyMap<string, Tensor>;
};
export type Backend = {
  readonly name: string;
  /** Whether it is there on this machine. */
  readonly ready: boolean;
  /** Computes in float64. */
  readonly exact: boolean;
  readonly run: (program: Opened, inputs: ReadonlyMap<string, Tensor>) => Promise<Results>;
};
