/**
 * `npm run golden -- DIR [NAME…]`: every case in a folder (or in its folder `data`; or those named), on the reference
 * interpreter and on WebGPU.
 * A line for each case with the relative errors of what came out and of its gradients; exit 1 where one is above its bound.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Backend, backends } from "../support/backends.ts";
import { boundOf, bounds, type Case, readCases, runCase } from "./cases.ts";

const asked = resolve(process.argv[2] ?? import.meta.dirname);
const folder = [asked, join(asked, "data")].find((path) => existsSync(join(path, "cases.json")));
if (folder === undefined) {
  console.error(`there is no cases.json in ${asked}: name a folder of golden cases, as tests/golden`);
  process.exit(2);
}

async function attempt(
  c: Case,
  folder: string,
  backend: Backend,
): Promise<{ readonly ok: boolean; readonly text: string }> {
  if (!backend.ready) return { ok: true, text: `${backend.name} absent` };
  try {
    const errors = [...(await runCase(folder, c, backend))];
    const tell = ([result, error]: readonly [string, number]): string =>
      `${result} ${error.toExponential(1)}${error < boundOf(c, result) ? "" : " TOO LARGE"}`;
    const ok = errors.length > 0 && errors.every(([result, error]) => error < boundOf(c, result));
    return { ok, text: `${backend.name}: ${errors.map(tell).join(", ") || "nothing to compare"}` };
  } catch (error) {
    return {
      ok: false,
      text: `${backend.name} FAILED: ${error instanceof Error ? error.message.split("\n")[0] : error}`,
    };
  }
}

let failures = 0;
const names = process.argv.slice(3);
const cases = readCases(folder).filter((c) => names.length === 0 || names.includes(c.name));
for (const c of cases) {
  const tried = [];
  for (const backend of backends) tried.push(await attempt(c, folder, backend));
  const ok = tried.every((t) => t.ok);
  if (!ok) failures++;
  const columns = tried.map((t) => t.text.padEnd(55)).join(" ");
  console.log(`${ok ? "ok  " : "FAIL"} ${c.name.padEnd(22)} ${columns.trimEnd()}`);
}
const { f32, bf16 } = bounds;
console.log(
  `${cases.length - failures} of ${cases.length} cases within ${f32.out}, gradients ${f32.gradient} (bf16 ${bf16.out})`,
);
process.exit(failures === 0 ? 0 : 1);
