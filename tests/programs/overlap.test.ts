/** What is done to hide transfers, on machines where all of it pays: the same results, on devices and by the reference. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import { compileProgram } from "../../compiler/compile.ts";
import { devicesWith, open, reference } from "../support/backends.ts";
import { relativeError } from "../support/compare.ts";

const link = { bandwidth: 1e6, latency: 0, duplex: true, shared: true };
const slow: Machine = {
  ...usualMachine,
  name: "slow",
  peak: { f32: 1e7 },
  vector: 1e7,
  memory: { bytes: 1e9, bandwidth: 1e9 },
  launch: 0,
  devicesPerNode: 8,
  links: { inside: link },
};
const lanes = { ...link, shared: false };
const machines: readonly Machine[] = [
  slow,
  { ...slow, name: "torus", links: { inside: lanes } },
  { ...slow, name: "nodes", devicesPerNode: 2, links: { inside: { ...link, bandwidth: 1e8 }, between: link } },
];
const path = new URL("overlap.gyre", import.meta.url).pathname;
const text = readFileSync(path, "utf8");

for (const [entry, dims] of [
  ["one", { N: 64, E: 16, F: 24 }],
  ["stack", { L: 3, N: 32, E: 8, F: 16 }],
] as const)
  test.each(machines)(`${entry}, planned for $name`, async (machine) => {
    const program = await open(path, text, { entry, dims });
    const { decisions } = compileProgram(program.core, { machine }).compiled!.schedule;
    expect(decisions!.made.filter((d) => "saves" in d).length).toBeGreaterThan(2);
    const inputs = program.inputs({});
    const expected = await reference.run(program, inputs);
    for (const device of devicesWith({ machine })) {
      const got = await device.run(program, inputs);
      for (const [name, { data }] of expected)
        expect(relativeError(got.get(name)!.data, data), name).toBeLessThan(1e-5);
    }
  });
