/** The CUDA runtime on the stand-in's driver: memory, rings over two GPUs, and everything that can go wrong. */
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { listDevices, openDevices } from "../../runtime/open.ts";
import { sessionOn } from "../../runtime/session.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { devices, kernel, launched } from "./device.ts";
import { type Settings, standIn, useStandIn } from "./stand-in.ts";

const missing = "why" in standIn;
const good = kernel("y[threadIdx.x] = x[threadIdx.x] + 1;");
const x = Float32Array.from({ length: 64 }, (_, i) => i);
const cudaRow = async () => (await listDevices()).find((b) => b.backend === "cuda")!;

describe.skipIf(missing)("what is there", () => {
  const asked = async (settings: Settings, environment: Readonly<Record<string, string>> = {}) => {
    useStandIn(settings);
    Object.assign(process.env, environment);
    const row = await cudaRow();
    useStandIn();
    return row;
  };
  test("two GPUs, numbered", async () => {
    const { devices: found, why } = await asked({});
    expect(found.map((d) => d.name)).toEqual(["Stand-in GPU 0", "Stand-in GPU 1"]);
    expect(why).toEqual([]);
  });
  test.each<[string, Settings, Record<string, string>, string]>([
    ["no driver", {}, { GYRE_CUDA_DRIVER: "/nowhere/libcuda.so.1" }, "no NVIDIA driver (/nowhere/libcuda.so.1)"],
    ["an old driver", { version: 11040 }, {}, "too old: it is for CUDA 11.4, and 11.8 is needed"],
    ["no GPU", { gpus: 0 }, {}, "no GPU that CUDA can use"],
    ["an old GPU", { arch: 75, gpus: 1 }, {}, "Stand-in GPU 0 is sm_75; kernels are made for sm_80 and later"],
    ["a driver that is not of its library", { fault: "cuInit=803@1" }, {}, "of different versions"],
  ])("%s", async (_, settings, environment, says) => {
    const { devices: found, why } = await asked(settings, environment);
    expect(found).toEqual([]);
    expect(why.join()).toContain(says);
  });
  test("a GPU that is not there is asked for", async () => {
    useStandIn();
    await expect(openDevices("cuda:2", 1)).rejects.toMatchObject({ kind: "no-device", exitCode: 3 });
  });
});

describe.skipIf(missing)("memory", () => {
  test("is zero at first, also where it was used before", async () => {
    const [device] = await devices(1);
    for (let round = 0; round < 2; round++) {
      const buffer = device!.alloc(1024, "b");
      expect(new Uint8Array(await device!.read(buffer, 0, 1024)).every((b) => b === 0)).toBe(true);
      device!.write(buffer, 0, new Uint8Array(1024).fill(7));
      device!.free(buffer);
    }
  });
  test("that is not there: which array, how much is in use, what to do; and the device lives on", async () => {
    const [device] = await devices(1, { memory: 1 << 20 });
    const held = device!.alloc(768 << 10, "held");
    expect(() => device!.alloc(512 << 10, "weights")).toThrow(
      /allocating 512 KiB for 'weights' on cuda:0 \(Stand-in GPU 0\): .*CUDA_ERROR_OUT_OF_MEMORY.*768 KiB of 1 MiB are in use/,
    );
    device!.free(held);
    expect(device!.alloc(900 << 10, "weights").bytes).toBe(900 << 10);
  });
});

describe.skipIf(missing)("kernels", () => {
  test("are compiled once, and then found on disk", async () => {
    const [device] = await devices(1);
    expect(await launched(device!, good, x, 64)).toEqual(x.map((v) => v + 1));
    const count = readdirSync(process.env.GYRE_CUDA_CACHE!).length;
    const [again] = await devices(1);
    expect(await launched(again!, good, x, 64)).toEqual(x.map((v) => v + 1));
    expect(readdirSync(process.env.GYRE_CUDA_CACHE!).length).toBe(count);
  });
  test("that are refused: the line, in the compiler's words", async () => {
    const [device] = await devices(1);
    await expect(device!.compile(kernel("y[0] = missing;"))).rejects.toMatchObject({
      kind: "shader",
      message: expect.stringMatching(/missing[\s\S]*y\[0\] = missing;/),
    });
  });
  test("that were compiled for other GPUs are compiled here", async () => {
    const [device] = await devices(1);
    const source = { ...good, code: new Uint8Array([1, 2, 3, 4]) };
    expect(await launched(device!, source, x, 64)).toEqual(x.map((v) => v + 1));
  });
});

