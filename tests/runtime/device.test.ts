import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device, DeviceBuffer, KernelSource } from "../../runtime/device.ts";
import { GyreRuntimeError } from "../../runtime/errors.ts";
import { listDevices, openDevices, parseSpec } from "../../runtime/open.ts";
import { driverError } from "../../runtime/webgpu/refusals.ts";

/** `out[i] = in[i] * words.scale + words.shift`, on 64 elements for each workgroup. */
const AXPB: KernelSource = {
  name: "axpb",
  entry: "main",
  access: ["read", "read_write"],
  uniformWords: 2,
  dialect: "wgsl",
  threads: 64,
  sharedBytes: 0,
  text: `
    struct Words { scale: u32, shift: u32 }
    @group(0) @binding(0) var<uniform> words: Words;
    @group(0) @binding(1) var<storage, read> source: array<u32>;
    @group(0) @binding(2) var<storage, read_write> target_: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&source)) { target_[id.x] = source[id.x] * words.scale + words.shift; }
    }`,
};

const iota = (n: number, from = 0) => Uint32Array.from({ length: n }, (_, i) => from + i);
const kindOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return (error as GyreRuntimeError).kind;
  }
  return "no error";
};

describe("the software adapter", () => {
  let a: Device;
  let b: Device;
  beforeAll(async () => {
    [a, b] = (await openDevices("webgpu", 2, { adapter: "software" })) as [Device, Device];
  });
  afterAll(() => {
    a?.close();
    b?.close();
  });

  test("says what it is", () => {
    expect(a.info).toMatchObject({ backend: "webgpu", name: "webgpu:0", software: true });
    expect(b.info.name).toBe("webgpu:1");
    expect(a.info.adapter).toMatch(/SwiftShader/);
    expect(a.info.limits).toMatchObject({ maxBufferBytes: 2 ** 30, maxBindingBytes: 2 ** 30 });
    expect(a.info.features.subgroups).toEqual({ min: 4, max: 4 });
  });

  test("writes, launches and reads in the order of the calls", async () => {
    const x = a.alloc(400, "x");
    const y = a.alloc(400, "y");
    const kernel = await a.compile(AXPB);
    a.write(x, 0, iota(100));
    a.launch(kernel, [x, y], Uint32Array.of(2, 1), [2, 1, 1]);
    a.launch(kernel, [y, x], Uint32Array.of(1, 5), [2, 1, 1]);
    a.write(y, 0, Uint32Array.of(7)); // after both launches
    expect(new Uint32Array(await a.read(x, 0, 400))).toEqual(iota(100).map((i) => 2 * i + 6));
    expect(new Uint32Array(await a.read(y, 0, 8))).toEqual(Uint32Array.of(7, 3));
    a.copy(x, 40, y, 0, 8);
    expect(new Uint32Array(await a.read(y, 0, 12))).toEqual(Uint32Array.of(26, 28, 5));
    a.free(x);
    a.free(y);
  });

  test("a long run of launches is cut into batches, each with its own words", async () => {
    const x = a.alloc(256, "x");
    const y = a.alloc(256, "y");
    const kernel = await a.compile(AXPB);
    for (let i = 0; i < 300; i++) a.launch(kernel, i % 2 ? [y, x] : [x, y], Uint32Array.of(1, i), [1, 1, 1]);
    await a.idle();
    expect(new Uint32Array(await a.read(x, 0, 8))).toEqual(Uint32Array.of(44850, 44850)); // 0 + 1 + … + 299
  });

  test("memory is zero at first, and may be freed while gathered work uses it", async () => {
    const x = a.alloc(256, "x");
    const y = a.alloc(256, "y");
    const kernel = await a.compile(AXPB);
    a.launch(kernel, [x, y], Uint32Array.of(1, 9), [1, 1, 1]);
    a.free(x);
    a.free(x);
    expect(new Uint32Array(await a.read(y, 0, 4))[0]).toBe(9);
    expect(kindOf(() => a.write(x, 0, iota(1)))).toBe("internal");
  });

  test("moves bytes between devices", async () => {
    const n = 1 << 18;
    const x = a.alloc(4 * n, "x");
    const y = b.alloc(4 * n, "y");
    a.write(x, 0, iota(n, 3));
    await transfer(a, x, 4, b, y, 0, 4 * (n - 1));
    const got = new Uint32Array(await b.read(y, 0, 4 * n));
    expect([got[0], got[n - 2], got[n - 1]]).toEqual([4, n + 2, 0]);
    expect(kindOf(() => a.write(y, 0, iota(1)))).toBe("internal");
  });

  test("takes views with an offset and shared memory", async () => {
    const x = a.alloc(16, "x");
    a.write(x, 0, iota(8).subarray(2, 6));
    expect(new Uint32Array(await a.read(x, 0, 16))).toEqual(Uint32Array.of(2, 3, 4, 5));
    const shared = new Uint32Array(new SharedArrayBuffer(16));
    shared.set([9, 8, 7, 6]);
    a.write(x, 0, shared);
    expect(new Uint32Array(await a.read(x, 0, 16))).toEqual(Uint32Array.of(9, 8, 7, 6));
  });

  test("compiles a source once, and other sources apart", async () => {
    expect(await a.compile(AXPB)).toBe(await a.compile({ ...AXPB }));
    expect(await a.compile({ ...AXPB, text: `${AXPB.text}\n` })).not.toBe(await a.compile(AXPB));
  });

  test("a refused shader is an error with the kernel's name, the place and the line", async () => {
    const broken = { ...AXPB, name: "broken", text: AXPB.text.replace("source[id.x] *", "sauce[id.x] *") };
    const error = await a.compile(broken).catch((e) => e);
    expect(error).toBeInstanceOf(GyreRuntimeError);
    expect(error.kind).toBe("shader");
    expect(error.exitCode).toBe(3);
    expect(error.message).toMatch(/refused kernel 'broken':7:\d+: unresolved value 'sauce'/);
    expect(error.message).toMatch(/target_\[id.x\] = sauce\[id.x\]/);
    await a.compile(AXPB); // and the device lives on
    await a.idle();
  });

  test("a shader that does not fit its declared bindings is refused too", async () => {
    const error = await a.compile({ ...AXPB, access: ["read"] }).catch((e) => e);
    expect(error.kind).toBe("shader");
    await a.idle();
  });

  test("limits are errors that name the limit and a way out", async () => {
    const { limits } = a.info;
    expect(kindOf(() => a.alloc(limits.maxBufferBytes + 4, "huge"))).toBe("limit");
    expect(() => a.alloc(2 ** 31, "weights")).toThrow(/'weights' needs 2 GiB; SwiftShader.* at most 1 GiB/);
    const many = { ...AXPB, access: Array<"read">(limits.maxStorageBuffers + 1).fill("read") };
    await expect(a.compile(many)).rejects.toMatchObject({ kind: "limit" });
    const kernel = await a.compile(AXPB);
    const x = a.alloc(4, "x");
    const y = a.alloc(4, "y");
    const words = Uint32Array.of(1, 1);
    expect(kindOf(() => a.launch(kernel, [x, y], words, [1 << 16, 1, 1]))).toBe("limit");
    expect(kindOf(() => a.launch(kernel, [x, x], words, [1, 1, 1]))).toBe("internal");
    expect(kindOf(() => a.launch(kernel, [x], words, [1, 1, 1]))).toBe("internal");
    await a.idle();
  });

  test("memory that the driver cannot give is an error, and the device lives on", async () => {
    // SwiftShader's own limit on one allocation is what it names as the limit of a buffer, less what Vulkan adds.
    const held = [a.alloc(2 ** 20, "small")];
    const before = kindOf(() => held.push(a.alloc(a.info.limits.maxBufferBytes, "big")));
    expect(before).toBe("out-of-memory");
    expect(() => a.alloc(2 ** 30, "big")).toThrow(/webgpu:0 \(SwiftShader.*\) has no 1 GiB for 'big'/);
    expect(new Uint32Array(await a.read(held[0]!, 0, 4))[0]).toBe(0);
    for (const buffer of held) a.free(buffer);
  });

  test("reports how long each launch took", async () => {
    const x = a.alloc(4096, "x");
    const y = a.alloc(4096, "y");
    const kernel = await a.compile(AXPB);
    const seen: { name: string; start: number; end: number }[] = [];
    const began = performance.now() * 1000;
    a.trace((name, start, end) => seen.push({ name, start, end }));
    for (let i = 0; i < 70; i++) a.launch(kernel, [x, y], Uint32Array.of(1, 1), [16, 1, 1]);
    await a.idle();
    const ended = performance.now() * 1000;
    a.trace(undefined);
    expect(seen).toHaveLength(70);
    for (const { name, start, end } of seen) {
      expect(name).toBe("axpb");
      expect(end).toBeGreaterThan(start);
      expect(start).toBeGreaterThan(began);
      expect(end).toBeLessThan(ended + 1000);
    }
  });

  test("a wait ends when nothing moves", async () => {
    const [slow] = (await openDevices("webgpu", 1, { adapter: "software", timeoutMs: 50 })) as [Device];
    const text = `
      @group(0) @binding(1) var<storage, read_write> x: array<u32>;
      @compute @workgroup_size(1) fn main() {
        for (var i = 0u; i < 6000000u; i++) { x[i % 2] = x[(i + 1) % 2] + i; }
      }`;
    const kernel = await slow.compile({ ...AXPB, name: "slow", access: ["read_write"], uniformWords: 0, text });
    slow.launch(kernel, [slow.alloc(8, "x")], new Uint32Array(0), [1, 1, 1]);
    await expect(slow.idle()).rejects.toMatchObject({ kind: "timeout" });
    slow.close();
  });

  test("devices that share a queue compile once, copy without the host, trace apart and close with the last", async () => {
    const options = { adapter: "software", share: true } as const;
    const [one, two, three] = (await openDevices("webgpu", 3, options)) as [Device, Device, Device];
    expect([one, two, three].map((device) => device.info.name)).toEqual(["webgpu:0", "webgpu:1", "webgpu:2"]);
    const kernel = await one.compile(AXPB);
    expect(await two.compile(AXPB)).toBe(kernel);
    const x = one.alloc(256, "x");
    const y = two.alloc(256, "y");
    const seen: string[] = [];
    one.trace((name) => seen.push(`one ${name}`));
    two.trace((name) => seen.push(`two ${name}`));
    one.write(x, 0, iota(64));
    await transfer(one, x, 0, two, y, 0, 128);
    one.launch(kernel, [x, y], Uint32Array.of(1, 0), [1, 1, 1]);
    three.launch(kernel, [x, y], Uint32Array.of(2, 0), [1, 1, 1]);
    two.launch(kernel, [x, y], Uint32Array.of(3, 0), [1, 1, 1]);
    one.close();
    one.close();
    expect(new Uint32Array(await two.read(y, 0, 256))).toEqual(iota(64).map((i) => 3 * i));
    await two.idle();
    expect(seen).toEqual(["one axpb", "two axpb"]);
    two.close();
    three.close();
    expect(kindOf(() => three.alloc(4, "z"))).toBe("device-lost");
  });

  test("a closed device says so, and closing twice is nothing", async () => {
    const [device] = (await openDevices("webgpu", 1, { adapter: "software" })) as [Device];
    const x = device.alloc(16, "x");
    const reading = device.read(x, 0, 16);
    device.close();
    device.close();
    await expect(reading).rejects.toMatchObject({ kind: "device-lost" });
    expect(kindOf(() => device.alloc(4, "y"))).toBe("device-lost");
  });
});

