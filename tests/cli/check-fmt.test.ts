import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { file, gyre } from "./gyre.ts";

const right = "fn twice(x: f32[4]) -> f32[4] = 2 * x\n";

test("check: a right program says so on standard error", async () => {
  expect(await gyre("check", file(right))).toMatchObject({ code: 0, out: "", err: "1 file: no errors\n" });
});

test("check: an error is a place, a sentence, a picture, and exit code 1", async () => {
  const path = file("fn f(x: f32[4]) -> f32[4] = x +\n");
  const { code, out, err } = await gyre("check", path);
  expect(err).toMatch(/program\.gyre:\d+:\d+: error\[GY\d{4}\]: /);
  expect(err).toContain("^");
  expect(out).toBe("");
  expect(code).toBe(1);
});

test("check: several files, several errors, all in one run", async () => {
  const { err } = await gyre("check", file("fn f( = 1\n", "a.gyre"), file("mesh (sp: 2)\nlet x = 1\n", "b.gyre"));
  expect(err).toMatch(/a\.gyre:1/);
  expect(err).toMatch(/b\.gyre:1/);
  expect(err).toMatch(/b\.gyre:2/);
});

test("check --json: diagnostics as data on standard output, nothing else", async () => {
  const path = file("fn f( = 1\n");
  const { code, out, err } = await gyre("check", "--json", path);
  const { diagnostics } = JSON.parse(out);
  expect(diagnostics[0]).toMatchObject({
    severity: "error",
    file: path,
    line: 1,
    column: 7,
    code: expect.stringMatching(/^GY\d{4}$/),
  });
  expect(err).toBe("");
  expect(code).toBe(1);
});

test("fmt --check names what is not formatted and changes nothing; fmt formats; again there is nothing to do", async () => {
  const messy = "fn twice( x:f32[4] )->f32[4]=2*x";
  const path = file(messy);
  expect(await gyre("fmt", "--check", path)).toMatchObject({ code: 1, err: expect.stringContaining("not formatted") });
  expect(readFileSync(path, "utf8")).toBe(messy);
  expect(await gyre("fmt", path)).toMatchObject({ code: 0 });
  expect(readFileSync(path, "utf8")).toBe(right);
  expect(await gyre("fmt", "--check", path)).toMatchObject({ code: 0, err: "" });
});

test("fmt leaves a file that cannot be read as it is", async () => {
  const path = file("fn f( = 1\n");
  expect((await gyre("fmt", path)).code).toBe(1);
  expect(readFileSync(path, "utf8")).toBe("fn f( = 1\n");
});

test("check: names that the standard library has are told with their module", async () => {
  const { err } = await gyre("check", file('import { softmax } from "gyre/attn"\nfn f<N>(x: f32[N]) = rms_norm(x)\n'));
  expect(err).toContain('did you mean "gyre/attention"?');
  expect(err).toContain('write `import { rms_norm } from "gyre/nn"`');
});
