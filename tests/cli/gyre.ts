/** Runs the command in this process, with its two outputs caught. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Io } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";

export type Ran = { readonly code: number; readonly out: string; readonly err: string };

/** `gyre ARGS`; no terminal, no colours. */
export async function gyre(...argv: readonly string[]): Promise<Ran> {
  return gyreWith({}, ...argv);
}

/** The same with some of the terminal's properties set. */
export async function gyreWith(io: Partial<Io>, ...argv: readonly string[]): Promise<Ran> {
  let out = "";
  let err = "";
  const caught: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    live: false,
    outColor: false,
    errColor: false,
    columns: 100,
    // No cache: what was tuned on this machine is none of a test's business.
    env: { GYRE_CACHE: join(tmpdir(), "gyre-test-without-cache") },
    ...io,
  };
  const code = await main(argv, caught);
  return { code, out, err };
}

/** A folder that goes when the test ends. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "gyre-test-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file with this text in a folder of its own; its path. */
export function file(text: string | Uint8Array, name = "program.gyre"): string {
  const path = join(folder(), name);
  writeFileSync(path, text);
  return path;
}
