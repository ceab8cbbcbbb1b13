/**
 * `npm run golden -- DIR [NAME…]`: every case in a folder (or those named), on the reference interpreter and on WebGPU.
 * A line for each case with its relative errors; exit 1 where one is above its dtype's bound.
 */
import { resolve } from "node:path";
import { type Backend, backends } from "../support/backends.ts";
import { bounds, type Case, readCases, runCase } from "./cases.ts";

const folder = resolve(process.argv[2] ?? new URL("data", import.meta.url).pathname);

async function attempt(c: Case, backend: Backend): Promise<{ readonly ok: boolean; readonly text: string }> {
  if (!backend.ready) return { ok: true, text: `${backend.name} absent` };
  try {
    const error = await runCase(folder, c, backend);
    const ok = error < bounds[c.dtype];
    return { ok, text: `${backend.name} ${error.toExponential(2)}${ok ? "" : " TOO LARGE"}` };
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
  for (const backend of backends) tried.push(await attempt(c, backend));
  const ok = tried.every((t) => t.ok);
  if (!ok) failures++;
  console.log(
    `${ok ? "ok  " : "FAIL"} ${c.name.padEnd(22)} ${tried
      .map((t) => t.text.padEnd(20))
      .join(" ")
      .trimEnd()}`,
  );
}
console.log(`${cases.length - failures} of ${cases.length} cases within ${bounds.f32} (bf16 ${bounds.bf16})`);
process.exit(failures === 0 ? 0 : 1);
