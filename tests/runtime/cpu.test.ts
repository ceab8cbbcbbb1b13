/** Devices on this machine's own threads: order, memory, transfers, traces, what is refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { open } from "../../runtime/api.ts";
import type { Device } from "../../runtime/device.ts";
import { openDevices } from "../../runtime/open.ts";
import type { TraceEvent } from "../../runtime/trace.ts";

let a: Device;
let b: Device;
beforeAll(async () => {
  [a, b] = (await openDevices("cpu", 2)) as [Device, Device];
});
afterAll(() => {
  a?.close();
  b?.close();
});

const text = `mesh m(sp)
export shard_map scaled<N>(x: f32[N] @ P(sp)) -> f32[N] @ P(sp) on m { x * 2 + 1 }`;
const program = (n: number, sp: number) => {
  const read = (path: string) => (path === "scaled.gyre" ? text : readSource(path));
  return compile("scaled.gyre", read, { dims: { N: n }, meshSizes: { sp }, target: "cpu" }).compiled!;
};
/** `times` launches of x * 2 + 1 from one buffer to another and back. */
async function repeated(device: Device, n: number, times: number): Promise<Float32Array> {
  const { kernels, schedule } = program(n, 1);
  const kernel = await device.compile(kernels[0]!);
  const buffers = [device.alloc(4 * n, "x"), device.alloc(4 * n, "y")];
  device.write(buffers[0]!, 0, new Float32Array(n).fill(1));
  for (let k = 0; k < times; k++)
    device.launch(kernel, [buffers[k % 2]!, buffers[1 - (k % 2)]!], new Int32Array(0), schedule.kernels[0]!.groups);
  const out = new Float32Array(await device.read(buffers[times % 2]!, 0, 4 * n));
  for (const buffer of buffers) device.free(buffer);
  return out;
}

test("more launches than a queue holds take effect in their order, dealt over the threads", async () => {
  const out = await repeated(a, 50_000, 20);
  expect(out.every((x) => x === 2 ** 21 - 1)).toBe(true);
  expect((await repeated(b, 64, 1000)).every((x) => x === Infinity)).toBe(true);
});

test("memory is zero at first, and again when it was given back and taken", async () => {
  for (let k = 0; k < 3; k++) {
    const buffer = a.alloc(4096, "zeros");
    expect(new Uint8Array(await a.read(buffer, 0, 4096)).every((x) => x === 0)).toBe(true);
    a.write(buffer, 0, new Uint8Array(4096).fill(7));
    a.free(buffer);
  }
});

test("writes and copies stand in the queue between launches", async () => {
  const { kernels, schedule } = program(8, 1);
  const kernel = await a.compile(kernels[0]!);
  const [x, y, z] = [a.alloc(32, "x"), a.alloc(32, "y"), a.alloc(32, "z")];
  const launch = () => a.launch(kernel, [x, y], new Int32Array(0), schedule.kernels[0]!.groups);
  a.write(x, 0, new Float32Array(8).fill(3));
  launch();
  a.copy(y, 0, z, 0, 32);
  a.write(x, 0, new Float32Array(8).fill(10));
  launch();
  expect([...new Float32Array(await a.read(z, 0, 32))]).toEqual(Array(8).fill(7));
  expect([...new Float32Array(await a.read(y, 0, 32))]).toEqual(Array(8).fill(21));
});

test("what is compiled for another target is made for the CPU when it is loaded", async () => {
  const read = (path: string) => (path === "scaled.gyre" ? text : readSource(path));
  const { compiled } = compile("scaled.gyre", read, { dims: { N: 64 }, meshSizes: { sp: 4 }, target: "gpu" });
  const session = await open({ backend: "cpu", devices: 4 });
  const events: TraceEvent[] = [];
  const loaded = await session.load(compiled!);
  const { "": out } = await loaded.run({ x: new Float32Array(64).fill(2) }, { trace: (e) => events.push(e) });
  expect([...(await out!.read()).data]).toEqual(Array(64).fill(5));
  const launches = events.filter((e) => e.stream === "compute");
  expect(launches.length).toBe(4);
  for (const e of launches) expect(e.end).toBeGreaterThanOrEqual(e.start);
  session.close();
});

test("a kernel of another dialect, and an array beyond a memory, are refused", async () => {
  const { kernels } = program(8, 1);
  await expect(a.compile({ ...kernels[0]!, dialect: "wgsl" })).rejects.toMatchObject({ kind: "shader" });
  expect(() => a.alloc(2 ** 32, "huge")).toThrow(/at most/);
});

test("a device that was closed says so, and those beside it go on", async () => {
  const [one, two] = (await openDevices("cpu", 2)) as [Device, Device];
  one.close();
  expect(() => one.alloc(4, "x")).toThrow(/closed/);
  expect((await repeated(two, 64, 3)).every((x) => x === 15)).toBe(true);
  two.close();
});
