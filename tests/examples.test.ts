/**
 * Every example prints what its NN-name.expect.txt says. The file's first line is the command; `GYRE_ACCEPT=1` writes
 * what follows it anew. Texts must agree, and numbers nearly: they are computed in float32 on one side.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { main } from "../cli/main.ts";
import { useStandIn } from "./cuda/stand-in.ts";
import { nullIo } from "./support/io.ts";

const folder = new URL("../examples/", import.meta.url).pathname;
const examples = readdirSync(folder).filter((name) => name.endsWith(".gyre"));

/** `npm run test:cuda` has but one. */
const backends = process.env.GYRE_TEST_DEVICE ? ["cuda"] : ["reference", "cpu", "webgpu"];
if (process.env.GYRE_TEST_DEVICE === "stand-in") useStandIn();

const number = /-?\d+(\.\d+)?(e[+-]?\d+)?/g;
const words = (text: string): string => text.replace(number, "#");
const numbers = (text: string): readonly number[] => [...text.matchAll(number)].map((m) => Number(m[0]));

/** A command of the documents, run in this process: what it prints. */
async function output(command: string, ...more: readonly string[]): Promise<string> {
  const args = command
    .replace(/^\$ gyre /, "")
    .replaceAll("examples/", folder)
    .split(" ");
  const io = nullIo();
  const code = await main([...args, ...more], io);
  expect(code, io.errText()).toBe(0);
  return io.outText().trimEnd();
}
/** Texts that agree, but for what computing in float32 does to numbers. */
function expectSame(got: string, wanted: string): void {
  expect(words(got)).toBe(words(wanted));
  const [a, b] = [numbers(got), numbers(wanted)];
  for (const [i, x] of a.entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(1e-4 * Math.max(1, Math.abs(x)));
}

describe.each(examples)("%s", (example) => {
  const file = `${folder}${example.replace(/\.gyre$/, ".expect.txt")}`;
  const [command = "", ...rest] = readFileSync(file, "utf8").split("\n");

  test.each(backends)(
    "%s",
    async (backend) => {
      const got = await output(command, "--backend", backend);
      if (process.env.GYRE_ACCEPT) writeFileSync(file, `${command}\n${got}\n`);
      expectSame(got, process.env.GYRE_ACCEPT ? got : rest.join("\n").trimEnd());
    },
    300_000,
  );
});

test("the language model learns the same on one device as on eight", async () => {
  const [command = "", ...rest] = readFileSync(`${folder}09-language-model.expect.txt`, "utf8").split("\n");
  const got = await output(command, "--backend", "reference", "--mesh", "dp=1,sp=1,tp=1");
  expectSame(got, rest.join("\n").trimEnd());
});
