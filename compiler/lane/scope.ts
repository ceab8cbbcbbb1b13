/**
 * Where statements go while a kernel is written: nested scopes, each with the loop that opened it and the names that
 * were bound in it. A value is bound in the outermost scope in which all that it depends on is at hand.
 */
import type { Expr, LaneStmt } from "./ir.ts";

export type Scope = {
  readonly parent: Scope | null;
  readonly level: number;
  /** Depth of the fold body that it belongs to. */
  readonly region: number;
  /** The axis whose rounds this scope repeats, and the name of its element offset. */
  readonly loop?: { readonly axis: number; readonly name: string };
  /** Runs only sometimes: nothing computed in it is of use outside. */
  readonly barrier: boolean;
  readonly stmts: LaneStmt[];
  readonly bound: Map<string, Expr>;
};

export const childScope = (parent: Scope | null, region: number, loop?: Scope["loop"], barrier = false): Scope => ({
  parent,
  level: parent ? parent.level + 1 : 0,
  region,
  ...(loop ? { loop } : {}),
  barrier,
  stmts: [],
  bound: new Map(),
});

/** A binding seen from a scope, innermost first. */
export function find(scope: Scope | null, key: string): Expr | undefined {
  for (let s = scope; s; s = s.parent) {
    const hit = s.bound.get(key);
    if (hit) return hit;
  }
  return undefined;
}

/** The loop over an axis that is open around a scope. */
export function openLoop(scope: Scope, axis: number): { readonly name: string; readonly scope: Scope } | undefined {
  for (let s: Scope | null = scope; s; s = s.parent) if (s.loop?.axis === axis) return { name: s.loop.name, scope: s };
  return undefined;
}

/** The outermost scope around `from` (it included) with every loop of `axes` open and not outside region `region`. */
export function homeOf(from: Scope, axes: readonly number[], region: number): Scope {
  let home = from;
  while (!home.barrier && home.parent && home.parent.region >= region) {
    const outer = home.parent;
    if (!axes.every((a) => openLoop(outer, a))) break;
    home = outer;
  }
  return home;
}

/** Unique names that every dialect accepts. */
export function namer(): (hint: string) => string {
  const next = new Map<string, number>();
  return (hint) => {
    const clean =
      (plain.test(hint) && hint) ||
      hint
        .replace(/[^A-Za-z0-9]+/g, "_")
        .replace(/^_+|_+$/g, "")
        .replace(/^(?=[0-9])/, "n") ||
      "t";
    const base = reserved.has(clean) ? `${clean}_` : clean;
    for (let n = next.get(base) ?? 0; ; n++) {
      const name = n === 0 ? base : `${base}_${n}`;
      if (n > 0 && next.has(name)) continue;
      next.set(base, n + 1);
      if (n > 0) next.set(name, 1);
      return name;
    }
  };
}
/** What most hints are: words of letters and digits. */
const plain = /^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$/;
/** Words that WGSL or CUDA C++ keep for themselves, and the names every kernel predefines. */
const reserved = new Set(
  (
    "alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop " +
    "override requires return struct switch true var while array atomic bool f16 f32 i32 u32 vec2 vec3 vec4 mat2x2 ptr sampler " +
    "texture select min max abs exp log sqrt floor sign pow sin cos tanh dot fract clamp step mix active as asm async attribute " +
    "auto await class common compile concat do double dynamic enum explicit export extern filter float from get goto half highp " +
    "impl implements import in inline inout instanceof int interface layout long lowp match meta mod module move mut namespace " +
    "new nil noexcept null of operator out package packed params private protected public pub ref register self set shared short " +
    "signed sizeof static super target template this throw trait try type typedef typename typeof union unless unsigned use " +
    "using varying vec virtual void volatile where with yield lane group quad main global handle image pass patch precise premerge " +
    "regardless resource restrict signal snorm unorm workgroup storage uniform function read write read_write bitcast inverse " +
    "NULL Self abstract alignas alignof asm_fragment become binding_array cast catch co_await co_return co_yield coherent column_major " +
    "compile_fragment concept const_cast consteval constexpr constinit crate debugger decltype delete demote demote_to_helper " +
    "dynamic_cast extends external fallthrough final finally friend fxgroup groupshared macro macro_rules mediump mutable noinline " +
    "nointerpolation non_coherent noncoherent noperspective nullptr packoffset partial pixelfragment precision priv readonly " +
    "reinterpret_cast require smooth static_assert static_cast std subroutine thread_local typeid unorm unsafe unsized wgsl writeonly " +
    "threadIdx blockIdx blockDim gridDim warpSize expf exp2f logf log2f sqrtf rsqrtf floorf tanhf truncf rintf fabsf powf sine cosine load4 store4 " +
    "maximum minimum infinity quad_broadcast wrapping_add wrapping_sub wrapping_mul wrapping_neg wrapping_abs floor_div floor_mod " +
    "uint_div uint_mod float_mod float_pow int_pow uint_pow sigmoid threefry u32x2 bf16 unix linux EOF INFINITY NAN HUGE_VAL M_PI " +
    "and or not xor bitand bitor compl and_eq or_eq not_eq xor_eq char wchar_t char8_t char16_t char32_t requires " +
    "any all exp2 log2 inverseSqrt fma round trunc ceil vec2 vec3 vec4 pack2x16float unpack2x16float saturate transpose"
  ).split(" "),
);
