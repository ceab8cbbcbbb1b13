import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { machineNames, machineOf } from "../../cli/machines.ts";
import { readMachine } from "../../compiler/schedule/machine.ts";

const good = {
  peak: { bf16: 1e15 },
  vector: 1e14,
  memory: { bytes: 8e10, bandwidth: 3e12 },
  links: { inside: { bandwidth: 1e11 } },
};
/** What is said of a machine file, and the text that is underlined. */
const said = (json: unknown): readonly string[] => {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  return readMachine({ path: "mine.json", text }).diagnostics.map(
    ({ code, message, help, span }) => `${code} ${message}; ${help} | ${text.slice(span.start, span.end)}`,
  );
};

test.each(machineNames())("%s is right, and called after its file", (name) => {
  const { machine, diagnostics } = machineOf(name);
  expect(diagnostics).toEqual([]);
  expect(machine?.name).toBe(name);
  const path = new URL(`../../machines/${name}.json`, import.meta.url);
  expect(JSON.parse(readFileSync(path, "utf8")).about).toMatch(/\.$/);
});

describe("a machine file", () => {
  test("may leave out what has a usual value", () => {
    const { machine } = readMachine({ path: "mine.json", text: JSON.stringify(good) });
    expect(machine).toMatchObject({
      launch: 0,
      devicesPerNode: 1,
      efficiency: { compute: 1, memory: 1, links: 1 },
      links: { inside: { bandwidth: 1e11, latency: 0, duplex: true, shared: true } },
    });
  });
  test("is told its mistakes by field", () => {
    expect(said("{ peak")[0]).toMatch(/^GY8101 this machine file is not JSON/);
    expect(said({ ...good, vector: undefined })).toEqual([
      "GY8102 the machine has no `vector`; add it: flop/s outside of sums of products, more than 0 | {",
    ]);
    expect(said({ ...good, links: { inside: { bandwidth: "fast" } } })).toEqual([
      'GY8103 `links.inside.bandwidth` is the text "fast"; it should be bytes per second, one way, more than 0 | "bandwidth"',
    ]);
    expect(said({ ...good, peak: {} })[0]).toContain("`peak` is empty");
    expect(said({ ...good, devicesPerNode: 1.5 })[0]).toContain("`devicesPerNode` is 1.5");
    expect(said({ ...good, device: 8 })).toEqual([
      'GY8104 a machine has nothing called `device`; did you mean `devicesPerNode`? | "device"',
    ]);
    expect(said([])[0]).toContain("the machine` is an array");
  });
});
