/** Schedules on real devices (the software adapter): hand-written kernels, planned transfers, memory from run to run. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { plan } from "../../compiler/schedule/plan.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import { open } from "../../runtime/api.ts";
import type { KernelSource } from "../../runtime/device.ts";
import type { Executable, Session } from "../../runtime/session.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { launch, loop, metaOf, permute, programBuilder, ringSum, update } from "../schedule/programs.ts";
import { elementKernel, groupsFor } from "./kernels.ts";

const N = 4;
let session: Session;
beforeAll(async () => {
  session = await open({ backend: "webgpu", mesh: { sp: N } });
});
afterAll(() => session?.close());

function executable(program: DeviceProgram, kernels: readonly KernelSource[], count: number): Executable {
  const meta = metaOf(program, groupsFor(count));
  return { schedule: plan(program, meta), kernels, replan: (donate) => plan(program, meta, { donate }) };
}

const SIZE = 1000;
const ringSumKernels = [
  elementKernel("fill", { out: "read_write" }, SIZE, "out[i] = 0.0;"),
  elementKernel("add", { a: "read", b: "read", out: "read_write" }, SIZE, "out[i] = a[i] + b[i];"),
];

test("the sum round a ring: n - 1 transfers, every device has the sum of all", async () => {
  const made = executable(ringSum(N, SIZE), ringSumKernels, SIZE);
  expect(checkSchedule(made.schedule)).toEqual([]);
  const program = await session.load(made);
  const x = Float32Array.from({ length: N * SIZE }, (_, i) => i % 97);
  const events: TraceEvent[] = [];
  const { "": sum } = await program.run({ x }, { trace: (e) => events.push(e) });
  const { data, shape } = await sum!.read();
  expect(shape).toEqual([N * SIZE]);
  for (let i = 0; i < SIZE; i++) {
    const total = [0, 1, 2, 3].reduce((t, d) => t + x[d * SIZE + i]!, 0);
    for (let d = 0; d < N; d++) expect(data[d * SIZE + i]).toBe(total);
  }
  const sends = events.filter((e) => e.name === "send cur on sp+1");
  expect(sends.length).toBe(N * (N - 1));
  const labels = new Set(
    made.schedule.steps.flatMap((s) => (s.kind === "loop" ? [s, ...s.body] : [s])).map((s) => s.label),
  );
  for (const e of events) expect(labels).toContain(e.name);
  expect(new Set(events.map((e) => e.device)).size).toBe(N);
});

/** c = a @ b with a[M/n, K] and b[K/n, C] both split over sp: b goes round the ring. */
function ringMatmul(m: number, k: number, c: number): { program: DeviceProgram; kernels: KernelSource[] } {
  const b = programBuilder("ring_matmul", { sp: N });
  const a = b.input("a", [m, k * N], "sp");
  const w = b.input("b", [k, c], "sp");
  const zero = b.array("zero", [m, c]);
  const fill = b.kernel("fill", ["write"], [m, c]);
  const acc = b.array("acc", [m, c]);
  const acc2 = b.array("acc'", [m, c]);
  const wIn = b.array("w", [k, c]);
  const w2 = b.array("w'", [k, c]);
  const out = b.array("c", [m, c]);
  const mul = b.kernel(
    "mul",
    ["read", "read", "read", "write"],
    [],
    [
      { kind: "axis_index", axes: ["sp"] },
      { kind: "step", loop: 0 },
    ],
  );
  b.output(out, "", "sp");
  const program = b.finish([
    launch(fill, zero),
    loop(
      0,
      N,
      [
        [zero, acc, acc2, out],
        [w, wIn, w2, null],
      ],
      [launch(mul, acc, a, wIn, acc2), permute(wIn, w2)],
    ),
  ]);
  const shapes = [
    [m, c],
    [m, k * N],
    [k, c],
    [m, c],
  ];
  const kernels = program.kernels.map((kernel, i) =>
    i === fill ? kernel : { ...kernel, buffers: kernel.buffers.map((buf, j) => ({ ...buf, shape: shapes[j]! })) },
  );
  const body = `
    let row = i / ${c}u; let col = i % ${c}u;
    let block = (params.place - params.step + ${N}) % ${N};   // the rows of b that are here now
    var sum = acc[i];
    for (var r = 0u; r < ${k}u; r++) { sum += a[row * ${k * N}u + u32(block) * ${k}u + r] * w[r * ${c}u + col]; }
    out[i] = sum;`;
  return {
    program: { ...program, kernels },
    kernels: [
      elementKernel("fill", { out: "read_write" }, m * c, "out[i] = 0.0;"),
      elementKernel("mul", { acc: "read", a: "read", w: "read", out: "read_write" }, m * c, body, ["place", "step"]),
    ],
  };
}

test("a product with one factor going round, its result the next one's input without leaving the devices", async () => {
  const size = 16;
  const { program, kernels } = ringMatmul(size / N, size / N, size);
  const loaded = await session.load(executable(program, kernels, (size / N) * size));
  const a = Float32Array.from({ length: size * size }, (_, i) => ((i * 7) % 11) - 5);
  const b = Float32Array.from({ length: size * size }, (_, i) => ((i * 5) % 13) - 6);
  const product = (x: ArrayLike<number>, y: ArrayLike<number>) =>
    Float32Array.from({ length: size * size }, (_, i) => {
      let sum = 0;
      for (let r = 0; r < size; r++) sum += x[Math.floor(i / size) * size + r]! * y[r * size + (i % size)]!;
      return sum;
    });
  const { "": ab } = await loaded.run({ a, b });
  const { "": abb } = await loaded.run({ a: ab!, b }, { donate: ["a"] });
  expect((await abb!.read()).data).toEqual(product(product(a, b), b));
  await expect(ab!.read()).rejects.toThrow("cannot read 'result' (f32[16, 16]): it was donated to 'ring_matmul'");
});

test("an input that is donated and updated in place: one buffer for the state, however many steps", async () => {
  const b = programBuilder("count", { sp: N });
  const state = b.input("state", [SIZE], "sp");
  const next = b.array("next", [SIZE]);
  const bump = b.kernel("bump", ["update"], [SIZE]);
  b.output(next, "state", "sp");
  const program = b.finish([update(bump, [next], 0, state)]);
  const kernels = [elementKernel("bump", { s: "read_write" }, SIZE, "if (i % 2u == 0u) { s[i] = s[i] + 1.0; }")];
  const made = executable(program, kernels, SIZE);
  const loaded = await session.load(made);
  expect(made.schedule.buffers.length).toBe(2);
  expect(made.replan!(["state"]).buffers.length).toBe(1);

  let array = await loaded.put("state", new Float32Array(N * SIZE));
  for (let i = 0; i < 5; i++) array = (await loaded.run({ state: array }, { donate: ["state"] })).state!;
  const { data } = await array.read();
  expect([data[0], data[1], data[2], data[N * SIZE - 1]]).toEqual([5, 0, 5, 0]);
  const kept = (await loaded.run({ state: array })).state!;
  expect((await kept.read()).data[0]).toBe(6);
  expect((await array.read()).data[0]).toBe(5);
});
