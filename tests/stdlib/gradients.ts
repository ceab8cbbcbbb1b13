/**
 * Programs that give `loss`, and `gradient.x` for each array `p.x` of a record `p`: against finite differences of the loss in
 * float64 on the reference interpreter, against each other, and on devices against the reference.
 */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { evaluate } from "../../compiler/core/eval.ts";
import { type NDArray, tabulate } from "../../compiler/core/ndarray.ts";
import type { Tensor } from "../../runtime/dtype.ts";
import { type Choices, devices, type Opened, open } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

export type Trial = Choices & {
  /** The file of the program. */
  readonly path: string;
  /** Texts in it and what stands in their place. */
  readonly edits?: Readonly<Record<string, string>>;
};
export type Arrays = ReadonlyMap<string, NDArray>;

export const opened = ({ path, edits = {}, ...choices }: Trial): Promise<Opened> =>
  open(
    path,
    Object.entries(edits).reduce((text, [from, to]) => text.replaceAll(from, to), readFileSync(path, "utf8")),
    choices,
  );

/** Numbers that look random, the same for an element on any mesh: floats in (-1, 1), whole numbers of runs of five. */
export function inputsOf(program: Opened): Arrays {
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
export function run({ core, ports }: Opened, inputs: Arrays): Arrays {
  const results = evaluate(
    core,
    ports.map((p) => inputs.get(p.path)!),
  );
  return new Map(core.outputs.map((o, i) => [o.path, results[i]!]));
}
const learnedPaths = (program: Opened): readonly string[] =>
  program.ports.flatMap(({ path: name }) => (name.startsWith("p.") ? [name] : []));

/** (loss(p + h u) - loss(p - h u)) / 2h = gradient · u, for a direction u of one array at a time. */
export async function expectFiniteDifferences(t: Trial): Promise<void> {
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

export async function expectSame(t: Trial, like: Trial): Promise<void> {
  const [a, b] = [await opened(t), await opened(like)];
  const [got, wanted] = [run(a, inputsOf(a)), run(b, inputsOf(b))];
  for (const [name, { data }] of wanted)
    expect(relativeError(got.get(name)!.data, data), `${name} differs by`).toBeLessThan(1e-12);
}

export async function expectOnDevices(t: Trial): Promise<void> {
  const program = await opened(t);
  const inputs = inputsOf(program);
  const tensors = new Map(
    [...inputs].map(([name, { dtype, shape, data }]): [string, Tensor] => [
      name,
      { dtype, shape, data: dtype === "i32" ? Int32Array.from(data) : Float32Array.from(data) },
    ]),
  );
  const expected = run(program, inputs);
  for (const device of devices) {
    const got = await device.run(program, tensors);
    for (const [name, { data }] of expected)
      expect(relativeError(got.get(name)!.data, data), `${name} on ${device.name}`).toBeLessThan(2e-5);
  }
}
