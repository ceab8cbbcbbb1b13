/** Kernels by hand in WGSL, for running device programs on real devices before (and beside) the compiler's own. */
import type { KernelSource } from "../../runtime/device.ts";

/** `body` with `i` the element: `args` are the arrays in order, `read_write` for what is written. */
export function elementKernel(
  name: string,
  args: Record<string, "read" | "read_write">,
  count: number,
  body: string,
  scalars: readonly string[] = [],
): KernelSource {
  const bindings = Object.entries(args).map(
    ([arg, access], k) => `@group(0) @binding(${k + 1}) var<storage, ${access}> ${arg}: array<f32>;`,
  );
  const uniforms =
    scalars.length === 0
      ? []
      : [
          `struct Params { ${scalars.map((s) => `${s}: i32,`).join(" ")} }`,
          "@group(0) @binding(0) var<uniform> params: Params;",
        ];
  return {
    name,
    dialect: "wgsl",
    threads: 64,
    sharedBytes: 0,
    entry: "main",
    text: [
      ...uniforms,
      ...bindings,
      "@compute @workgroup_size(64)",
      "fn main(@builtin(global_invocation_id) id: vec3<u32>) {",
      `  let i = id.x;`,
      `  if (i >= ${count}u) { return; }`,
      body,
      "}",
    ].join("\n"),
    access: Object.values(args),
    uniformWords: scalars.length,
  };
}

export const groupsFor = (count: number): [number, number, number] => [Math.ceil(count / 64), 1, 1];
