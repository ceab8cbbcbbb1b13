/**
 * Does the error grow with the ring? Ring attention and its gradients at one size on rings of 1 to 16 devices, each held
 * against the float64 reference on one device.
 */
import { fileURLToPath } from "node:url";
import { readSource } from "../../cli/sources.ts";
import { type Compiled, compile } from "../../compiler/compile.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { ndarray } from "../../compiler/core/ndarray.ts";
import { open } from "../../runtime/api.ts";
import { randomNormal } from "../../runtime/random.ts";

const program = fileURLToPath(new URL("../programs/ring-gradients.gyre", import.meta.url));
const dims = { B: 1, S: 512, H: 2, D: 32 };
const count = dims.B * dims.S * dims.H * dims.D;
const inputs = Object.fromEntries(["q", "k", "v", "d_out"].map((name) => [name, randomNormal(0, name, count)]));

function compiledFor(sp: number): Compiled {
  const { compiled, diagnostics } = compile(program, readSource, { dims, meshSizes: { sp } });
  if (!compiled) throw new Error(diagnostics[0]?.message);
  return compiled;
}

/** The results of one device, in float64, by path. */
function exact(): ReadonlyMap<string, Float64Array> {
  const { program: core } = compiledFor(1);
  const arrays = core.inputs.map(({ port }) => ndarray(port.dtype, port.shape, inputs[port.path]!));
  return new Map(evaluate(core, arrays).map((x, i) => [core.outputs[i]!.path, x.data]));
}

/** ‖x - wanted‖ / ‖wanted‖ */
function error(x: ArrayLike<number>, wanted: Float64Array): number {
  let difference = 0;
  let norm = 0;
  for (const [i, y] of wanted.entries()) {
    difference += (x[i]! - y) ** 2;
    norm += y * y;
  }
  return Math.sqrt(difference / norm);
}

/** A table: a row for each size of the ring, a column for each result. */
export async function accuracy(sizes: readonly number[] = [1, 2, 4, 8, 16]): Promise<string> {
  const wanted = exact();
  const names = [...wanted.keys()];
  const rows: string[] = [];
  for (const sp of sizes) {
    const session = await open({ devices: sp });
    const results = await (await session.load(compiledFor(sp))).run(inputs);
    const errors: string[] = [];
    for (const name of names)
      errors.push(error((await results[name]!.read()).data, wanted.get(name)!).toExponential(2));
    session.close();
    rows.push(`| ${[sp, ...errors].join(" | ")} |`);
  }
  return [`| sp | ${names.join(" | ")} |`, `|${" --- |".repeat(names.length + 1)}`, ...rows].join("\n");
}
