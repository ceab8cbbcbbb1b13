import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { file, folder, gyre } from "./gyre.ts";

const ring = "examples/05-ring-attention.gyre";
const sizes = ["--dims", "B=1,S=256,H=2,D=16", "--mesh", "sp=4"];
const on = ["--machine", "h100-nvlink8", "--json", ...sizes];

test("times of kernels are written, and stand in the place of the model", async () => {
  const times = join(folder(), "times.json");
  const ran = await gyre("run", ring, ...sizes, "--backend", "cpu", "--measure", times);
  expect(ran.code, ran.err).toBe(0);
  expect(ran.err).toContain("3 kernels measured");
  const { kernels } = JSON.parse(readFileSync(times, "utf8"));
  const attend = Object.keys(kernels).find((key) => kernels[key].name === "out_lse")!;
  expect(kernels[attend]).toMatchObject({ launches: 16 });
  // Of 4 × 4 blocks of the sequence, a causal mask leaves 10, those on the diagonal whole.
  expect(kernels[attend].share).toBeGreaterThan(0.5);
  expect(kernels[attend].share).toBeLessThan(0.7);

  // Round numbers, to know what comes of them: the last device runs 4 steps, all of the work but half of its own block.
  for (const key of Object.keys(kernels)) kernels[key].seconds = key === attend ? kernels[attend].share : 0;
  writeFileSync(times, JSON.stringify({ kernels }));
  const { out } = await gyre("simulate", ring, ...on, "--measured", times);
  const { busy, seconds, measured } = JSON.parse(out);
  expect(measured).toBe(3);
  expect(busy.mean).toBeCloseTo(4 * kernels[attend].share, 6);
  expect(busy.most).toBeGreaterThan(3.4);
  expect(busy.most).toBeLessThanOrEqual(4);
  expect(seconds).toBeGreaterThanOrEqual(busy.most);
});

test("a second run adds to the file; kernels of other sizes are others", async () => {
  const times = join(folder(), "times.json");
  await gyre("run", ring, ...sizes, "--backend", "cpu", "--measure", times);
  await gyre("run", ring, "--dims", "B=1,S=128,H=2,D=16", "--mesh", "sp=4", "--backend", "cpu", "--measure", times);
  expect(Object.keys(JSON.parse(readFileSync(times, "utf8")).kernels)).toHaveLength(6);
  const { out } = await gyre(
    "simulate",
    ring,
    "--machine",
    "h100-nvlink8",
    ...sizes.slice(0, 2),
    "--mesh",
    "sp=2",
    "--measured",
    times,
  );
  expect(out).toMatch(/^\d of 3 kernels as measured/);
});

test.each([
  ["{", "is not JSON"],
  ['{ "kernels": { "a": { "name": "x", "seconds": "1", "share": 1 } } }', "is not a file of kernel times"],
  ["[]", "is not a file of kernel times"],
])("what is no such file is refused: %s", async (text, sentence) => {
  const { code, err } = await gyre("simulate", ring, ...on, "--measured", file(text, "times.json"));
  expect(err).toContain(sentence);
  expect(code).toBe(1);
});

test("the reference has no kernels", async () => {
  const times = join(folder(), "times.json");
  const { code, err } = await gyre("run", ring, ...sizes, "--backend", "reference", "--measure", times);
  expect({ code, there: existsSync(times) }).toEqual({ code: 2, there: false });
  expect(err).toContain("--measure is for devices");
});
