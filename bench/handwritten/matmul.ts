/**
 * The best matrix product that was written by hand for the software adapter: [M, K] times [K, N], f32, M a multiple of 16,
 * K of 4, N of 32.
 *
 * A subgroup of 4 lanes owns 16 rows and 32 columns of the result, 4 rows for each lane. At each step of 4 along K a lane
 * loads its rows of the left operand and one row of the right one, and `subgroupBroadcast` spreads the latter.
 */
import type { KernelSource } from "../../runtime/device.ts";

const ROWS = 4;
const LANES = 4;
const VECS = 8; // vec4s of a row of the block

export type ProductSize = { readonly m: number; readonly k: number; readonly n: number };

/** Workgroups to launch: blocks of columns × blocks of rows. */
export const handwrittenProductGroups = ({ m, n }: ProductSize): readonly [number, number, number] => [
  n / (4 * VECS),
  m / (ROWS * LANES),
  1,
];

const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

/** The kernel for a size; bindings are a, b and the result. It needs subgroups of exactly 4. */
export function handwrittenProduct({ k, n }: ProductSize): KernelSource {
  const rows = range(ROWS);
  const vecs = range(VECS);
  const lines = (parts: readonly string[], indent: number): string => parts.join(`\n${" ".repeat(indent)}`);
  const text = `enable subgroups;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4f>;

@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let first = group.y * ${ROWS * LANES}u + lane * ${ROWS}u;
  let column = group.x * ${VECS}u;
  ${lines(
    rows.map((r) => vecs.map((c) => `var s${r}_${c} = vec4f(0);`).join(" ")),
    2,
  )}
  for (var step = 0u; step < ${k / 4}u; step++) {
    let row = (step * 4u + lane) * ${n / 4}u + column;
    ${lines(
      rows.map((r) => `let a${r} = a[(first + ${r}u) * ${k / 4}u + step];`),
      4,
    )}
    ${lines(
      vecs.map((c) => `let l${c} = b[row + ${c}u];`),
      4,
    )}
    ${lines(
      vecs.flatMap((c) => [
        range(LANES)
          .map((i) => `let b${i}_${c} = subgroupBroadcast(l${c}, ${i}u);`)
          .join(" "),
        ...rows.map(
          (r) => `s${r}_${c} += ${["x", "y", "z", "w"].map((x, i) => `a${r}.${x} * b${i}_${c}`).join(" + ")};`,
        ),
      ]),
      4,
    )}
  }
  ${lines(
    rows.flatMap((r) => vecs.map((c) => `result[(first + ${r}u) * ${n / 4}u + column + ${c}u] = s${r}_${c};`)),
    2,
  )}
}
`;
  return {
    name: "handwritten",
    dialect: "wgsl",
    text,
    entry: "main",
    access: ["read", "read", "read_write"],
    uniformWords: 0,
    threads: LANES,
    sharedBytes: 0,
  };
}
