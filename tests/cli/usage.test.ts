import { expect, test } from "vitest";
import { file, gyre, gyreWith } from "./gyre.ts";

test("without arguments, and with --help, the commands are listed", async () => {
  for (const argv of [[], ["--help"], ["help"]]) {
    const { code, out } = await gyre(...argv);
    expect(code).toBe(0);
    for (const command of ["check", "run", "inspect", "build", "fmt", "devices"])
      expect(out).toContain(`  ${command} `);
  }
});

test("every command explains itself with examples", async () => {
  for (const command of ["check", "run", "inspect", "build", "fmt", "devices"]) {
    const { code, out } = await gyre(command, "--help");
    expect(code).toBe(0);
    expect(out).toContain(`Usage: gyre ${command}`);
    expect(out).toContain("Examples:");
  }
});

test("--version is the package's", async () => {
  expect(await gyre("--version")).toMatchObject({ code: 0, out: "0.1.0\n" });
});

test.each([
  [["chek"], "Did you mean check?"],
  [["check", "--jsn", "x.gyre"], "Did you mean --json?"],
  [["check"], "missing required argument 'file'"],
  [["run", "x.gyre", "--dims", "B"], "NAME=NUMBER"],
  [["run", "x.gyre", "--dims", "B=0"], "from 1 on"],
  [["run", "x.gyre", "--mesh", "sp=1.5"], "from 1 on"],
  [["run", "x.gyre", "--seed", "-1"], "whole number from 0 on"],
  [["run", "x.gyre", "--repeat", "0"], "whole number from 1 on"],
  [["run", "x.gyre", "--backend", "webgp"], "did you mean webgpu?"],
  [["run", "x.gyre", "--in", "=q.npy"], "NAME=FILE.npy"],
  [["inspect", "x.gyre", "--stage", "kernal"], "kernels"],
  [["build", "x.gyre", "--target", "wgls", "--out", "o"], "wgsl"],
  [["build", "x.gyre", "--target", "cuda", "--arch", "sm_70", "--out", "o"], "sm_80"],
  [["build", "x.gyre", "--target", "wgsl", "--compile", "--out", "o"], "--target cuda"],
])("%j is a wrong command line", async (argv, said) => {
  const { code, out, err } = await gyre(...argv);
  expect(err).toContain(said);
  expect(err).toMatch(/^error: /);
  expect(out).toBe("");
  expect(code).toBe(2);
});

test("a backend that finds no device says why", async () => {
  process.env.GYRE_CUDA_DRIVER = "/nowhere/libcuda.so.1";
  const { code, err } = await gyre("run", "examples/02-collectives.gyre", "--backend", "cuda");
  delete process.env.GYRE_CUDA_DRIVER;
  expect(err).toContain("this machine has no NVIDIA driver");
  expect(code).toBe(3);
});

test("a file that is not there is told, without a stack", async () => {
  for (const command of ["check", "run", "inspect", "fmt"]) {
    const { code, err } = await gyre(command, "/nowhere/at/all.gyre");
    expect(err).toContain("there is no such file");
    expect(err).not.toContain("    at ");
    expect(code).toBe(1);
  }
});

test("text that is not UTF-8 is told", async () => {
  const { code, err } = await gyre("check", file(new Uint8Array([0x66, 0x6e, 0xff, 0xfe])));
  expect(err).toContain("is not UTF-8 text");
  expect(code).toBe(1);
});

test("colours only where they are wanted", async () => {
  const path = file("fn f( {");
  const [plain, colored] = [await gyre("check", path), await gyreWith({ errColor: true }, "check", path)];
  expect(plain.err).not.toContain("\u001b");
  expect(colored.err).toContain("\u001b[");
});
