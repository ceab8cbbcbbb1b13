/** Golden cases: a folder with `cases.json` and one `NAME.npz` for each case (data/README.md says what is in them). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { elementCount, hostArray, type Tensor } from "../../runtime/dtype.ts";
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

/** What a correct implementation keeps to, with room: ‖x - reference‖ / ‖reference‖ of what comes out, and of gradients. */
export const bounds = { f32: { out: 1e-5, gradient: 2e-5 }, bf16: { out: 2e-2, gradient: 2e-2 } } as const;
export const boundOf = (c: Case, result: string): number => bounds[c.dtype][result === "out" ? "out" : "gradient"];

export const readCases = (folder: string): readonly Case[] =>
  JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as readonly Case[];

const path = new URL("golden.gyre", import.meta.url).pathname;
const source = readFileSync(path, "utf8");
/** The program in which operands have the case's dtype. */
const sourceFor = (c: Case): string =>
  source.replace("type Heads<B, S, H, D> = f32[", `type Heads<B, S, H, D> = ${c.dtype}[`);

function entryOf(c: Case): string {
  if (c.kind === "decode") return "decode";
  if (c.kind === "inference") return "masked";
  return c.bias ? (c.segment_ids ? "biased_segmented" : "biased") : c.segment_ids ? "segmented" : "plain";
}
/** The sizes that the entry is asked for with; `bias` is the shape of the case's bias, [B, M, N, S]. */
function dimsOf(c: Case, bias: readonly number[] | undefined): Readonly<Record<string, number>> {
  const sizes = { ...c.dims, I: c.query_chunk_size ?? 64, J: c.key_chunk_size ?? 64 };
  if (c.kind) return sizes;
  return { ...sizes, C: c.causal_block_size ?? c.dims.S!, ...(c.bias && bias && { M: bias[1]!, N: bias[2]! }) };
}

/** Runs a case and gives the relative error of each result that there is a golden value of: `out`, `dq`, `dk`, `dv`. */
export async function runCase(folder: string, c: Case, backend: Backend): Promise<ReadonlyMap<string, number>> {
  const file = join(folder, `${c.name}.npz`);
  const arrays = readNpz(readFileSync(file), file);
  const program = await open(path, sourceFor(c), {
    entry: entryOf(c),
    dims: dimsOf(c, arrays.get("bias")?.shape),
    mesh: c.mesh,
  });
  const inputs = new Map(
    program.ports.map(({ path: name, dtype, shape }): [string, Tensor] => {
      const data = arrays.get(name)?.data ?? hostArray(dtype, elementCount(shape));
      return [name, { dtype, shape, data }];
    }),
  );
  const results = await backend.run(program, inputs);
  return new Map(
    [...results].flatMap(([name, { data }]): [string, number][] => {
      const golden = arrays.get(name);
      return golden ? [[name, relativeError(data, golden.data)]] : [];
    }),
  );
}
