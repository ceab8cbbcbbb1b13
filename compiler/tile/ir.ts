/**
 * Tile: kernels over named axes, and the device program that launches them.
 *
 * A value is a function of the elements of some axes: `s(i, j)`. There are no shapes, transposes or broadcasts left:
 * `x.T` is the same value, and a matrix product is a sum over an axis of a product. What runs where (threads, registers,
 * loops) is not said here; that is the mapping's (map.ts).
 *
 *   kernel ::= name (buffers) (scalars) grid axis* { stmt* } stores
 *   axis   ::= name: extent by block                         grid | fold | inner
 *   stmt   ::= value = def | fold
 *   def    ::= const | scalar | step | pos axis | edge axis | load buffer [value…] | op value… | reduce axis value | scan axis value
 *            | at value [axis := value…]
 *   fold   ::= (value…) = fold axis|step with (carry = value…) { stmt* } (value…)
 *
 * A printed kernel, the product of a[4, 8] and b[8, 4]:
 *
 *   kernel k0 (a: f32[4, 8], b: f32[8, 4]) -> (c: f32[4, 4])   grid i: 4 by auto, j: 4 by auto
 *     v0(i, r) = load a [i, r]
 *     v1(r, j) = load b [r, j]
 *     v2(i, j, r) = mul v0 v1
 *     v3(i, j) = sum r v2                  r: 8
 *     store c [i, j] = v3
 */
import type { Span } from "../base/span.ts";
import type { Binary, DType, Mesh, Port, ReduceKind, Unary } from "../core/ir.ts";

/**
 * grid: a parallel index of the kernel; each of its blocks is one tile. fold: the blocks of a sequential loop.
 * inner: the whole range at once (block = extent).
 * block: elements of the axis that one tile (or one step) covers; 1 for single elements; "auto": the mapping chooses.
 * The last block of an axis whose block does not divide the extent is partial: elements from `extent` on do not exist,
 * reductions ignore them and nothing is stored for them.
 */
export type Axis = {
  readonly id: number;
  readonly name: string;
  readonly role: "grid" | "fold" | "inner";
  readonly extent: number;
  readonly block: number | "auto";
};

export type MapOp = Unary | Binary | "select" | "random_uniform";

/** `axes`: the axes it depends on, grid axes of block 1 included, sorted by id. `name` is a hint for readers. */
export type Value = {
  readonly id: number;
  readonly dtype: DType;
  readonly axes: readonly Axis[];
  readonly def: Def;
  readonly name?: string;
  readonly span?: Span;
};
export type Def =
  | { readonly kind: "const"; readonly value: number }
  /** A run-time scalar parameter of the kernel, i32. */
  | { readonly kind: "scalar"; readonly index: number }
  /** The number of the step at hand of a fold over plain steps: i32. */
  | { readonly kind: "step"; readonly fold: number }
  /** The element number along an axis, from 0 to extent-1: i32. */
  | { readonly kind: "pos"; readonly axis: Axis }
  /** First or last element number of the block at hand: i32, depends on no element. Only bounds use it. */
  | { readonly kind: "edge"; readonly axis: Axis; readonly end: "first" | "last" }
  /** One i32 value for each dimension of the buffer. `clamp`: indices from data, to be clamped to the array's range. */
  | { readonly kind: "load"; readonly buffer: number; readonly index: readonly Value[]; readonly clamp: boolean }
  | { readonly kind: "map"; readonly op: MapOp; readonly args: readonly Value[] }
  | { readonly kind: "cast"; readonly arg: Value }
  | { readonly kind: "reduce"; readonly op: ReduceKind | "argmax"; readonly axis: Axis; readonly arg: Value }
  /** Running sum along an axis (inclusive). Depends on the axis. */
  | { readonly kind: "scan"; readonly op: "sum"; readonly axis: Axis; readonly arg: Value }
  /** `arg` with the elements of some of its axes replaced by other (global, in-range) element numbers. */
  | {
      readonly kind: "at";
      readonly arg: Value;
      readonly bind: readonly { readonly axis: Axis; readonly index: Value }[];
    }
  /** The carried value of the fold around it, or the result of a fold before it. */
  | { readonly kind: "carry"; readonly fold: number; readonly place: number }
  | { readonly kind: "result"; readonly fold: number; readonly place: number };

/** Every value is let before it is used, leaves aside: const, scalar, step, pos, edge, carry and result stand by themselves. */
export type Stmt = { readonly kind: "let"; readonly value: Value } | Fold;

