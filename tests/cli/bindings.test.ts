import { expect, test } from "vitest";
import { bindings } from "../../compiler/emit/bindings.ts";
import type { Port, Schedule } from "../../compiler/schedule/schedule.ts";
import { typeErrors } from "./typecheck.ts";

const port = (path: string, dtype: Port["dtype"], written: string, shape: readonly number[]): Port => ({
  path,
  dtype,
  shape,
  spec: shape.map((_, i) => ({ axes: i === 0 ? ["sp"] : [], layout: "contiguous" })),
  written: written === "" ? [] : written.split(", "),
  value: 0,
  buffer: 0,
});

function schedule(name: string, inputs: readonly Port[], outputs: readonly Port[]): Schedule {
  const mesh = { name: "pod", axes: [{ name: "sp", size: 4 }] };
  const memory = { bytes: 0, parts: [] };
  const ins = inputs.map((p) => ({ ...p, donated: false }));
  return {
    version: 1,
    name,
    mesh,
    values: [],
    buffers: [],
    kernels: [],
    streams: [],
    inputs: ins,
    outputs,
    steps: [],
    memory,
  };
}

const kernels = [
  {
    name: "add",
    dialect: "wgsl" as const,
    entry: "main",
    access: ["read", "read_write"] as const,
    uniformWords: 1,
    threads: 64,
    sharedBytes: 0,
  },
];

test("a sole result, plain inputs", async () => {
  const s = schedule(
    "attention",
    [port("q", "f32", "B, S", [2, 8]), port("ids", "i32", "B", [2])],
    [port("", "bf16", "B, S", [2, 8])],
  );
  const made = await bindings({ schedule: s, kernels, doc: "Causal attention." });
  expect(made).toContain("/** f32[B, S] = f32[2, 8], 16 numbers; on the mesh P(sp, _) */");
  expect(made).toContain("* Causal attention.");
  expect(
    typeErrors(
      made,
      `
    import { attention, openAttention } from "./made.ts";
    const inputs = { q: new Float32Array(16), ids: new Int32Array(2) };
    export const once: Float32Array = await attention(inputs);
    const program = await openAttention({ backend: "webgpu" });
    export const again: Float32Array = await program.run(inputs, { donate: ["q"] });
    program.close();`,
    ),
  ).toEqual([]);
  expect(
    typeErrors(
      made,
      `
    import { attention } from "./made.ts";
    await attention({ q: new Float32Array(16) });`,
    )[0],
  ).toContain("'ids' is missing");
});

test("records and tuples nest; names that TypeScript keeps for itself", async () => {
  const s = schedule(
    "new",
    [port("p.w.0", "f32", "S", [8]), port("p.w.1", "bool", "S", [8]), port("p.eps", "f32", "", [])],
    [port("loss", "f32", "", []), port("state.0", "u32", "S", [8]), port("state.1.m", "f32", "S", [8])],
  );
  const made = await bindings({ schedule: s, kernels });
  expect(
    typeErrors(
      made,
      `
    import { new_ } from "./made.ts";
    const { loss, state } = await new_({ p: { w: [new Float32Array(8), new Uint8Array(8)], eps: new Float32Array(1) } });
    export const all: [Float32Array, Uint32Array, Float32Array] = [loss, state[0], state[1].m];`,
    ),
  ).toEqual([]);
});

test("no inputs", async () => {
  const made = await bindings({ schedule: schedule("table", [], [port("", "i32", "8", [8])]), kernels: [] });
  expect(typeErrors(made, `import { table } from "./made.ts"; export const t: Int32Array = await table({});`)).toEqual(
    [],
  );
});
