/**
 * Core: the typed functional IR. First order, in ANF, every binder carries its type.
 * Calls, records and tuples are gone: a program is what one device does, over local arrays.
 *
 *   program ::= mesh, ports in, block, ports out
 *   block   ::= { eqn*  (atom, …) }
 *   eqn     ::= v = op [params] atom …
 *             | (v, …) = fold step < count with (carry = atom, …) block            outside tiles, or a plain loop in a kernel
 *             | (v, …) = fold index with (carry = atom, …) block                   over blocks, inside tiles
 *             | (v, …) = if atom block else block
 *             | (v, …) = tiles index … into pattern … block
 *             | (v, …) = vjp (param = atom, …) block                               these four until `grad` has expanded them
 *             | (v, …) = pullback of a vjp (atom, …)
 *             | (v, …) = rule name (atom, …) block, block, block
 *             | (v, …) = checkpoint policy block
 *   type    ::= f32[3, 4] varying {sp}
 *
 * A printed program (`x` summed over a ring):
 *
 *   (x: f32[4] varying {sp}) {
 *     (a: f32[4], c: f32[4]) = fold step < 3 with (acc = x, cur = x) {
 *       d: f32[4] varying {sp} = ppermute [axes=sp shift=1] cur
 *       e: f32[4] varying {sp} = add acc d
 *       (e, d)
 *     }
 *     (a)
 *   }
 *
 * Regions close over the variables of the blocks around them. Elementwise ops broadcast as NumPy does.
 * Shapes are numbers once sizes are given; inside `tiles` the size of a block is the atom of its index.
 */
import type { Dim, Layout } from "../base/dim.ts";
import type { Span } from "../base/span.ts";

export type DType = "f32" | "f16" | "bf16" | "i32" | "u32" | "bool";

/** `varying`: the mesh axes, in mesh order, over which the value may differ between devices. */
export type Type = { readonly dtype: DType; readonly shape: readonly Dim[]; readonly varying: readonly string[] };

/** `name` is a hint for printing: the user's `let`, or a parameter. */
export type Var = { readonly kind: "var"; readonly id: number; readonly type: Type; readonly name?: string };
/** A scalar; a boolean is 0 or 1. */
export type Lit = { readonly kind: "lit"; readonly value: number; readonly type: Type };
export type Atom = Var | Lit;

export type Unary =
  | "neg"
  | "not"
  | "exp"
  | "exp2"
  | "log"
  | "log2"
  | "sqrt"
  | "rsqrt"
  | "tanh"
  | "sigmoid"
  | "sin"
  | "cos"
  | "abs"
  | "floor"
  | "sign"
  | "stop_gradient";
/** `div` on integers is floor division, `mod` its non-negative remainder (sign of the divisor); comparisons give bool. */
export type Binary =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "mod"
  | "pow"
  | "min"
  | "max"
  | "eq"
  | "ne"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "and"
  | "or";
export type ReduceKind = "sum" | "max" | "min" | "prod" | "any" | "all";

/** What one entry of `x[…]` does. `arg` is the place of an operand: `x` is 0, the first after it 1. */
export type Selector =
  | { readonly kind: "all" }
  | { readonly kind: "new" }
  /** A run-time integer scalar; drops the dimension. Negative counts from the end is resolved before; out of range clamps. */
  | { readonly kind: "at"; readonly arg: number }
  /** A static range. */
  | { readonly kind: "slice"; readonly start: Dim; readonly size: Dim }
  /** The rows of a blocked tile index; the dimension's size becomes that index's block. */
  | { readonly kind: "block"; readonly index: Index }
  /** An integer array; all gathers of one indexing broadcast together, and their dims stand where the first one stood. */
  | { readonly kind: "gather"; readonly arg: number };

/** The other device: `shift` further round the ring of `axes` (flattened, major first), plus the step of fold `step` times `perStep` (1 where it is left out). `within`: round rings of so many places that follow each other. */
export type Route =
  | {
      readonly kind: "shift";
      readonly offset: number;
      readonly step?: Var;
      readonly perStep?: number;
      readonly within?: number;
    }
  | { readonly kind: "pairs"; readonly pairs: readonly (readonly [from: number, to: number])[] };

