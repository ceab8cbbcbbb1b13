/** What the stand-in catches, and that its instructions mean what the PTX ISA says. */
import { describe, expect, test } from "vitest";
import { devices, kernel, launched } from "./device.ts";
import { standIn } from "./stand-in.ts";

const missing = "why" in standIn;
const schedules = [0, 1, 2, 3, 4, 5];
const counting = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i);

describe.skipIf(missing)("faults", () => {
  const faults: readonly (readonly [string, string])[] = [
    ["a read past the end", "y[threadIdx.x] = x[threadIdx.x + 1];"],
    ["a write before the begin", "y[int(threadIdx.x) - 1] = x[0];"],
    ["a read past shared memory", "y[threadIdx.x] = reinterpret_cast<float*>(shared_memory)[threadIdx.x + 1];"],
    [
      "a copy past shared memory",
      "copy_async<16>(shared_memory + 16 * threadIdx.x, x); copy_commit(); copy_wait<0>();",
    ],
    ["a barrier that some do not come to", "if (threadIdx.x < 32) __syncwarp(0xffffu); y[threadIdx.x] = x[0];"],
    ["lanes at different instructions", "if (threadIdx.x & 1) __syncwarp(); else __shfl_sync(0xffffffffu, 1, 0);"],
  ];
  for (const [what, body] of faults)
    test(what, async () => {
      const [device] = await devices(1, { quiet: true });
      const source = kernel(body, { sharedBytes: 256 });
      await expect(launched(device!, source, counting(64), 64)).rejects.toMatchObject({ kind: "device-lost" });
    });

  test("shared memory begins as NaN", async () => {
    const [device] = await devices(1);
    const body = "__shared__ float s[64];\n__syncthreads();\ny[threadIdx.x] = s[threadIdx.x];";
    expect([...(await launched(device!, kernel(body), counting(64), 64))].every(Number.isNaN)).toBe(true);
  });

  test("a second barrier that is missing shows under some schedule", async () => {
    const body = (barrier: string): string => `__shared__ float s[64];
      float sum = 0;
      for (int i = 0; i < 4; i++) {
        s[threadIdx.x] = x[threadIdx.x] + i;
        __syncthreads();
        sum += s[63 - threadIdx.x];
        ${barrier}
      }
      y[threadIdx.x] = sum;`;
    const right = counting(64).map((_, i) => 4 * (63 - i) + 6);
    const wrong: number[] = [];
    for (const schedule of schedules) {
      const [device] = await devices(1, { schedule });
      expect(await launched(device!, kernel(body("__syncthreads();")), counting(64), 64)).toEqual(right);
      const got = await launched(device!, kernel(body("")), counting(64), 64);
      if (got.some((v, i) => v !== right[i])) wrong.push(schedule);
    }
    expect(wrong).not.toEqual([]);
  });
});

describe.skipIf(missing)("copies into shared memory", () => {
  const body = (wait: string, barrier: string): string => `
    float* s = reinterpret_cast<float*>(shared_memory);
    copy_async<4>(s + threadIdx.x, x + threadIdx.x);
    copy_commit();
    ${wait}
    __syncthreads();
    const float first = s[63 - threadIdx.x];
    ${barrier}
    copy_async<4>(s + threadIdx.x, x + 64 + threadIdx.x, threadIdx.x < 32);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    y[threadIdx.x] = first + s[63 - threadIdx.x];`;
  const run = async (schedule: number, text: string): Promise<Float32Array> => {
    const [device] = await devices(1, { schedule });
    return launched(device!, kernel(text, { sharedBytes: 256 }), counting(128), 64);
  };
  const right = counting(64).map((_, i) => 63 - i + (63 - i < 32 ? 64 + 63 - i : 0));

  test("arrive when they are waited for; zeros where not valid", async () => {
    for (const schedule of schedules)
      expect(await run(schedule, body("copy_wait<0>();", "__syncthreads();"))).toEqual(right);
  });
  test("a wait that is missing shows where copies are late", async () => {
    expect(await run(0, body("", "__syncthreads();"))).not.toEqual(right);
  });
  test("a barrier that is missing shows where copies are early", async () => {
    expect(await run(1, body("copy_wait<0>();", ""))).not.toEqual(right);
  });
});

describe.skipIf(missing)("a warp's instructions", () => {
  test("shuffles and votes", async () => {
    const body = `
      const int lane = threadIdx.x & 31;
      float sum = x[threadIdx.x];
      for (int by = 16; by > 0; by >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, by);
      const float up = __shfl_up_sync(0xffffffffu, x[threadIdx.x], 1), down = __shfl_down_sync(0xffffffffu, x[threadIdx.x], 2, 8);
      const unsigned votes = __ballot_sync(0xffffffffu, lane % 3 == 0);
      y[threadIdx.x] = sum;
      y[64 + threadIdx.x] = up;
      y[128 + threadIdx.x] = down;
      y[192 + threadIdx.x] = __popc(votes);`;
    for (const schedule of schedules) {
      const [device] = await devices(1, { schedule });
      const y = await launched(device!, kernel(body), counting(64), 256);
      for (let t = 0; t < 64; t++) {
        const first = t - (t % 32);
        expect(y[t]).toBe(32 * first + 496);
        expect(y[64 + t]).toBe(t % 32 === 0 ? t : t - 1);
        expect(y[128 + t]).toBe(t % 8 < 6 ? t + 2 : t);
        expect(y[192 + t]).toBe(11);
      }
    }
  });

  // c = a b + c for a[16, 16] and b[16, 8] that lie in shared memory as bf16; b is read transposed out of rows.
  test("a product of fragments that were loaded from shared memory", async () => {
    const body = `
      unsigned short* s = reinterpret_cast<unsigned short*>(shared_memory);
      const int lane = threadIdx.x;
      for (int i = lane; i < 16 * 16 + 16 * 8; i += 32) s[i] = f32_to_bf16(x[i]);
      __syncthreads();
      unsigned a[4], b[4];
      matrices(a, s + (lane & 15) * 16 + (lane >> 4) * 8);
      matrices_transposed(b, s + 256 + (lane & 15) * 8);
      float c[4] = {1.0f, 1.0f, 1.0f, 1.0f};
      mma_bf16(c, a, b);
      for (int i = 0; i < 4; i++) y[((lane >> 2) + 8 * (i >> 1)) * 8 + (lane & 3) * 2 + (i & 1)] = c[i];`;
    const x = Float32Array.from({ length: 384 }, (_, i) => ((i * 7) % 13) - 6);
    for (const schedule of schedules) {
      const [device] = await devices(1, { schedule });
      const y = await launched(device!, kernel(body, { threads: 32, sharedBytes: 1024 }), x, 128);
      for (let i = 0; i < 16; i++)
        for (let j = 0; j < 8; j++) {
          let sum = 1;
          for (let k = 0; k < 16; k++) sum += x[i * 16 + k]! * x[256 + k * 8 + j]!;
          expect(y[i * 8 + j], `${i}, ${j}`).toBe(sum);
        }
    }
  });
});
