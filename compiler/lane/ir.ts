/**
 * Lane: what one thread of a kernel does. Structured, imperative, scalar or 4-wide; the dialects only spell it.
 *
 *   program ::= name (buffers) (scalars) workgroup size, grid { stmt* }
 *   stmt    ::= let x = e | var x: t = e | array x: t[n] | x = e | x[e] = e | buffer[e] = e
 *             | for x from e below e step n { … } | while e { … } | if e { … } else { … } | continue
 *             | shared x: dtype[n] | barrier | copy x[e] ← buffer[e] | commit | wait n | matrices x[e] ← x[e] | mma x[e] += x[e] x[e]
 *             | roles { fetching { … } computing { … } } | mbarriers x[n] | fetch x[e] ← map[e …] | expect | await | release
 *             | wgmma x[e] += matrix matrix | fence | commit products | wait products n | turn e
 *   expr    ::= literal | x | x[e] | buffer[e] | op e … | cast e | e.component | vec4(e …) | pack e e
 *
 * Floats are computed in f32 whatever a buffer stores. Integers index; every index is in elements.
 *
 * The third line of statements is what the threads of a workgroup do together (team/). All threads come to them, and in
 * the same order; what one thread has written to a shared array another may read after a barrier. The fourth and fifth are
 * what warpgroups do on Hopper GPUs (team/hopper/): 128 threads each, the last of which only fetches for the others.
 */
import type { Half } from "../core/half.ts";
import type { DType } from "../core/ir.ts";
import type { MapOp, Scalar } from "../tile/ir.ts";

/** What a register holds. f16 and bf16 exist only in memory and, two in a register, as a `pair`. */
export type LaneType = "f32" | "i32" | "u32" | "bool" | "pair";
/** 2: a store of two neighbours. 8: a load or store of eight neighbours of 16 bits, of which the components are taken. */
export type Width = 1 | 2 | 4 | 8;

export type Expr =
  | { readonly kind: "lit"; readonly value: number; readonly type: LaneType; readonly width: 1 }
  | { readonly kind: "ref"; readonly name: string; readonly type: LaneType; readonly width: Width }
  | {
      readonly kind: "elem";
      readonly array: string;
      readonly index: Expr;
      readonly type: LaneType;
      readonly width: Width;
    }
  /** `index` counts elements; with width 4 it is a multiple of 4. */
  | {
      readonly kind: "load";
      readonly buffer: number;
      readonly index: Expr;
      readonly type: LaneType;
      readonly width: Width;
    }
  | {
      readonly kind: "op";
      readonly op: LaneOp;
      readonly args: readonly Expr[];
      readonly type: LaneType;
      readonly width: Width;
    }
  | { readonly kind: "cast"; readonly arg: Expr; readonly type: LaneType; readonly width: Width }
  | {
      readonly kind: "component";
      readonly arg: Expr;
      readonly at: number | Expr;
      readonly type: LaneType;
      readonly width: 1;
    }
  | { readonly kind: "vec"; readonly args: readonly Expr[]; readonly type: LaneType; readonly width: 2 | 4 | 8 }
  /** Two floats rounded to 16 bits; `low` has the lower address. */
  | {
      readonly kind: "pack";
      readonly low: Expr;
      readonly high: Expr;
      readonly dtype: Half;
      readonly type: "pair";
      readonly width: 1;
    };

/** The elementwise ops, and what address arithmetic and reductions need besides. `dot`: 4-wide to scalar. */
/** `quad_broadcast` (x, k): what the k-th of four neighbouring threads holds; `quad` is a thread's own place among them. */
/** `round_f16`, `round_bf16`: the nearest f32 that is one, ties to even. */
/** `shuffle_xor` (x, n): what the thread holds whose number differs by the bits of n; one that it can exchange values with. `xor`: of i32. */
export type LaneOp =
  | Exclude<MapOp, "stop_gradient">
  | "dot"
  | "quad_broadcast"
  | "shuffle_xor"
  | "xor"
  | "round_f16"
  | "round_bf16";

