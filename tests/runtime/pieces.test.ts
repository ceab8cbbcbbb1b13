import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { formatBytes, withLimit } from "../../runtime/errors.ts";
import { createPool, sizeClass } from "../../runtime/pool.ts";
import { chromeTrace } from "../../runtime/trace.ts";
import { readTar } from "../../runtime/webgpu/swiftshader.ts";

test("sizes are said in the unit that fits", () => {
  expect([0, 1023, 1536, 2 ** 30].map(formatBytes)).toEqual(["0 bytes", "1023 bytes", "1.5 KiB", "1 GiB"]);
});

test("a wait ends after its limit, counted from the last progress", async () => {
  const never = new Promise<void>(() => {});
  const began = performance.now();
  await expect(withLimit(never, 30, "the transfer", () => began + 40)).rejects.toMatchObject({ kind: "timeout" });
  expect(performance.now() - began).toBeGreaterThan(65);
  await expect(withLimit(Promise.resolve(3), 30, "it")).resolves.toBe(3);
  await expect(withLimit(Promise.reject(new Error("no")), 30, "it")).rejects.toThrow("no");
});

test("law: a size class holds its size and wastes at most a quarter", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 30 }), (bytes) => {
      const size = sizeClass(bytes);
      expect(size % 4).toBe(0);
      expect(size).toBeGreaterThanOrEqual(bytes);
      expect(size).toBeLessThanOrEqual(Math.max(256, bytes * 1.25));
      expect(sizeClass(size)).toBe(size);
    }),
  );
});

test("a pool hands out what came back, and keeps no more than it may", () => {
  const destroy = vi.fn();
  const pool = createPool<{ size: number }>({
    make: (size) => ({ size }),
    size: (it) => it.size,
    destroy,
    keepBytes: 1000,
  });
  const a = pool.take(500);
  const b = pool.take(500);
  expect(a).not.toBe(b);
  pool.give(a);
  pool.give(b); // 512 + 512 > 1000
  expect(destroy.mock.calls).toEqual([[b]]);
  expect(pool.take(510)).toBe(a);
  pool.give(a);
  pool.clear();
  expect(destroy).toHaveBeenCalledTimes(2);
});

test("a tar archive is read, and a damaged one is an error", () => {
  const block = Buffer.alloc(1024);
  block.write("dir/a.txt");
  block.write("00000000005\0", 124);
  block.write("0", 156);
  block.write("hello", 512);
  const folder = Buffer.alloc(512);
  folder.write("dir/");
  folder.write("5", 156);
  const tar = Buffer.concat([folder, block, Buffer.alloc(1024)]);
  expect(readTar(tar).map(({ name, data }) => [name, String(Buffer.from(data))])).toEqual([["dir/a.txt", "hello"]]);
  expect(() => readTar(tar.subarray(0, 1026))).toThrow(/damaged/);
});

test("the software driver is unpacked once, and whole", async () => {
  const cache = mkdtempSync(join(tmpdir(), "gyre-test-"));
  vi.stubEnv("GYRE_CACHE", cache);
  vi.resetModules();
  const { loadSoftwareDriver } = await import("../../runtime/webgpu/swiftshader.ts");
  const [one, two] = await Promise.all([loadSoftwareDriver(), loadSoftwareDriver()]);
  expect(one).toBe(two);
  expect(readdirSync(cache)).toHaveLength(1);
  expect(readdirSync(one).sort()).toEqual(["gyre_icd.json", "libvk_swiftshader.so", "libvulkan.so.1"]);
  vi.unstubAllEnvs();
});

test("a trace becomes Chrome's JSON: a process for each device, a thread for each stream, from time 0", () => {
  const span = { device: "webgpu:0", stream: "compute", name: "k", start: 1000, end: 1500 };
  const trace = chromeTrace({
    events: [
      span,
      { ...span, stream: "ring", name: "send", detail: { bytes: 64 } },
      { ...span, device: "webgpu:1", start: 900 },
    ],
  });
  const events = JSON.parse(trace).traceEvents as Record<string, unknown>[];
  expect(events.filter((event) => event.ph === "X")).toEqual([
    { ph: "X", name: "k", pid: 1, tid: 1, ts: 100, dur: 500, args: {} },
    { ph: "X", name: "send", pid: 1, tid: 2, ts: 100, dur: 500, args: { bytes: 64 } },
    { ph: "X", name: "k", pid: 2, tid: 1, ts: 0, dur: 600, args: {} },
  ]);
  expect(events.filter((event) => event.name === "process_name").map((event) => event.args)).toEqual([
    { name: "webgpu:0" },
    { name: "webgpu:1" },
  ]);
});
