/** Golden cases: a folder with `cases.json` and one `NAME.npz` for each case (data/README.md says what is in them). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Tensor } from "../../runtime/dtype.ts";
import { readNpz } from "../../runtime/formats/npz.ts";
import { type Backend, open } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

export type Case = {
  readonly name: string;
  readonly mesh: Readonly<Record<string, number>>;
  readonly dims: Readonly<Record<string, number>>;
  readonly dtype: "f32" | "bf16";
  readonly kind?: "decode" | "inference";
  readonly bias?: boolean;
  readonly segment_ids?: boolean;
  /** null: nothing is causal. */
  readonly causal_block_size?: number | null;
  readonly query_chunk_size?: number;
  readonly key_chunk_size?: number;
};

/** What a correct implementation keeps to, with room: ‖out - reference‖ / ‖reference‖. */
export const bounds = { f32: 1e-5, bf16: 2e-2 } as const;

export const readCases = (folder: string): readonly Case[] =>
  JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as readonly Case[];

/** The entry point that computes a case, and the sizes that it is asked for with. */
export function entryOf(c: Case): {
  readonly file: string;
  readonly entry: string;
  readonly dims: Readonly<Record<string, number>>;
} {
  if (c.kind === "decode") return { file: "inference", entry: "decode", dims: c.dims };
  if (c.kind === "inference") return { file: "inference", entry: "masked", dims: c.dims };
  return {
    file: `attention-${c.dtype}`,
    entry: c.bias ? (c.segment_ids ? "biased_segmented" : "biased") : c.segment_ids ? "segmented" : "plain",
    dims: { ...c.dims, C: c.causal_block_size ?? c.dims.S!, I: c.query_chunk_size ?? 64, J: c.key_chunk_size ?? 64 },
  };
}

/** Runs a case and gives the relative error of its result. */
export async function runCase(folder: string, c: Case, backend: Backend): Promise<number> {
  const file = join(folder, `${c.name}.npz`);
  const arrays = readNpz(readFileSync(file), file);
  const { file: source, entry, dims } = entryOf(c);
  const path = join(import.meta.dirname, `${source}.gyre`);
  const program = await open(path, readFileSync(path, "utf8"), { entry, dims, mesh: c.mesh });
  const inputs = new Map(
    program.ports.map(({ path: name, dtype, shape }): [string, Tensor] => [
      name,
      { dtype, shape, data: arrays.get(name)!.data },
    ]),
  );
  const results = await backend.run(program, inputs);
  return relativeError(results.get("")!.data, arrays.get("out")!.data);
}