export type LaneStmt =
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | {
      readonly kind: "var";
      readonly name: string;
      readonly type: LaneType;
      readonly width: Width;
      readonly value: Expr;
      /** Counts elements or stages, and so never wraps. */
      readonly counts?: true;
    }
  /** `size` elements; with width 4 they are kept in groups of four. */
  | {
      readonly kind: "array";
      readonly name: string;
      readonly type: LaneType;
      readonly width: Width;
      readonly size: number;
    }
  | { readonly kind: "set"; readonly name: string; readonly value: Expr }
  | { readonly kind: "setElem"; readonly array: string; readonly index: Expr; readonly value: Expr }
  | { readonly kind: "store"; readonly buffer: number; readonly index: Expr; readonly value: Expr }
  | {
      readonly kind: "for";
      readonly name: string;
      readonly from: Expr;
      readonly below: Expr;
      readonly step: number;
      /** Its rounds are to be written out, so that what they index can stay in registers. */
      readonly unroll?: true;
      readonly body: readonly LaneStmt[];
    }
  | { readonly kind: "while"; readonly cond: Expr; readonly body: readonly LaneStmt[] }
  | { readonly kind: "if"; readonly cond: Expr; readonly then: readonly LaneStmt[]; readonly else: readonly LaneStmt[] }
  | { readonly kind: "continue" }
  | { readonly kind: "comment"; readonly text: string }
  /** An array of the workgroup, 128-byte aligned; undefined at first. Its elements are read and written as those of other arrays. */
  | {
      readonly kind: "shared";
      readonly name: string;
      readonly dtype: DType;
      /** 4: its elements are read and written in groups of four only. */
      readonly width: 1 | 4;
      readonly size: number;
      /** Bytes, where it is more than 128. */
      readonly aligned?: number;
    }
  /** Of all threads, or of the first `threads`. */
  | { readonly kind: "barrier"; readonly threads?: number }
  /**
   * Starts a copy of `count` neighbouring elements (4, 8 or 16 bytes, aligned) into a shared array, zeros where not
   * `valid`. It is done when the thread has waited for its group, and for other threads after a barrier too.
   */
  | {
      readonly kind: "copy";
      readonly shared: string;
      readonly at: Expr;
      readonly buffer: number;
      readonly from: Expr;
      readonly count: number;
      readonly valid?: Expr;
    }
  /** What the thread has started since the last commit is a group. */
  | { readonly kind: "commit" }
  /** Until at most the last `left` groups are under way. */
  | { readonly kind: "wait"; readonly left: number }
  /**
   * The 32 threads of a warp read four 8 x 8 matrices of 16-bit elements: thread 8 m + r says where row r of matrix m is,
   * and thread t gets elements 2 (t % 4) and the next of row t / 4 of each (with `transposed`, of column t / 4). ldmatrix.
   */
  | {
      readonly kind: "matrices";
      readonly to: string;
      readonly at: Expr;
      readonly shared: string;
      readonly from: Expr;
      readonly transposed: boolean;
    }
  /**
   * A warp adds the product of a 16 x 16 and a 16 x 8 matrix to a 16 x 8 one, in f32: 4, 2 and 4 registers of each thread,
   * from the given elements of arrays on. How matrices lie in threads: team/layout.ts. mma.m16n8k16.
   */
  | {
      readonly kind: "mma";
      readonly dtype: Half;
      readonly to: string;
      readonly at: Expr;
      readonly a: string;
      readonly aAt: Expr;
      readonly b: string;
      readonly bAt: Expr;
    }
  | WarpgroupStmt;

