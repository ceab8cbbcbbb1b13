/**
 * Lane: what one thread of a kernel does. Structured, imperative, scalar or 4-wide; the dialects only spell it.
 *
 *   program ::= name (buffers) (scalars) workgroup size, grid { stmt* }
 *   stmt    ::= let x = e | var x: t = e | array x: t[n] | x = e | x[e] = e | buffer[e] = e
 *             | for x from e below e step n { … } | while e { … } | if e { … } else { … } | continue
 *             | shared x: dtype[n] | barrier | copy x[e] ← buffer[e] | commit | wait n | matrices x[e] ← x[e] | mma x[e] += x[e] x[e]
 *   expr    ::= literal | x | x[e] | buffer[e] | op e … | cast e | e.component | vec4(e …) | pack e e
 *
 * Floats are computed in f32 whatever a buffer stores. Integers index; every index is in elements.
 *
 * The third line of statements is what the threads of a workgroup do together (team/). All threads come to them, and in
 * the same order; what one thread has written to a shared array another may read after a barrier.
 */
import type { Half } from "../core/half.ts";
import type { DType } from "../core/ir.ts";
import type { MapOp, Scalar } from "../tile/ir.ts";

/** What a register holds. f16 and bf16 exist only in memory and, two in a register, as a `pair`. */
export type LaneType = "f32" | "i32" | "u32" | "bool" | "pair";
/** 2: a store of two neighbours. */
export type Width = 1 | 2 | 4;

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
  | { readonly kind: "vec"; readonly args: readonly Expr[]; readonly type: LaneType; readonly width: 2 | 4 }
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
/** `shuffle_xor` (x, n): what the thread holds whose number in its 32 differs by the bits of n. `xor`: of i32. */
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
    }
  | { readonly kind: "barrier" }
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

/** `lane` (thread in the workgroup) and `group` (number of the workgroup, below `groups`) are predefined i32 names. */
export type LaneProgram = {
  readonly name: string;
  readonly buffers: readonly LaneBuffer[];
  readonly scalars: readonly (Scalar & { readonly name: string })[];
  readonly threads: number;
  readonly groups: number;
  /** Fours may begin at any element, beside single reads and writes of the same buffer. */
  readonly unaligned?: true;
  readonly body: readonly LaneStmt[];
  /** For people: how the kernel was mapped, one line for each axis, and what is known of its masks. */
  readonly notes: readonly string[];
};