/** What each op is told besides its operands. Adding a line here is how an op begins. */
export type Ops = { [K in Unary | Binary]: Record<never, never> } & {
  cast: { readonly dtype: DType };
  /** where(c, a, b) */
  select: Record<never, never>;
  /** Threefry-2x32 of a key and integer counters, as a float in [0, 1): elementwise over all operands. */
  random_uniform: Record<never, never>;
  /** Says that a value may differ over more axes than it is known to. */
  pvary: { readonly axes: readonly string[] };
  /** The operand, as a value of its own: work on it is not merged with equal work on the operand. */
  optimization_barrier: { readonly id: number };
  /** Says that a value is the same along the axes, though its type cannot tell: what a gather made of permutes ends with. Never in a source. */
  unvary: { readonly axes: readonly string[] };
  /** 0 … size-1, i32. */
  iota: { readonly size: Dim };
  /** The element numbers of a blocked tile index: i32[index]. */
  pos: { readonly index: Index };
  /** This device's place along the axes (flattened, major first). */
  axis_index: { readonly axes: readonly string[] };
  /** A scalar operand everywhere in a new array. */
  full: { readonly shape: readonly Dim[] };
  reshape: { readonly shape: readonly Dim[] };
  transpose: { readonly perm: readonly number[] };
  broadcast: { readonly shape: readonly Dim[] };
  index: { readonly selectors: readonly Selector[] };
  concat: { readonly dim: number };
  /** (x, start): `size` rows of dim from a run-time start, which is clamped so that they fit. */
  dynamic_slice: { readonly dim: number; readonly size: Dim };
  /** (x, value, start): x with value's rows from start on, clamped so that they fit. */
  dynamic_update: { readonly dim: number };
  reduce: { readonly kind: ReduceKind; readonly dims: readonly number[]; readonly keep: boolean };
  /** First index of the largest, i32. */
  argmax: { readonly dim: number; readonly keep: boolean };
  cumsum: { readonly dim: number };
  /** Labels for each operand's dims and for the result's; a label missing from the result is summed. f16 and bf16 give f32. */
  einsum: { readonly ins: readonly (readonly string[])[]; readonly out: readonly string[] };
  ppermute: { readonly axes: readonly string[]; readonly route: Route };
  psum: { readonly axes: readonly string[] };
  pmax: { readonly axes: readonly string[] };
  pmin: { readonly axes: readonly string[] };
  /** `ahead`: nobody waits for it soon; it is taken apart so that kernels can pass beside it. Never in a source. */
  all_gather: { readonly axes: readonly string[]; readonly dim: number; readonly ahead?: true };
  psum_scatter: { readonly axes: readonly string[]; readonly dim: number; readonly ahead?: true };
  all_to_all: { readonly axes: readonly string[]; readonly split: number; readonly concat: number };
};
export type Op = keyof Ops;

export type OpEqn<P extends Op = Op> = {
  [K in P]: {
    readonly kind: "op";
    readonly op: K;
    readonly params: Ops[K];
    readonly args: readonly Atom[];
    readonly out: Var;
    readonly span?: Span;
  };
}[P];

/**
 * A tile index, parallel (`tiles`) or sequential (`fold j in K by c`).
 * `block` null: single elements, and `element` is the i32 scalar that stands for it in the body.
 * Otherwise the body sees blocks, whose size in types is the atom `size` (the last block may be smaller).
 */
export type Index = {
  readonly id: number;
  readonly name: string;
  readonly extent: Dim;
  readonly block: Dim | "auto" | null;
  readonly size: Dim;
  readonly element?: Var;
};

