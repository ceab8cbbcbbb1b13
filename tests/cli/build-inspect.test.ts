import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { file, folder, gyre } from "./gyre.ts";
import { typeErrors } from "./typecheck.ts";

const root = resolve(import.meta.dirname, "../..");
const ring = join(root, "examples/05-ring-attention.gyre");
const sizes = ["--dims", "B=1,S=64,H=2,D=16"];
const small = `mesh pod(sp: 2)
/// Twice x.
export shard_map twice<N>(x: f32[N] @ P(sp)) -> { y: f32[N] @ P(sp), n: i32 @ P() } on pod { { y: 2 * x, n: 3 } }
`;

describe("build", () => {
  test("writes schedule, kernels and a binding that type-checks and runs", async () => {
    const out = folder();
    const { code, err } = await gyre("build", file(small), "--target", "wgsl", "--out", out, "--dims", "N=8");
    expect({ code, err: err.replaceAll(out, "") }).toMatchObject({
      code: 0,
      err: expect.stringContaining("wrote /twice.ts"),
    });
    const names = readdirSync(out);
    expect(names).toEqual(expect.arrayContaining(["twice.schedule.json", "twice.ts"]));
    expect(names.filter((n) => /^twice\..+\.wgsl$/.test(n)).length).toBeGreaterThan(0);

    const binding = readFileSync(join(out, "twice.ts"), "utf8");
    const use = `import { twice } from "./made.ts"; export const y: Float32Array = (await twice({ x: new Float32Array(8) })).y;`;
    expect(typeErrors(binding, use)).toEqual([]);

    // Outside a project that has the package, its name is where the sources are.
    const here = pathToFileURL(join(root, "index.ts")).href;
    writeFileSync(join(out, "twice.ts"), binding.replace('from "gyre"', `from "${here}"`));
    const { twice } = await import(/* @vite-ignore */ pathToFileURL(join(out, "twice.ts")).href);
    const { y, n } = await twice({ x: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
    expect([...y]).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
    expect([...n]).toEqual([3]);
  });

  test("for CPUs: WebAssembly modules with their text, and a binding that runs them", async () => {
    const out = folder();
    const { code } = await gyre("build", file(small), "--target", "wasm", "--out", out, "--dims", "N=8");
    expect(code).toBe(0);
    const modules = readdirSync(out).filter((name) => name.endsWith(".wasm"));
    expect(modules.length).toBeGreaterThan(0);
    for (const name of modules) expect([...readFileSync(join(out, name)).subarray(0, 4)]).toEqual([0, 97, 115, 109]);
    const binding = readFileSync(join(out, "twice.ts"), "utf8");
    const here = pathToFileURL(join(root, "index.ts")).href;
    writeFileSync(join(out, "twice.ts"), binding.replace('from "gyre"', `from "${here}"`));
    const { twice } = await import(/* @vite-ignore */ pathToFileURL(join(out, "twice.ts")).href);
    const { y } = await twice({ x: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
    expect([...y]).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
  });

  test("for CUDA: all kernels in one file, and a binding that takes them from there", async () => {
    const out = folder();
    const { code } = await gyre("build", file(small), "--target", "cuda", "--out", out, "--dims", "N=8");
    expect(code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(["twice.cu", "twice.schedule.json", "twice.ts"]);
    const text = readFileSync(join(out, "twice.cu"), "utf8");
    expect(text).toMatch(/^\/\/ twice, compiled by Gyre for sm_80, to run on .*\n\/\/\n\/\/ takes {4}x: f32\[/);
    expect(text).toMatch(/\n\/\/ kernel +blocks +threads +bytes of shared memory\n\/\/ \w+_kernel +1 +/);
    expect(text).toMatch(/extern "C" __global__ void __launch_bounds__\(\d+\) \w+_kernel\(/);
    const use = `import { twice } from "./made.ts"; export const y: Float32Array = (await twice({ x: new Float32Array(8) })).y;`;
    expect(typeErrors(readFileSync(join(out, "twice.ts"), "utf8"), use)).toEqual([]);
  });

  test("for CUDA: without a compiler, --compile says what to install, and nothing is written", async () => {
    process.env.GYRE_NVRTC = process.env.GYRE_NVCC = "/nowhere/at/all";
    const out = folder();
    const { code, err } = await gyre(
      ...["build", file(small), "--target", "cuda", "--compile", "--out", out, "--dims", "N=8"],
    );
    expect(err).toContain("neither NVRTC nor nvcc");
    expect(err).toContain("install the CUDA toolkit");
    expect(code).toBe(3);
    expect(readdirSync(out)).toEqual([]);
  });

  test("a wrong program writes nothing", async () => {
    const out = folder();
    const { code } = await gyre("build", file(small), "--target", "wgsl", "--out", out, "--dims", "N=7");
    expect(code).toBe(1);
    expect(readdirSync(out)).toEqual([]);
  });
});

describe("inspect", () => {
  test.each([
    ["cuda", 'extern "C" __global__ void'],
    ["wgsl", "@compute"],
    ["wasm", "v128.load"],
  ])("kernels in %s, whatever devices there are", async (target, shows) => {
    const { code, out } = await gyre("inspect", ring, ...sizes, "--stage", "kernels", "--target", target);
    expect(code).toBe(0);
    expect(out).toContain(shows);
  });

  test("by default: kernels, steps, what overlaps, transfers, memory", async () => {
    const { code, out } = await gyre("inspect", ring, ...sizes);
    expect(code).toBe(0);
    for (const section of [
      "inputs and results",
      "kernels",
      "steps",
      "what runs beside what",
      "transfers",
      "memory: ",
    ]) {
      expect(out).toContain(`\n${section}`);
    }
    expect(out).toMatch(/sp\+1 .* 3 × 2 KiB {2}while \w+ runs/);
  });

  test("it is as long for 1024 devices as for 4", async () => {
    const lines = async (sp: number) =>
      (await gyre("inspect", ring, "--dims", `B=1,S=${16 * sp},H=2,D=16`, "--mesh", `sp=${sp}`)).out.split("\n").length;
    expect(Math.abs((await lines(1024)) - (await lines(8)))).toBeLessThanOrEqual(1);
  });

  test.each([
    ["ast", "export shard_map attention<B, S, H, D>("],
    ["core", "ppermute"],
    ["grad", "ppermute"],
    ["device", "fold step < 4"],
    ["kernels", '(func $main (export "main")'],
    ["schedule", "schedule attention on pod(sp: 4)"],
  ])("--stage %s", async (stage, shows) => {
    const { code, out } = await gyre("inspect", ring, ...sizes, "--stage", stage);
    expect(out).toContain(shows);
    expect(code).toBe(0);
    const json = await gyre("inspect", ring, ...sizes, "--stage", stage, "--json");
    expect(() => JSON.parse(json.out)).not.toThrow();
  });
});

test("a way back is told as one, however it was written", async () => {
  const program = (shift: number) =>
    file(
      `mesh pod(sp: 4)\nexport shard_map f<N>(x: f32[N] @ P(sp)) -> f32[N] @ P(sp) on pod { ppermute(x, sp, shift = ${shift}) }`,
    );
  for (const shift of [-1, 3])
    expect((await gyre("inspect", program(shift), "--dims", "N=8")).out).toContain("to −1 on sp");
});
