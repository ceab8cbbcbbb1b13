/**
 * Gradients of whole programs. Each program has an entry `loss` and an entry `grads`, which gives the gradient of the loss by
 * some of its inputs, under their names: held against finite differences of the loss along random directions in float64,
 * and devices against the reference.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { HostArray, Tensor } from "../../runtime/dtype.ts";
import { random } from "../core/programs.ts";
import { devices, type Opened, open, reference } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const programs: readonly (readonly [name: string, dims: Readonly<Record<string, number>>])[] = [
  ["own-ring", { S: 32, H: 2, D: 4 }],
  ["recurrence", { N: 4, T: 5, D: 3, E: 4 }],
  ["experts", { N: 32, V: 9, E: 3, F: 5 }],
  ["learned-ring", { B: 1, S: 32, H: 4, G: 2, D: 4, R: 8 }],
  ["pipeline", { M: 3, B: 2, D: 3 }],
  ["reductions", { B: 2, S: 4, E: 3, V: 4 }],
];

/** Numbers around 0, scalars around 1; whole numbers are 0. */
function inputsOf(program: Opened): Map<string, Tensor> {
  const next = random(7);
  return new Map(
    program.ports.map(({ path, dtype, shape }) => {
      const centre = shape.length === 0 ? 1 : 0;
      const data = new Float64Array(shape.reduce((n, d) => n * d, 1));
      if (dtype === "f32") for (const i of data.keys()) data[i] = 1.5 * next() + centre;
      return [path, { dtype, shape, data: data as unknown as HostArray }];
    }),
  );
}

describe.each(programs)("%s", (name, dims) => {
  const path = new URL(`gradients/${name}.gyre`, import.meta.url).pathname;
  const entry = (which: string) => open(path, readFileSync(path, "utf8"), { entry: which, dims });

  test("gradients are finite differences", async () => {
    const [loss, grads] = [await entry("loss"), await entry("grads")];
    const inputs = inputsOf(loss);
    const at = async (moved: ReadonlyMap<string, Tensor>): Promise<number> =>
      (await reference.run(loss, moved)).get("")!.data[0]!;
    const next = random(11);
    for (const [of, { data }] of await reference.run(grads, inputs)) {
      const direction = Float64Array.from(data, () => next());
      const along = (h: number) => {
        const old = inputs.get(of)!;
        const moved = Float64Array.from(old.data, (x, i) => x + h * direction[i]!);
        return at(new Map(inputs).set(of, { ...old, data: moved as unknown as HostArray }));
      };
      const h = 1e-5;
      const difference = ((await along(h)) - (await along(-h))) / (2 * h);
      const gradient = direction.reduce((sum, d, i) => sum + d * data[i]!, 0);
      expect(Math.abs(gradient - difference) / Math.abs(difference), of).toBeLessThan(1e-4);
    }
  });

  test.each(devices)("on devices: $name", async (device) => {
    const grads = await entry("grads");
    const inputs = new Map(
      [...inputsOf(grads)].map(([path, t]) => [
        path,
        { ...t, data: t.dtype === "f32" ? Float32Array.from(t.data) : Int32Array.from(t.data) },
      ]),
    );
    const exact = await reference.run(grads, inputs);
    for (const [of, { data }] of await device.run(grads, inputs))
      expect(relativeError(data, Float64Array.from(exact.get(of)!.data)), of).toBeLessThan(1e-4);
  });
});
