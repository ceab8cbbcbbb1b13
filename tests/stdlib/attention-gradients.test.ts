/**
 * Gradients of gyre/attention against finite differences of its loss, in float64 on the reference interpreter; against
 * each other on other meshes, layouts and chunks; and on WebGPU against the reference.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileProgram } from "../../compiler/compile.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";
import { printSchedule } from "../../compiler/schedule/print.ts";
import type { Tensor } from "../../runtime/dtype.ts";
import { backends, type Choices, type Opened, open } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const path = new URL("attention-gradients.gyre", import.meta.url).pathname;
const source = readFileSync(path, "utf8");
const webgpu = backends.find((b) => b.name === "webgpu")!;

type Trial = Choices & {
  /** How the sequence is split: `sp` in every spec is replaced by it. */
  readonly layout?: string;
};
type Arrays = ReadonlyMap<string, NDArray>;

const opened = ({ layout = "sp", ...choices }: Trial): Promise<Opened> =>
  open(path, source.replaceAll("P(_, sp, _, _)", `P(_, ${layout}, _, _)`), choices);

/** Numbers that look random, the same for an element on any mesh: floats in (-1, 1), whole numbers of runs of five. */
function inputsOf(program: Opened): Arrays {
  return new Map(
    program.ports.map(({ path: name, dtype, shape }) => {
      const seed = [...name].reduce((n, c) => n + c.charCodeAt(0), 0);
      const at = (...i: number[]): number => {
        if (dtype === "i32") return Math.floor((i.at(-1)! + i[0]!) / 5);
        if (name === "p.scale") return 0.6;
        const wave = Math.sin(i.reduce((n, x, d) => n + (x + 1) * (d + 1.7) * 12.9898, seed) * 7.233);
        return name === "p.temperature" ? 1.5 + 0.5 * wave : wave;
      };
      return [name, tabulate(dtype, shape, at)];
    }),
  );
}
function run({ core, ports }: Opened, inputs: Arrays): Arrays {
  const results = evaluate(
    core,
    ports.map((p) => inputs.get(p.path)!),
  );
  return new Map(core.outputs.map((o, i) => [o.path, results[i]!]));
}
const learnedPaths = (program: Opened): readonly string[] =>
  program.ports.flatMap(({ path: name }) => (name.startsWith("p.") ? [name] : []));

/** (loss(p + h u) - loss(p - h u)) / 2h = gradient · u, for a direction u of one array at a time. */
async function expectFiniteDifferences(t: Trial): Promise<void> {
  const program = await opened(t);
  const inputs = inputsOf(program);
  const results = run(program, inputs);
  const h = 1e-4;
  for (const name of learnedPaths(program)) {
    const x = inputs.get(name)!;
    const u = tabulate("f32", x.shape, (...i) => Math.cos(i.reduce((n, k, d) => n + k * (d + 2.3) * 3.1, 1)));
    const moved = (by: number): number => {
      const there = { ...x, data: x.data.map((value, i) => value + by * u.data[i]!) };
      return run(program, new Map([...inputs, [name, there]])).get("loss")!.data[0]!;
    };
    const slope = (moved(h) - moved(-h)) / (2 * h);
    const gradient = results.get(`gradient.${name.slice(2)}`)!;
    expect(gradient.shape, name).toEqual(x.shape);
    const along = gradient.data.reduce((n, g, i) => n + g * u.data[i]!, 0);
    expect(Math.abs(slope), `the loss depends on ${name}`).toBeGreaterThan(1e-4);
    expect(Math.abs(along - slope), `${name}: ${along} along u, where the loss changes by ${slope}`).toBeLessThan(
      1e-6 * Math.max(1, Math.abs(slope)),
    );
  }
}

async function expectSame(t: Trial, like: Trial): Promise<void> {
  const [a, b] = [await opened(t), await opened(like)];
  const [got, wanted] = [run(a, inputsOf(a)), run(b, inputsOf(b))];
  for (const [name, { data }] of wanted)
    expect(relativeError(got.get(name)!.data, data), `${name} differs by`).toBeLessThan(1e-12);
}

async function expectOnWebGPU(t: Trial): Promise<void> {
  const program = await opened(t);
  const inputs = inputsOf(program);
  const tensors = new Map(
    [...inputs].map(([name, { dtype, shape, data }]): [string, Tensor] => [
      name,
      { dtype, shape, data: dtype === "i32" ? Int32Array.from(data) : Float32Array.from(data) },
    ]),
  );
  const got = await webgpu.run(program, tensors);
  for (const [name, { data }] of run(program, inputs))
    expect(relativeError(got.get(name)!.data, data), `relative error of ${name}`).toBeLessThan(2e-5);
}

const grouped = { B: 2, S: 16, H: 4, G: 2, D: 3, E: 2 };
const learned = { ...grouped, A: 1, N: 4, I: 16 };

