/** What a kernel is made of before it is one: equations of Core, what they take from outside, and what is stored. */
import type { Dim } from "../../base/dim.ts";
import type { Span } from "../../base/span.ts";
import type { Atom, Eqn, Index, OpEqn, Var } from "../../core/ir.ts";

/** Where a variable that the kernel does not compute comes from. */
export type Captured =
  | { readonly kind: "array"; readonly array: number; readonly name: string; readonly shape: readonly number[] }
  | { readonly kind: "eqn"; readonly eqn: OpEqn }
  | { readonly kind: "step"; readonly loop: number; readonly count: number };

/** One dimension of what is stored: which dimension of the value runs along it, if any, and which grid axis it is. */
export type StoreDim = { readonly size: Dim; readonly value: number | undefined; readonly grid: string | undefined };
export type StoreSpec = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly access: "write" | "update";
  readonly value: Atom;
  readonly dims: readonly StoreDim[];
  /** Where the value's rows of a dimension go, for an update: moved so that they fit. */
  readonly offset?: { readonly dim: number; readonly start: Atom; readonly last: number };
};
export type GridAxis = {
  readonly key: string;
  readonly name: string;
  readonly extent: number;
  readonly block: number | "auto";
};
export type KernelSpec = {
  readonly name: string;
  readonly span?: Span;
  readonly grid: readonly GridAxis[];
  readonly indices: readonly Index[];
  /** Nothing may be reduced along the grid: true of array code, whose blocks the mapping chooses. */
  readonly wholeGrid: boolean;
  readonly body: readonly Eqn[];
  readonly stores: readonly StoreSpec[];
  /** Dims that are axes of the grid, come what may. */
  readonly pins: readonly { readonly value: number; readonly dim: number; readonly grid: string }[];
  readonly captured: (v: Var) => Captured;
  readonly ringSize: (axes: readonly string[]) => number;
};
