/**
 * What people write who come from Python, JAX, NumPy, PyTorch, Rust or TypeScript, and how Gyre says it: the remedies of
 * messages about things that there are not. To add one, add a row.
 */
import { q } from "./say.ts";

/** From names that share a remedy, to the remedy of each. */
const rows = (table: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  new Map(Object.entries(table).flatMap(([names, remedy]) => names.split(" ").map((name) => [name, remedy] as const)));

/** Names of functions, modules and words in expressions. */
export const namesElsewhere = rows({
  "jax jnp np numpy torch tf nn lax math F std": "functions are called by their own names alone, as in `exp(x)`",
  "maximum fmax": "it is `max(a, b)`, elementwise",
  "minimum fmin": "it is `min(a, b)`, elementwise",
  "matmul dot mm bmm": "the matrix product is `a @ b`",
  power: "it is `pow(a, b)`",
  round: "write `floor(x + 0.5)`",
  ceil: "write `-floor(-x)`",
  "trunc fix": "write `cast(cast(x, i32), f32)`",
  softplus: "write `max(x, 0) + log(1 + exp(-abs(x)))`",
  logsumexp: "write `m + log(sum(exp(x - m), dim = d))` with `m = max(x, dim = d)`",
  "sort argsort top_k topk": "there is none; the largest few are a `fold` of `argmax`, with `collect`",
  square: "write `x * x`",
  reciprocal: "write `1 / x`",
  "isnan is_nan": "NaN alone differs from itself: `x != x`",
  "isinf is_inf": "write `abs(x) == inf`",
  logical_and: "it is `a && b`",
  logical_or: "it is `a || b`",
  logical_not: "it is `!a`",
  "arange linspace": "`iota(N)` is 0, 1, … N - 1, as i32",
  range: "`fold i in N` and `tiles i in N` go over 0, 1, … N - 1; as an array that is `iota(N)`",
  "ones ones_like full_like": "it is `full(f32[N], 1)`, of any type",
  "empty empty_like": "it is `zeros(f32[N])`, of any type",
  "eye identity": "write `cast(iota(N)[:, None] == iota(N)[None, :], f32)`",
  "tril triu tri": "write `where(iota(M)[:, None] >= iota(N)[None, :], x, 0)`",
  "concatenate cat hstack vstack": "it is `concat((a, b), dim = d)`",
  chunk: "it is `split(x, n, dim = d)`",
  "permute swapaxes moveaxis": "it is `transpose(x, (0, 2, 1))`",
  "unsqueeze expand_dims newaxis new": "a dimension is added by `None` in an index: `x[:, None]`",
  squeeze: "an integer index takes a dimension away: `x[:, 0]`",
  "flatten ravel view": "it is `reshape(x, (M, N))`",
  "expand repeat tile": "it is `broadcast_to(x, (M, N))`",
  "take gather take_along_axis index_select": "an integer array is an index: `x[ids]`",
  roll: "write `concat((x[N - 1..N], x[0..N - 1]), dim = 0)`",
  "flip reverse": "write `x[N - 1 - iota(N)]`",
  len: "the size of dimension d is `size(x, d)`",
  shape: "the size of dimension d is `size(x, d)`",
  argmin: "write `argmax(-x, dim = d)`",
  "var std": "write `mean(x * x, dim = d) - m * m` with `m = mean(x, dim = d)`",
  norm: "write `sqrt(sum(x * x))`",
  clip: "it is `clamp(x, low, high)`",
  select: "it is `where(c, a, b)`",
  cond: "write `if c { a } else { b }`",
  "astype convert asarray array float": "it is `cast(x, f32)`",
  dynamic_update_slice: "it is `dynamic_update(x, value, start, dim = d)`",
  dynamic_slice_in_dim: "it is `dynamic_slice(x, start, size, dim = d)`",
  axis_names: "an axis is named as it is: `psum(x, sp)`",
  "all_reduce allreduce": "it is `psum(x, a)`, or `pmax`, `pmin`, `pmean`",
  reduce_scatter: "it is `psum_scatter(x, a, dim = d)`",
  allgather: "it is `all_gather(x, a, dim = d)`",
  alltoall: "it is `all_to_all(x, a, split = d0, concat = d1)`",
  "scan associative_scan fori_loop while_loop map":
    "it is `fold i in N with x = init { next }`, with `collect` where every step gives something",
  vmap: "functions of scalars apply elementwise, and operators broadcast; over blocks go `tiles`",
  "jit pjit": "everything is compiled; an entry point is a `shard_map`",
  "jvp jacfwd jacrev jacobian hessian": "derivatives are `grad(f)(x)`, `value_and_grad(f)(x)` and `vjp(f, x)`",
  backward: "derivatives are `grad(f)(x)`, `value_and_grad(f)(x)` and `vjp(f, x)`",
  lambda: "a lambda is written `|x| e`",
  "match switch": "write `if c { a } else if d { b } else { e }`, or `where(c, a, b)`",
  True: "it is written `true`",
  False: "it is written `false`",
  print: "a program has no effects: give what you want to see as a result",
});

/** Functions whose operands are something else elsewhere. */
export const operandsElsewhere = rows({
  random_uniform: "not shapes: counters, of which each element is one, as in `random_uniform(key, iota(N))`",
});

/** Names of types. */
export const typesElsewhere = rows({
  "float float32 double f64 float64": "floating-point numbers are `f32`, `f16` and `bf16`",
  "half float16": "it is written `f16`",
  bfloat16: "it is written `bf16`",
  "int int32 i64 int64 long i8 int8 i16 int16 usize":
    "whole numbers are `i32` and `u32`; an `int` parameter is known at compile time and no array",
  "uint uint32 u64 uint64 u8 uint8 u16 uint16": "whole numbers are `i32` and `u32`",
  "boolean bool_": "it is written `bool`",
  "Array array ndarray Tensor tensor Vec List list": "an array type is its dtype and its dimensions: `f32[M, N]`",
});

/** What follows a dot. */
export const fieldsElsewhere = rows({
  "shape size ndim len": "the size of dimension d is `size(x, d)`",
  "astype to float half type": "it is `cast(x, f32)`",
  "at set add": "nothing is mutated: `dynamic_update(x, value, start, dim = d)` is a new array",
  "mT transpose permute": "`x.T` swaps the last two dimensions; others are moved by `transpose(x, (0, 2, 1))`",
  detach: "it is `stop_gradient(x)`",
  "view flatten ravel": "it is `reshape(x, (M, N))`",
  "dtype device": "a type says it, and it is known at compile time",
});

/** Words that begin a declaration, or go before one. */
export const declarationsElsewhere = rows({
  "struct class enum interface record": "a record is `type Name<N> = { a: f32[N], b: i32 }`",
  "pub public": "what other files may use is declared with `export` before it",
  "use from require include": 'imports are written `import { a, b as c } from "./file.gyre"`',
  "async static inline": "a function is `fn name<N>(x: f32[N]) -> f32[N] { … }`",
  "var let": "a static value is `const NAME = …`",
  "module mod namespace impl trait": "a file is a module, and holds functions and types",
  '""': "`///` documents the declaration that follows",
});

/** What goes on after an expression on the same line. */
export const afterExpressions = rows({
  as: "it is `cast(x, f32)`",
  "elif elsif": "write `else if`",
  "f f32 f16 bf16 i32 u32": "a number has no suffix: it takes the dtype that its use asks for",
  is: "`==` compares",
  "?": "write `if c { a } else { b }`, or `where(c, a, b)`",
  ":": "dims and dtypes are given as `f<4, f32>(x)`; the two ways of an `if` as `if c { a } else { b }`",
});

/** Characters that are none of Gyre's. */
export const signsElsewhere = rows({
  "&": "both are true: `a && b`",
  "^": "a power is `pow(a, b)`, a difference of truth values `a != b`",
  "~": "not is `!a`",
  "?": "write `if c { a } else { b }`, or `where(c, a, b)`",
  "“ ” „": 'strings are written "…", with plain quotes',
  "‘ ’ ` ´": 'strings are written "…", with plain quotes',
  "− – —": "minus is the plain `-`",
  "× ·": "times is `*`, the matrix product `@`",
  "÷": "division is `/`",
  "≤": "write `<=`",
  "≥": "write `>=`",
  "≠": "write `!=`",
  "∞": "it is `inf`",
  π: "it is `pi`",
  $: "names are made of letters, digits and `_`",
  "\\": "an expression goes on over line ends by itself inside `( )`, and after an operator",
});

/** How a function that is called the other way round, as a method of its first argument, is called here. */
export const asFunction = (name: string): string => `functions come first: ${q(`${name}(x)`)}`;
