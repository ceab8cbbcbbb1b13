import { describe, expect, test } from "vitest";
import { file, gyre } from "./gyre.ts";

const ring = "examples/05-ring-attention.gyre";
const sizes = ["--dims", "B=1,S=65536,H=8,D=128", "--mesh", "sp=16"];
const mine = {
  peak: { f32: 1e12 },
  vector: 1e12,
  memory: { bytes: 1e6, bandwidth: 1e11 },
  devicesPerNode: 4,
  links: { inside: { bandwidth: 1e10 }, between: { bandwidth: 1e9 } },
};
const machine = (json: object): string => file(JSON.stringify(json, null, 2), "mine.json");

describe("simulate", () => {
  test("tells time, communication, balance, memory, and draws a timeline", async () => {
    const { code, out, err } = await gyre("simulate", ring, "--machine", "h100-nvlink8", "--nodes", "2", ...sizes);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("simulated on h100-nvlink8: 16 devices in 2 nodes");
    for (const row of ["time", "compute", "communication", "others", "arithmetic", "memory"])
      expect(out).toMatch(new RegExp(`^  ${row} `, "m"));
    expect(out).toMatch(/memory .*: fits, .* to spare/);
    expect(out).toMatch(/sp=15 compute │.*█.*│/);
  });

  test("--json has the numbers; a machine of one's own is called after its file", async () => {
    const { code, out } = await gyre("simulate", ring, "--machine", machine(mine), "--json", ...sizes);
    expect(code).toBe(0);
    const result = JSON.parse(out);
    expect(result).toMatchObject({ machine: "mine", nodes: 4, devices: 16, memory: { of: 1e6, fits: false } });
    expect(result.memory.spare).toBe(1e6 - result.memory.bytes);
    expect(result.seconds).toBeGreaterThan(result.busy.mean);
  });

  test("what does not fit is said, with how much", async () => {
    const { out } = await gyre("simulate", ring, "--machine", machine(mine), ...sizes);
    expect(out).toMatch(/memory .*: does not fit, .* too much/);
  });

  test("mistakes of machine files are told by field, with the line", async () => {
    const path = machine({ ...mine, vector: "quick" });
    const { code, err } = await gyre("simulate", ring, "--machine", path, ...sizes);
    expect(err).toMatch(/mine\.json:5:3: error\[GY8103\]: `vector` is the text "quick"/);
    expect(code).toBe(1);
  });

  test.each([
    [["--machine", "h100-nvlnk8"], "did you mean h100-nvlink8?"],
    [["--machine", "h100-nvlink8", "--nodes", "1"], "give it 2 nodes"],
    [["--machine", "a100-nvlink"], "has no links.between"],
    [[], "--machine"],
  ])("%j is a wrong command line", async (flags, said) => {
    const { code, err } = await gyre("simulate", ring, ...flags, ...sizes);
    expect(err).toContain(said);
    expect(code).toBe(2);
  });
});