export type FoldEqn = {
  readonly kind: "fold";
  /** `step`: i32, 0 … count-1. In a blocked fold there is an index instead. */
  readonly over:
    | { readonly kind: "steps"; readonly count: Dim; readonly step: Var }
    | { readonly kind: "blocks"; readonly index: Index };
  readonly carry: readonly Var[];
  readonly init: readonly Atom[];
  /** Results: the next carry, then one atom for each collected array. */
  readonly body: Block;
  /** The last carry, then the collected arrays with a leading dimension `count`. */
  readonly outs: readonly Var[];
  readonly span?: Span;
};
export type IfEqn = {
  readonly kind: "if";
  readonly cond: Atom;
  readonly then: Block;
  readonly else: Block;
  readonly outs: readonly Var[];
  readonly span?: Span;
};
export type TilesEqn = {
  readonly kind: "tiles";
  readonly indices: readonly Index[];
  readonly body: Block;
  /** For each result, what each of its dims is: a parallel index (by id), or the next dim of the body's value. */
  readonly into: readonly (readonly ({ readonly kind: "index"; readonly id: number } | { readonly kind: "all" })[])[];
  readonly outs: readonly Var[];
  readonly span?: Span;
};

/** The results of a region that can be differentiated with respect to `params`, which are the region's names for `args`. */
export type VjpEqn = {
  readonly kind: "vjp";
  /** How `pullback`s name it; shares the ids of variables. */
  readonly id: number;
  readonly params: readonly Var[];
  readonly args: readonly Atom[];
  readonly body: Block;
  readonly outs: readonly Var[];
  readonly span?: Span;
};
/**
 * The cotangents of the `args` of vjp `of`, each of its argument's type, from the cotangents of its results. It stands where
 * the vjp's results are in scope, any number of times.
 */
export type PullbackEqn = {
  readonly kind: "pullback";
  readonly of: number;
  readonly args: readonly Atom[];
  readonly outs: readonly Var[];
  readonly span?: Span;
};
/** A call, under differentiation, of a function that has a derivative rule. Its regions close over what is around them. */
export type RuleEqn = {
  readonly kind: "rule";
  /** The function's name. */
  readonly name: string;
  /** The floats that the pullback gives cotangents of. */
  readonly args: readonly Atom[];
  /** The function itself. Results: its value. */
  readonly primal: Block;
  /** The rule. Results: the same value, then what the pullback needs of it. */
  readonly forward: Block;
  readonly pullback: {
    /** What the pullback needs, then the cotangents of the value. */
    readonly params: readonly Var[];
    /** Results: a cotangent for each of `args`, then a number for each of `functions`. */
    readonly body: Block;
  };
  /**
   * Parameters that are functions with a float result. What such a function closes over has as its cotangent the gradient
   * of the pullback's number for it.
   */
  readonly functions: readonly string[];
  readonly outs: readonly Var[];
  readonly span?: Span;
};
/** What a differentiated region keeps for its backward pass: nothing but what it reads, all, or the results of products. */
export type Policy = "nothing_saveable" | "everything_saveable" | "dots_saveable";
export type CheckpointEqn = {
  readonly kind: "checkpoint";
  readonly policy: Policy;
  readonly body: Block;
  readonly outs: readonly Var[];
  readonly span?: Span;
};
/** What only programs as they are written have: the pass `grad` puts plain equations in their place. */
export type DerivativeEqn = VjpEqn | PullbackEqn | RuleEqn | CheckpointEqn;
export type Eqn = OpEqn | FoldEqn | IfEqn | TilesEqn | DerivativeEqn;
export type Block = { readonly eqns: readonly Eqn[]; readonly results: readonly Atom[] };

export type Mesh = {
  readonly name: string;
  readonly axes: readonly { readonly name: string; readonly size: number }[];
};
/** One entry for each dimension: the axes that split it, major first, and how. */
export type Spec = readonly { readonly axes: readonly string[]; readonly layout: Layout }[];
/** One array at the edge of a program. `path` is how the command line names it: `q`, `params.w1`, or `` for a sole result. */
export type Port = {
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly spec: Spec;
  /** The shape as the source has it, for messages: `B, S/2`. */
  readonly written: readonly string[];
};
export type Program = {
  readonly name: string;
  readonly doc?: string;
  readonly mesh: Mesh;
  /** Sizes of the dimension variables. */
  readonly dims: Readonly<Record<string, number>>;
  readonly inputs: readonly { readonly port: Port; readonly local: Var }[];
  readonly body: Block;
  /** One for each atom of `body.results`. */
  readonly outputs: readonly Port[];
};
