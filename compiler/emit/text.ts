/** What every dialect makes of a Lane program. */

/** The languages that kernels are written in. */
export type Dialect = "wgsl" | "wasm" | "cuda";

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
};
