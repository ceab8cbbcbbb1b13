/**
 * Lane: what one thread of a kernel does. Structured, imperative, scalar or 4-wide; the dialects only spell it.
 *
 *   program ::= name (buffers) (scalars) workgroup size, grid { stmt* }
 *   stmt    ::= let x = e | var x: t = e | array x: t[n] | x = e | x[e] = e | buffer[e] = e
 *             | for x from e below e step n { … } | if e { … } else { … } | continue
 *   expr    ::= literal | x | x[e] | buffer[e] | op e … | cast e | e.component | vec4(e …)
 *
 * Floats are computed in f32 whatever a buffer stores. Integers index; every index is in elements.
 */
import type { DType } from "../core/ir.ts";
import type { MapOp, Scalar } from "../tile/ir.ts";

/** What a register holds. f16 and bf16 exist only in memory. */
export type LaneType = "f32" | "i32" | "u32" | "bool";
export type Width = 1 | 4;

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
  | { readonly kind: "vec"; readonly args: readonly Expr[]; readonly type: LaneType; readonly width: 4 };

/** The elementwise ops, and what address arithmetic and reductions need besides. `dot`: 4-wide to scalar. */
/** `quad_broadcast` (x, k): what the k-th of four neighbouring threads holds; `quad` is a thread's own place among them. */
export type LaneOp = Exclude<MapOp, "stop_gradient"> | "dot" | "quad_broadcast";

export type LaneStmt =
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | {
      readonly kind: "var";
      readonly name: string;
      readonly type: LaneType;
      readonly width: Width;
      readonly value: Expr;
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
      readonly body: readonly LaneStmt[];
    }
  | { readonly kind: "if"; readonly cond: Expr; readonly then: readonly LaneStmt[]; readonly else: readonly LaneStmt[] }
  | { readonly kind: "continue" }
  | { readonly kind: "comment"; readonly text: string };

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
  readonly body: readonly LaneStmt[];
  /** For people: how the kernel was mapped, one line for each axis, and what is known of its masks. */
  readonly notes: readonly string[];
};