/** A barrier in shared memory: an array of them, and which. */
export type Barrier = { readonly name: string; readonly at: Expr };
/** What warpgroups of 128 threads do on Hopper GPUs. */
export type WarpgroupStmt =
  /** The last warpgroup's first thread fetches, all threads of the others compute, with so many registers each. */
  | {
      readonly kind: "roles";
      readonly fetching: readonly LaneStmt[];
      readonly computing: readonly LaneStmt[];
      readonly registers: { readonly fetching: number; readonly computing: number };
    }
  /**
   * Barriers in shared memory. A phase of one ends when all `arrivals` have arrived and all bytes are there that were
   * expected; phases are numbered from 0.
   */
  | { readonly kind: "mbarriers"; readonly name: string; readonly count: number; readonly arrivals: number }
  /** Starts copying the box at `place` (the last dimension first) into a shared array; its bytes arrive at the barrier. TMA. */
  | {
      readonly kind: "fetch";
      readonly tensor: number;
      readonly place: readonly Expr[];
      readonly shared: string;
      readonly at: Expr;
      readonly barrier: Barrier;
    }
  /** Arrives, and says how many bytes will. */
  | { readonly kind: "expect"; readonly barrier: Barrier; readonly bytes: number }
  /** Waits for the end of the phase whose number is even or odd, as `parity` is. */
  | { readonly kind: "await"; readonly barrier: Barrier; readonly parity: Expr }
  /** One thread of each warp arrives, when all of them have come. */
  | { readonly kind: "release"; readonly barrier: Barrier }
  /**
   * The warpgroup starts a product of a 64 x 16 and a 16 x `columns` matrix, in f32; where `add` holds it is added to what
   * the registers hold. Nobody touches `to`, nor the factors, until the group of the product has been waited for.
   * wgmma.mma_async; how `to` and a left factor in registers lie: as of mma, four times.
   */
  | {
      readonly kind: "wgmma";
      readonly dtype: Half;
      readonly columns: number;
      readonly to: string;
      readonly at: Expr;
      readonly a: { readonly name: string; readonly at: Expr } | SharedMatrix;
      readonly b: SharedMatrix;
      readonly add: Expr;
    }
  /** Registers that the thread has written are so for the products that follow. wgmma.fence */
  | { readonly kind: "fence" }
  | { readonly kind: "commitProducts" }
  | { readonly kind: "waitProducts"; readonly left: number }
  /** Waits for this warpgroup's turn; or passes the turn on to the next of so many warpgroups. Named barriers. */
  | { readonly kind: "turn"; readonly what: "open" | "take" | "pass"; readonly warpgroups: number };

/**
 * A matrix in shared memory: rows of `span` bytes, the pieces of 16 bytes of each exchanged by the row's number; eight rows
 * take `stride` bytes, and columns beyond the span lie `leading` bytes further. It begins at element `at` and `step` pieces
 * of 16 bytes. `turned`: k is along its rows.
 */
export type SharedMatrix = {
  readonly shared: string;
  readonly at: Expr;
  readonly step: Expr;
  readonly span: number;
  readonly stride: number;
  readonly leading: number;
  readonly turned: boolean;
};
/** How a buffer is seen by the copy engine: boxes of so many elements along each dimension, with rows of `span` bytes. */
export type TensorMap = {
  readonly name: string;
  readonly buffer: number;
  readonly box: readonly number[];
  /** 0: as it is in memory; else what is exchanged, as in SharedMatrix. */
  readonly span: 0 | 32 | 64 | 128;
};

/**
 * How a buffer is seen: `vector` when every access in the kernel can be made in aligned groups of four, or when reads of
 * single elements can be taken out of them. `atomic`: 16-bit elements written one by one, next to another thread's.
 */
export type LaneBuffer = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly access: "read" | "read_write";
  readonly vector: boolean;
};

/**
 * `lane` (thread in the workgroup), `warpgroup` (lane / 128) and `group` (number of the workgroup, below `groups`) are
 * predefined i32 names.
 */
export type LaneProgram = {
  readonly name: string;
  readonly buffers: readonly LaneBuffer[];
  readonly scalars: readonly (Scalar & { readonly name: string })[];
  readonly threads: number;
  readonly groups: number;
  /** What `fetch` copies boxes of. */
  readonly tensors?: readonly TensorMap[];
  /** Workgroups that are to have room on a processor, where registers are dealt out by hand. */
  readonly resident?: number;
  /** Threads are numbered as they sit in subgroups, by a count in shared memory, so that neighbours can exchange values. */
  readonly seated?: true;
  /** Fours may begin at any element, beside single reads and writes of the same buffer or array. */
  readonly unaligned?: true;
  /** Fours, at multiples of four, are read and written beside single elements of the same buffer. */
  readonly mixed?: true;
  readonly body: readonly LaneStmt[];
  /** For people: how the kernel was mapped, one line for each axis, and what is known of its masks. */
  readonly notes: readonly string[];
};