/**
 * A sequential loop in a kernel: over the blocks of a fold axis, or plain steps 0 … count-1 (`step` is its i32 value).
 * `next[k]` replaces `carry[k]`; `results[k]` is what is left at the end. A carry's axes are its results' axes.
 */
export type Fold = {
  readonly kind: "fold";
  readonly id: number;
  readonly over:
    | { readonly kind: "blocks"; readonly axis: Axis }
    | { readonly kind: "steps"; readonly count: number; readonly step: Value };
  readonly carry: readonly Value[];
  readonly init: readonly Value[];
  readonly body: readonly Stmt[];
  readonly next: readonly Value[];
  readonly results: readonly Value[];
  /** What is known of masks on each block; added by bounds.ts. */
  readonly bounds?: Bounds;
};

/**
 * `run`: a bool of edges and scalars; where it is false the block cannot change any carry, and is skipped.
 * `full`: for selects whose condition is known on some blocks: where `when` is true the condition holds everywhere.
 * Both are computed by `prelude`, values that depend on no element.
 */
export type Bounds = {
  readonly prelude: readonly Value[];
  readonly run?: Value;
  readonly full: readonly { readonly select: Value; readonly when: Value }[];
  /** For people: what was derived, or why nothing was. */
  readonly notes: readonly string[];
};

/** bool is stored as u32; f16 and bf16 two to a word. */
export type BufferParam = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly access: "read" | "write" | "update";
};
export type Store = { readonly buffer: number; readonly index: readonly Value[]; readonly value: Value };
/** What a launch passes besides buffers: an i32 known to the host. */
export type Scalar =
  | { readonly kind: "axis_index"; readonly axes: readonly string[] }
  | { readonly kind: "step"; readonly loop: number };

/**
 * `buffers`: inputs first, then outputs. An `update` buffer begins with the contents of another array: it is written in
 * part, or where it was read before by who writes it.
 */
export type Kernel = {
  readonly name: string;
  readonly buffers: readonly BufferParam[];
  readonly scalars: readonly Scalar[];
  readonly grid: readonly Axis[];
  readonly body: readonly Stmt[];
  readonly stores: readonly Store[];
  readonly span?: Span;
};

/** An array in a device's memory. Its shape is only for people: a reshape of an array is the same array. */
export type ArrayInfo = {
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
};

/** What one device does, in order, over arrays that are each written once. */
export type HostStep =
  /** `buffers[k]` is the array for the kernel's buffer k. `updates`: output array (an index into buffers) that starts as the contents of another array. */
  | {
      readonly kind: "launch";
      readonly kernel: number;
      readonly buffers: readonly number[];
      readonly updates: readonly { readonly buffer: number; readonly from: number }[];
    }
  /**
   * Sends `input` round the (flattened) ring of `axes`; a device to which nothing is sent gets zeros. `still`: in the first
   * step of the loop around it one number is everywhere in what is sent, and so in what arrives, which this kernel makes.
   */
  | {
      readonly kind: "permute";
      readonly axes: readonly string[];
      readonly route: HostRoute;
      readonly input: number;
      readonly output: number;
      readonly still?: number;
      readonly span?: Span;
    }
  | {
      readonly kind: "loop";
      readonly id: number;
      readonly count: number;
      /** `inside` is `init` in the first step and the last step's `next` after; `out` is the last `next`, null where nobody reads it. */
      readonly carry: readonly {
        readonly init: number;
        readonly inside: number;
        readonly next: number;
        readonly out: number | null;
      }[];
      readonly body: readonly HostStep[];
    };
/** `shift`: to the device `offset + perStep * step(loop)` further round; `within`: round rings of so many places each. */
export type HostRoute =
  | {
      readonly kind: "shift";
      readonly offset: number;
      readonly loop?: number;
      readonly perStep?: number;
      readonly within?: number;
    }
  | { readonly kind: "pairs"; readonly pairs: readonly (readonly [from: number, to: number])[] };

export type DeviceProgram = {
  readonly name: string;
  readonly mesh: Mesh;
  readonly arrays: readonly ArrayInfo[];
  readonly kernels: readonly Kernel[];
  readonly inputs: readonly { readonly port: Port; readonly array: number }[];
  readonly outputs: readonly { readonly port: Port; readonly array: number }[];
  readonly steps: readonly HostStep[];
};
