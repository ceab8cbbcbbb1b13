/** Under a limit of memory a schedule hides less, and computes the same. */
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { fewest } from "../../compiler/schedule/late.ts";
import type { Schedule, Step } from "../../compiler/schedule/schedule.ts";
import { gyre } from "../cli/gyre.ts";

const ring = "examples/05-ring-attention.gyre";
const dims = { B: 1, S: 8192, H: 2, D: 64 };
const planned = (memory?: number): Schedule =>
  compile(ring, readSource, { dims, meshSizes: { sp: 4 }, ...(memory !== undefined && { memory }) }).compiled!.schedule;
const inLoop = (s: Schedule): readonly Step[] => s.steps.flatMap((x) => (x.kind === "loop" ? x.body : []));
const kinds = (s: Schedule): string =>
  inLoop(s)
    .map((x) => x.kind)
    .join(" ");

test("the fewest that do", () => {
  for (let count = 1; count <= 20; count++)
    for (let need = 1; need <= count; need++) {
      let asked = 0;
      const found = fewest(count, (n) => {
        asked++;
        return n >= need;
      });
      expect(found).toBe(need);
      expect(asked).toBeLessThan(12);
    }
  expect(fewest(5, () => false)).toBe(5);
});

describe("a ring", () => {
  const free = planned();
  const block = free.buffers.find((b) => b.name === "k")!.bytes;

  test("that fits stays as it is", () => {
    expect(planned(free.memory.bytes)).toEqual(free);
    expect(free.memory.late).toBeUndefined();
  });

  test("that does not fit lets one transfer arrive where another came from", () => {
    const tight = planned(free.memory.bytes - 1);
    expect(tight.memory.bytes).toBe(free.memory.bytes - block);
    expect(tight.memory.late).toEqual({ transfers: 1, without: free.memory.bytes });
    expect(checkSchedule(tight)).toEqual([]);
    expect(kinds(free)).toBe("receive send receive send launch wait wait");
    expect(kinds(tight)).toBe("receive send launch wait receive send wait");
  });

  test("that cannot fit is as small as it gets", () => {
    const least = planned(1);
    expect(least.memory.bytes).toBeLessThan(free.memory.bytes);
    expect(checkSchedule(least)).toEqual([]);
  });

  test("computes the same", async () => {
    const flags = ["--dims", "B=1,S=256,H=2,D=16", "--mesh", "sp=4", "--backend", "cpu", "--verify"];
    const whole = JSON.parse((await gyre("inspect", ring, ...flags.slice(0, 4), "--json")).out).memory.bytes;
    const { code, out, err } = await gyre("run", ring, ...flags, "--memory", String(whole - 1));
    expect({ code, verified: out.includes("verified") }, err).toEqual({ code: 0, verified: true });
  });
});

describe("--memory", () => {
  const flags = [ring, "--dims", "B=1,S=65536,H=8,D=128", "--mesh", "sp=8"];
  test("what does not fit is told, with what takes most and what would fit", async () => {
    for (const command of [["inspect"], ["simulate", "--machine", "h100-nvlink8"]]) {
      const { code, out, err } = await gyre(...command, ...flags, "--memory", "200MiB");
      expect(code).toBe(1);
      expect(err).toMatch(
        /error\[GY8201\]: `attention` takes .* MiB on each device, and the limit is 200 MiB; most of it: q 32 MiB/,
      );
      expect(err).toMatch(/it fits with `--mesh sp=16` \(1\d\d MiB\)/);
      expect(out).toContain("on each device");
    }
  });

  test("what fits because less is hidden says so", async () => {
    const { code, out } = await gyre("simulate", "--machine", "h100-nvlink8", ...flags, "--memory", "250MiB");
    expect(code).toBe(0);
    expect(out).toMatch(/memory .* fits, .* to spare; 25\d MiB if 1 transfer did not begin late/);
  });
});
