/** What every dialect makes of a Lane program. */
import type { DType } from "../core/ir.ts";

/** The languages that kernels are written in. */
export type Dialect = "wgsl" | "wasm" | "cuda";

/**
 * How a kernel sees a buffer besides as a pointer: as an array of which it copies boxes. It takes one such map after its
 * buffers; CUDA's cuTensorMapEncodeTiled makes it. `box`: elements along each dimension; `span`: bytes of the exchange, or 0.
 */
export type TensorView = {
  readonly binding: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly box: readonly number[];
  readonly span: 0 | 32 | 64 | 128;
};

/** A kernel in a dialect, and how many workgroups of it are launched. */
export type KernelText = {
  readonly name: string;
  /** The kernel for people, and where there is no `code`, for the driver too. */
  readonly text: string;
  /** The kernel for the machine, in a dialect that is binary: a WebAssembly module. */
  readonly code?: Uint8Array;
  readonly entry: string;
  readonly groups: readonly [number, number, number];
  readonly access: readonly ("read" | "read_write")[];
  /** Workgroup memory that a launch needs, in bytes. */
  readonly sharedBytes: number;
  readonly tensors?: readonly TensorView[];
};