describe("finite differences", () => {
  const trials: Readonly<Record<string, Trial>> = {
    "learned temperatures, a bias for each head, a scale": { entry: "learned", dims: learned },
    "a bias of the reference's shape": { entry: "learned", dims: { ...learned, A: 2, N: 1, I: 1 } },
    "one bias for all": { entry: "learned", dims: { ...learned, A: 1, N: 1, I: 16 } },
    "a bias with every dimension": { entry: "learned", dims: { ...learned, A: 2 } },
    "one key head for all": { entry: "learned", dims: { ...learned, G: 1 } },
    "on one device": { entry: "learned_alone", dims: learned, mesh: { sp: 1 } },
    "by exchange of heads": { entry: "learned_by_heads", dims: learned },
    "queries and keys of different lengths": { entry: "crossed", dims: { B: 2, Q: 8, K: 14, H: 4, G: 2, D: 3, E: 2 } },
    "a window": { entry: "windowed", dims: { ...grouped, W: 5 }, mesh: { sp: 4 } },
    "groups, a prefix, a window on both sides, a soft cap, blind rows": { entry: "masked", dims: grouped },
    dropout: { entry: "dropped", dims: grouped },
    "learned slopes; batch, sequence and heads split": { entry: "sloped", dims: grouped },
    "a table of distances, on a ring beside an exchange": { entry: "relative", dims: { ...grouped, R: 6 } },
    "the reference's names, and its bias": { entry: "by_reference", dims: { B: 2, S: 16, H: 2, D: 3 } },
  };
  for (const [title, t] of Object.entries(trials)) test(title, () => expectFiniteDifferences(t));
});

describe("the same gradients", () => {
  const one: Trial = { entry: "learned", dims: learned, mesh: { sp: 1 } };
  for (const sp of [2, 4, 8])
    for (const layout of ["sp", "striped(sp)", "zigzag(sp)"])
      test(`on sp = ${sp}, ${layout}`, () => expectSame({ ...one, mesh: { sp }, layout }, one));
  test("by exchange of heads", () => expectSame({ ...one, entry: "learned_by_heads", mesh: { sp: 2 } }, one));
  test("on one device", () => expectSame({ ...one, entry: "learned_alone" }, one));
  for (const sp of [1, 2, 4])
    test(`with dropout, on sp = ${sp}`, () =>
      expectSame(
        { entry: "dropped", dims: grouped, mesh: { sp }, layout: "zigzag(sp)" },
        { entry: "dropped", dims: grouped, mesh: { sp: 1 } },
      ));
});

describe.skipIf(!webgpu.ready)("on WebGPU", () => {
  const trials: readonly Trial[] = [
    { entry: "learned", dims: learned, mesh: { sp: 2 } },
    { entry: "by_reference", dims: { B: 2, S: 16, H: 2, D: 3 }, mesh: { sp: 4 }, layout: "zigzag(sp)" },
    { entry: "masked", dims: grouped },
    { entry: "dropped", dims: grouped, layout: "striped(sp)" },
    { entry: "relative", dims: { ...grouped, R: 6 } },
    { entry: "sloped", dims: grouped },
  ];
  for (const t of trials) test(`${t.entry}, ${t.layout ?? "contiguous"}`, () => expectOnWebGPU(t));
});

test("queries that see nothing get no gradient, and give none", async () => {
  const program = await opened({ entry: "masked", dims: grouped });
  const { data, shape } = run(program, inputsOf(program)).get("gradient.q")!;
  const row = shape[2]! * shape[3]!;
  expect(data.subarray(0, 3 * row).every((x) => x === 0)).toBe(true);
  expect(data.subarray(3 * row, 4 * row).some((x) => x !== 0)).toBe(true);
});

describe("the backward pass of a ring", () => {
  const compiled = async (t: Trial) => compileProgram((await opened(t)).core).compiled!;
  const masked: Trial = { entry: "windowed", dims: { ...grouped, W: 1000 }, mesh: { sp: 4 } };

  test("skips blocks in which nothing is seen, as the forward pass does", async () => {
    const { kernels, lanes } = await compiled(masked);
    for (const name of ["out_lse", "dq", "dk_dv"]) {
      const notes = lanes.flatMap((lane, i) => (kernels[i]!.name.startsWith(name) ? lane.notes : []));
      expect(notes.join("\n"), name).toMatch(/blocks of . run only where/);
    }
  });

  test("sends what keys have gathered while the queries' gradients are computed", async () => {
    const text = printSchedule((await compiled(masked)).schedule);
    const loop = text.slice(text.indexOf("loop 1"));
    const places = [/send dk/, /send dv/, / dq(_\d)? /, /wait for dk/, / dk_dv /].map((line) => loop.search(line));
    expect(
      places.every((at) => at >= 0),
      text,
    ).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });
});