test("what the driver reports becomes a typed error", () => {
  const report = (name: string) => driverError("webgpu:3", { message: "words\nmore", constructor: { name } });
  expect(report("GPUOutOfMemoryError")).toMatchObject({
    kind: "out-of-memory",
    message: "webgpu:3 is out of memory: words",
  });
  expect(report("GPUValidationError").kind).toBe("internal");
});

test("backends are named with the adapters to use", () => {
  expect(parseSpec("webgpu:0-2,5")).toEqual({ backend: "webgpu", picked: [0, 1, 2, 5] });
  expect(parseSpec("auto")).toEqual({ backend: "auto", picked: undefined });
  expect(kindOf(() => parseSpec("vulkan"))).toBe("input");
});

test("an adapter that is not there is an error, and so is CUDA", async () => {
  await expect(openDevices("webgpu:7", 1, { adapter: "software" })).rejects.toMatchObject({ kind: "no-device" });
  await expect(openDevices("cuda", 1)).rejects.toMatchObject({ kind: "no-device", exitCode: 3 });
});

test("devices are listed with what was found", async () => {
  const listed = await listDevices({ adapter: "software" });
  const adapters = listed.find((one) => one.backend === "webgpu")!.devices;
  expect(adapters.map((device) => device.name)).toEqual([expect.stringMatching(/SwiftShader/)]);
  expect(listed.find((one) => one.backend === "cuda")!.why).not.toHaveLength(0);
});

/**
 * Moves `bytes` bytes from one device's memory to another's; resolves when the bytes have been handed to the receiver
 * (later work there sees them). Between devices that share a queue it is a copy on the device.
 */
async function transfer(
  from: Device,
  source: DeviceBuffer,
  sourceOffset: number,
  to: Device,
  target: DeviceBuffer,
  targetOffset: number,
  bytes: number,
): Promise<void> {
  if (from.memory === to.memory) from.copy(source, sourceOffset, target, targetOffset, bytes);
  else await from.readInto(source, sourceOffset, bytes, (mapped) => to.write(target, targetOffset, mapped));
}
