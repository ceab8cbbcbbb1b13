/** What a program of layers and its way back keeps in memory: everything, or what is not computed anew. */
import { expect, test } from "vitest";
import { compileProgram } from "../../compiler/compile.ts";
import { type Builder, emit, lit, program } from "../../compiler/core/build.ts";
import type { Atom, Program, Var } from "../../compiler/core/ir.ts";
import { one, whole } from "../tile/support.ts";

const rows = 64;
const narrow = 16;
const wide = 128;

const product = (b: Builder, spec: string, x: Atom, y: Atom): Var => {
  const [ins, out] = spec.split(" -> ").map((side) => side.split(", ").map((labels) => [...labels]));
  return emit(b, "einsum", { ins: ins!, out: out![0]! }, x, y);
};

/** x += tanh(x w) v, layer by layer; then the gradient of x. Behind barriers, tanh(x w) is computed a second time. */
function layers(count: number, recompute: boolean): Program {
  const shapes = Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? [narrow, wide] : [wide, narrow]));
  const inputs = [[rows, narrow], ...shapes].map((shape) => ({ shape, spec: whole(2) }));
  return program(one, inputs, [whole(2)], (b, x, ...ws) => {
    const hidden = (x: Atom, l: number): Var => emit(b, "tanh", {}, product(b, "ne, ef -> nf", x, ws[2 * l]!));
    const xs = [x!];
    const kept: Var[] = [];
    for (let l = 0; l < count; l++) {
      kept[l] = hidden(xs[l]!, l);
      xs.push(emit(b, "add", {}, xs[l]!, product(b, "nf, fe -> ne", kept[l]!, ws[2 * l + 1]!)));
    }
    let g = xs[count]!;
    for (let l = count - 1; l >= 0; l--) {
      const t = recompute ? hidden(emit(b, "optimization_barrier", { id: l }, xs[l]!), l) : kept[l]!;
      const slope = emit(b, "sub", {}, lit(1), emit(b, "mul", {}, t, t));
      const dh = emit(b, "mul", {}, product(b, "ne, fe -> nf", g, ws[2 * l + 1]!), slope);
      g = emit(b, "add", {}, g, product(b, "nf, ef -> ne", dh, ws[2 * l]!));
    }
    return [g];
  });
}
/** Bytes on the device beside the inputs. */
function needed(p: Program): number {
  const { buffers } = compileProgram(p).compiled!.schedule;
  return buffers.filter((b) => b.role !== "input").reduce((n, b) => n + b.bytes, 0);
}

test("what is computed anew is not kept meanwhile: a layer more costs its input, not what is inside of it", () => {
  const growth = (recompute: boolean): number => needed(layers(9, recompute)) - needed(layers(8, recompute));
  expect(growth(false)).toBe(4 * rows * wide);
  expect(growth(true)).toBe(4 * rows * narrow);
});
