/** Programs in the words of the language reference: every construct of it stands in one of them. */
export const programs: Readonly<Record<string, string>> = {
  attention: `import { ring_attention, causal, same_segment, all_of } from "gyre/attention"

mesh pod(dp: 1, fsdp: 1, sp: 4, tp: 1)

/// Causal attention over packed documents; the sequence is split over \`sp\`, the heads over \`tp\`.
export shard_map attention<B, S, H, D>(
  q: f32[B, S, H, D] @ P((dp, fsdp), sp, tp, _),
  k: f32[B, S, H, D] @ P((dp, fsdp), sp, tp, _),
  v: f32[B, S, H, D] @ P((dp, fsdp), sp, tp, _),
  segment_ids: i32[B, S] @ P((dp, fsdp), _),
) -> f32[B, S, H, D] @ P((dp, fsdp), sp, tp, _) on pod {
  ring_attention(q, k, v, axis = sp,
    mask = all_of(causal(), same_segment(segment_ids)),
    query_chunk = 64, key_chunk = 64)
}
`,
  ring: `fn ring<S, D>(q: f32[S, D], k0: f32[S, D], v0: f32[S, D], acc0: f32[S, D]) {
  fold step in axis_size(sp) with (acc, k, v) = (acc0, k0, v0) {
    (attend(acc, q, k, v), ppermute(k, sp, shift = 1), ppermute(v, sp, shift = 1))
  }
}
`,
  tiles: `fn flash<B, H, Q, K, D>(q: f32[B, Q, H, D], k: f32[B, K, H, D], v: f32[B, K, H, D]) {
  tiles b in B, h in H, i in Q by 64 into ([b, h, i], [b, i, h, :]) {
    let qi = q[b, i, h, :]                       // f32[i, D]: a block index slices
    let (m, l, o) = fold j in K by 32 with (m, l, o) = (full(-inf), zeros, zeros) {
      let s = qi @ k[b, j, h, :].T / sqrt(D)     // f32[i, j]
      let top = max(m, max(s, dim = 1))
      // The old sums are scaled to the new maximum.
      let old = exp(m - top)

      (top, l * old + sum(exp(s - top[:, None]), dim = 1), o * old[:, None])
    }
    (m + log(l), o / l[:, None])                 // one value for each result in \`into\`
  }
}

fn relu_rows<N>(x: f32[N, N]) = tiles i in N by auto into [i, :] { max(x[i, :], 0) }
`,
  declarations: `import { a, b as c } from "./file.gyre"
export { causal, prefix as first } from "gyre/masks"

mesh pod(dp, sp)

const BLOCK = 64
const EPS = 1e-6
const ON = true

type State<B, H> = { m: f32[B, H], l: f32[B, H] }
type Params<L, E, H, D> = {
  wq: f32[L, E, H, D] @ P(_, fsdp, tp, _),
  // The output projection.
  wo: f32[L, H, D, E] @ P(_, tp, _, fsdp),  // back

  norm: f32[L, E],
}

fn square(x: f32) -> f32 = x * x
fn mask(q: i32, k: i32) -> bool { q >= k }
fn unit() = ()

/// Rows of \`x\`
///   scaled.
export fn scale<N, T: float>(x: T[N], by: T = 2) -> T[N] { by * x }

derivative scale(x, by) {
  (scale(x, by), |g| (g * by, sum(g * x)))
}

export shard_map step<L, E, H, D>(
  p: Params<L, E, H, 2*D>,
  x: f32[E] @ P(zigzag(sp)),
  y: f32[E] @ P(striped((dp, sp))),
  f: (i32, k: i32) -> bool,
  axes: axis,
) -> (f32[E] @ P(sp), { loss: f32 @ P(), count: i32 @ P() }) on pod {
  (x, { loss: 0.0, count: 1 })
}

fn local(x: f32[B, S/sp] varying {sp}) -> f32[B/(dp*fsdp), S/sp, H/tp, D] = x
`,
  expressions: `fn expressions(x: f32[M, N], i: i32, r: State<M, N>) {
  let y = x.T @ x + -x * 2 - x % 3
  let (a, b) = (x[i, :, None, 1..4], x[..2, 3..])
  let { m, l: { z, w: _ } } = r
  let t: (f32[M], i32) = (x[:, 0], 7)
  let k = t.0 + cast(t.1, f32); let s = t.0.1
  let picked = where(x > 0 && !(x == 1 || x <= -1), x, inf)
  let e = einsum("b q h d, b k h d -> b h q k", x, y)
  let z = zeros(f32[M, S/sp]) + full(f32[M, N], 0x1F) + zeros(State<M, 2*N>)
  let g = value_and_grad(|p| loss(p, x))(r)
  let f = |x: f32[M, N], (u, v), { m }| x + u * v - m
  let h = if i == 0 { 1 } else if i > 3 && i < 9 { 2 } else { 3 }
  let c = checkpoint(block, policy = nothing_saveable)(x)
  let update = { ...r, m: y, l }
  let (carry, stacked) = fold j in 4 with acc: f32 = 0.0 collect { (acc + 1, acc) }
  let pairs = ppermute(x, sp, pairs = ((0, 1), (1, 0)))
  let nothing = ()
  let one = (x,)
  let last = x[..., 0]
  { m: y, l: z, e }
}
`,
  lines: `fn lines(a: f32, b: f32) {
  let sum = a
    + b
    - a
  let product = sum
    * b
    && true
  let negative = a
  let tuple = b
  (-negative, tuple)
}

fn minus(a: f32) {
  let b = a
  -b
}

fn pullback(a: f32) {
  let b = a
  |g| (g * b,)
}
`,
};
