/** Whether a candidate gives what the program as it is written gives: both on the reference interpreter, at small sizes. */
import { EvaluationStopped, evaluate } from "../compiler/core/eval.ts";
import { grad } from "../compiler/core/grad.ts";
import type { Program } from "../compiler/core/ir.ts";
import { type NDArray, tabulate } from "../compiler/core/ndarray.ts";
import type { Candidate, Question } from "./candidate.ts";
import { elaborated } from "./evaluate.ts";

export type Verdict = "same" | "different" | "not found out";

/** Runs both. Gives up when `until` (as of performance.now()) is past, or where no small sizes fit the program. */
export function sameResults(q: Question, written: Candidate, candidate: Candidate, until: number): Verdict {
  const splits = Object.fromEntries(Object.entries(candidate.splits).map(([axis, parts]) => [axis, parts.map(small)]));
  const mesh = Object.fromEntries(
    Object.entries(candidate.mesh).map(([axis, n]) => [axis, splits[axis]?.reduce((a, b) => a * b, 1) ?? small(n)]),
  );
  const devices = Object.values(mesh).reduce((a, b) => a * b, 1);
  for (const dims of sizesToTry(q.dims, devices)) {
    const at = { ...q, dims };
    const [a, b] = [elaborated(at, { ...written, mesh, splits: {} }), elaborated(at, { ...candidate, mesh, splits })];
    if (!a.program || !b.program) continue;
    const inputs = inputsOf(a.program);
    const [expected, got] = [run(a.program, inputs, until), run(b.program, inputs, until)];
    if (!expected || !got) return "not found out";
    return expected.every((x, i) => close(x, got[i]!)) ? "same" : "different";
  }
  return "not found out";
}
const small = (n: number): number => Math.min(n, 2);

/** Sizes that keep what divides what: every dimension cut to a multiple of the devices, or only the large ones, or none. */
function sizesToTry(dims: Question["dims"], devices: number): readonly Question["dims"][] {
  const cut = (most: number, from: number) =>
    Object.fromEntries(Object.entries(dims).map(([name, n]) => [name, n > from ? Math.min(n, most) : n]));
  const all = [cut(2 * devices, 2 * devices), cut(4 * devices, 4 * devices), cut(4 * devices, 64), dims];
  const weight = (d: Question["dims"]): number => Object.values(d).reduce((a, b) => a * b, 1);
  return all.filter((d) => weight(d) <= MOST);
}
/** The product of all dimensions, for the interpreter to be done in a moment. */
const MOST = 2e6;

/** Numbers that look random; whole numbers from 0 to 3. */
const inputsOf = (program: Program): readonly NDArray[] =>
  program.inputs.map(({ port: { path, dtype, shape } }) => {
    const seed = [...path].reduce((n, c) => n + c.charCodeAt(0), 0);
    const whole = dtype === "i32" || dtype === "u32" || dtype === "bool";
    return tabulate(dtype, shape, (...i) => {
      const wave = Math.sin(i.reduce((n, x, d) => n + (x + 1) * (d + 1.7) * 12.9898, seed) * 7.233);
      return whole ? Math.floor((dtype === "bool" ? 1 : 2) * (1 + 0.999 * wave)) : wave;
    });
  });

function run(program: Program, inputs: readonly NDArray[], until: number): readonly NDArray[] | undefined {
  try {
    return evaluate(grad(program), inputs, { exact: true, shouldStop: () => performance.now() > until });
  } catch (error) {
    if (error instanceof EvaluationStopped) return undefined;
    throw error;
  }
}

/** Sums are taken in other orders; the interpreter computes in float64. */
function close(a: NDArray, b: NDArray): boolean {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [a.data[i]!, b.data[i]!];
    if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) difference += (x - y) ** 2;
    if (Number.isFinite(x)) norm += x ** 2;
  }
  // Where one side alone has a NaN or an infinity, so has the difference.
  return difference === 0 || difference <= 1e-14 * norm;
}