describe.skipIf(missing)("what goes wrong later", () => {
  test("a launch that is refused: kernel, blocks and threads", async () => {
    const [device] = await devices(1, { fault: "cuLaunchKernel=701@1" });
    await expect(launched(device!, good, x, 64)).rejects.toMatchObject({
      kind: "limit",
      message: expect.stringContaining("launching 'k' on 1 block of 64 threads on cuda:0 (Stand-in GPU 0)"),
      help: expect.stringContaining("smaller blocks"),
    });
  });
  test("a kernel that touches what is not its own: the device is lost, and says so from then on", async () => {
    const [device] = await devices(1, { quiet: true });
    const bad = kernel("y[threadIdx.x + 4096] = x[0];");
    await expect(launched(device!, bad, x, 64)).rejects.toMatchObject({
      kind: "device-lost",
      message: expect.stringMatching(/'k'.*not its own.*CUDA_ERROR_ILLEGAL_ADDRESS/),
    });
    await expect(device!.lost).resolves.toMatchObject({ kind: "device-lost" });
    expect(() => device!.alloc(4, "b")).toThrow(/ILLEGAL_ADDRESS/);
  });
  test("GYRE_CUDA_SYNC tells which kernel it was", async () => {
    const [device] = await devices(1, { quiet: true });
    process.env.GYRE_CUDA_SYNC = "1";
    const bad = await device!.compile(kernel("y[threadIdx.x + 4096] = x[0];", { name: "bad" }));
    const buffers = [device!.alloc(256, "x"), device!.alloc(256, "y")];
    expect(() => device!.launch(bad, buffers, new Int32Array(0), [1, 1, 1])).toThrow(/^launching 'bad' on 1 block/);
    delete process.env.GYRE_CUDA_SYNC;
  });
  test("work that never ends: the wait does", async () => {
    const [device] = await devices(1, { fault: "cuEventQuery=600@1+" }, 200);
    await expect(device!.idle()).rejects.toMatchObject({ kind: "timeout" });
  });
});

describe.skipIf(missing)("a ring over two GPUs, two positions on each", () => {
  const sizes = { dims: { B: 1, S: 64, H: 2, D: 8 }, meshSizes: { sp: 4 } };
  const { compiled } = compile("examples/05-ring-attention.gyre", readSource, { ...sizes, target: "cuda" });
  const random = (seed: number): Float32Array =>
    Float32Array.from({ length: 64 * 16 }, (_, i) => Math.sin(seed + 12.9898 * i));
  const inputs = { q: random(1), k: random(2), v: random(3) };
  const run = async (settings: Settings, trace?: (event: TraceEvent) => void) => {
    const opened = await devices(4, settings);
    const program = await sessionOn(opened).load(compiled!);
    const { "": out } = await program.run(inputs, trace ? { trace } : {});
    const { data, shape: made } = await out!.read();
    expect(made).toEqual([1, 64, 2, 8]);
    return Float32Array.from(data);
  };

  test("whatever the order of the work, with access between the GPUs and without", async () => {
    const right = await run({ schedule: 1 });
    for (const schedule of [0, 2, 3, 4, 5, 6, 7]) expect(await run({ schedule })).toEqual(right);
    for (const schedule of [0, 2]) expect(await run({ schedule, peers: false })).toEqual(right);
    expect(await run({ schedule: 2, gpus: 1 })).toEqual(right);
  });
  test("what ran when, from the GPUs' own clocks", async () => {
    const events: TraceEvent[] = [];
    await run({}, (event) => events.push(event));
    for (const position of [0, 1, 2, 3]) {
      const mine = events.filter((e) => e.device === `cuda:${position}`);
      const compute = mine.filter((e) => e.stream === "compute");
      expect(compute.length).toBeGreaterThanOrEqual(4);
      for (const [i, e] of compute.entries()) {
        expect(e.end).toBeGreaterThanOrEqual(e.start);
        if (i > 0) expect(e.start).toBeGreaterThanOrEqual(compute[i - 1]!.end - 1);
      }
      expect(mine.some((e) => e.stream.startsWith("sp+1"))).toBe(true);
    }
  });
  test("a GPU that is lost on the way ends the run with its name", async () => {
    await expect(run({ fault: "cuMemcpyPeerAsync=719@3" })).rejects.toMatchObject({
      kind: "device-lost",
      message: expect.stringMatching(/step '.*' on cuda:\d .*CUDA_ERROR_LAUNCH_FAILED/),
    });
  });
});
