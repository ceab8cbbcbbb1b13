/** Programs that the tests of the page look at, compiled. */
import { readFileSync } from "node:fs";
import { machineNames, machineOf } from "../../cli/machines.ts";
import { readSource } from "../../cli/sources.ts";
import { type Compiled, compile } from "../../compiler/compile.ts";
import { collect } from "../../inspector/collect/collect.ts";
import type { PageData } from "../../inspector/data.ts";

export type Sizes = { readonly dims?: Record<string, number>; readonly mesh?: Record<string, number> };

/** A program of the repository, by its path from the root. */
export function compiled(path: string, { dims = {}, mesh = {} }: Sizes = {}): Compiled {
  const { compiled: made, diagnostics } = compile(fileOf(path), readSource, { dims, meshSizes: mesh });
  if (!made) throw new Error(`${path}: ${diagnostics[0]?.code}`);
  return made;
}

export const pageOf = (path: string, sizes?: Sizes): PageData =>
  collect(
    { path: fileOf(path), text: readFileSync(fileOf(path), "utf8") },
    compiled(path, sizes),
    machineNames().flatMap((name) => machineOf(name).machine ?? []),
  );

const fileOf = (path: string): string => new URL(`../../${path}`, import.meta.url).pathname;

/** Ring attention on `sp` devices, 16 queries on each. */
export const ring = (sp: number): PageData =>
  pageOf("examples/05-ring-attention.gyre", { dims: { B: 1, S: 16 * sp, H: 2, D: 16 }, mesh: { sp } });
