/**
 * The yardstick: the best blockwise attention kernel that was written by hand for the software adapter.
 * B = 1 · any H and S (S a multiple of 32), D a multiple of 4, f32, full or causal, layout [S, H, D].
 *
 * A subgroup of 4 lanes owns 32 query rows, 8 for each lane. It goes over the keys in blocks of 32: each lane loads the
 * rows that the others don't, and `subgroupBroadcast` spreads them, because on that adapter a load costs as much as
 * twenty multiply-adds. Scores stay in registers; no workgroup memory, no barriers. A causal one ends at the diagonal.
 */
import type { KernelSource } from "../../runtime/device.ts";

const ROWS = 8;
const KEYS = 32;
const LANES = 4;

export type AttentionSize = {
  readonly heads: number;
  readonly length: number;
  readonly depth: number;
  readonly causal: boolean;
};

/** Workgroups to launch: blocks of queries × heads. */
export const handwrittenGroups = (size: AttentionSize): readonly [number, number, number] => [
  size.length / (ROWS * LANES),
  size.heads,
  1,
];

const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
const halves = ["a", "b"] as const; // rows 0–3 and 4–7
const xyzw = ["x", "y", "z", "w"] as const;
const lines = (parts: readonly string[], indent: number): string => parts.join(`\n${" ".repeat(indent)}`);

/** The kernel for a size; bindings are q, k, v and the result. It needs subgroups of exactly 4. */
export function handwrittenAttention({ heads, length, depth, causal }: AttentionSize): KernelSource {
  const vecs = depth / 4; // vec4s in a row
  const stride = heads * vecs; // vec4s from one position to the next
  const q = (r: number) => `q${r}`;
  const gathered = (h: 0 | 1, c: string) =>
    `vec4f(${range(4)
      .map((i) => `${q(4 * h + i)}.${c}`)
      .join(", ")})`;

  const scores = range(KEYS).flatMap((k) => [
    `let k${k} = subgroupBroadcast(l${k >> 2}, ${k & 3}u);`,
    ...halves.map((h) => `s${k}${h} += ${xyzw.map((c) => `q${c}${h} * k${k}.${c}`).join(" + ")};`),
  ]);
  const weighted = (r: number) =>
    range(KEYS)
      .map((k) => `s${k}${halves[r >> 2]}.${xyzw[r & 3]} * v${k}`)
      .join(" + ");
  const hidden = range(KEYS).flatMap((k) =>
    halves.map(
      (h, i) => `s${k}${h} = select(vec4f(-1e30), s${k}${h}, lane * ${ROWS}u + ${4 * i}u + row >= vec4u(${k}));`,
    ),
  );
  const maxOf = (h: string) => range(KEYS).reduce((sofar, k) => `max(${sofar}, s${k}${h})`, `m${h}`);

  const text = `enable subgroups;
@group(0) @binding(1) var<storage, read> queries: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4f>;
@group(0) @binding(3) var<storage, read> values: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4f>;

@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let head = group.y * ${vecs}u;
  let q0row = group.x * ${ROWS * LANES}u + lane * ${ROWS}u;
  let qbase = q0row * ${stride}u + head;
  var o: array<vec4f, ${ROWS * vecs}>;
  var ma = vec4f(-1e30); var mb = vec4f(-1e30);
  var la = vec4f(0); var lb = vec4f(0);
  ${causal ? `let diagonal = group.x * ${KEYS}u; // as many queries as keys in a block\n  let row = vec4u(0, 1, 2, 3);` : ""}
  for (var block = 0u; block < ${causal ? `diagonal + ${KEYS}u` : `${length}u`}; block += ${KEYS}u) {
    let kbase = (block + lane) * ${stride}u + head;
    ${lines(
      range(KEYS).map((k) => halves.map((h) => `var s${k}${h} = vec4f(0);`).join(" ")),
      4,
    )}
    for (var d = 0u; d < ${vecs}u; d++) {
      ${lines(
        range(ROWS).map((r) => `let ${q(r)} = queries[qbase + ${r * stride}u + d];`),
        6,
      )}
      ${lines(
        range(KEYS / LANES).map((j) => `let l${j} = keys[kbase + ${j * LANES * stride}u + d];`),
        6,
      )}
      ${lines(
        xyzw.flatMap((c) => halves.map((h, i) => `let q${c}${h} = ${gathered(i as 0 | 1, c)};`)),
        6,
      )}
      ${lines(scores, 6)}
    }
    ${lines(
      range(KEYS).map((k) => halves.map((h) => `s${k}${h} *= ${1 / Math.sqrt(depth)};`).join(" ")),
      4,
    )}
    ${causal ? `if (block == diagonal) {\n      ${lines(hidden, 6)}\n    }` : ""}
    let na = ${maxOf("a")};
    let nb = ${maxOf("b")};
    let ca = exp(ma - na); let cb = exp(mb - nb);
    ma = na; mb = nb;
    ${lines(
      range(KEYS).map((k) => halves.map((h) => `s${k}${h} = exp(s${k}${h} - m${h});`).join(" ")),
      4,
    )}
    ${lines(
      halves.map(
        (h) =>
          `l${h} = l${h} * c${h} + ${range(KEYS)
            .map((k) => `s${k}${h}`)
            .join(" + ")};`,
      ),
      4,
    )}
    for (var d = 0u; d < ${vecs}u; d++) {
      ${lines(
        range(KEYS / LANES).map((j) => `let l${j} = values[kbase + ${j * LANES * stride}u + d];`),
        6,
      )}
      ${lines(
        range(KEYS).map((k) => `let v${k} = subgroupBroadcast(l${k >> 2}, ${k & 3}u);`),
        6,
      )}
      ${lines(
        range(ROWS).map(
          (r) =>
            `o[d * ${ROWS}u + ${r}u] = o[d * ${ROWS}u + ${r}u] * c${halves[r >> 2]}.${xyzw[r & 3]} + ${weighted(r)};`,
        ),
        6,
      )}
    }
  }
  for (var d = 0u; d < ${vecs}u; d++) {
    ${lines(
      range(ROWS).map(
        (r) => `result[qbase + ${r * stride}u + d] = o[d * ${ROWS}u + ${r}u] / l${halves[r >> 2]}.${xyzw[r & 3]};`,
      ),
      4,
    )}
  }
}
`;
  return {
    name: "handwritten",
    dialect: "wgsl",
    text,
    entry: "main",
    access: ["read", "read", "read", "read_write"],
    uniformWords: 0,
    threads: 0,
    sharedBytes: 0,
  };
}
