import { describe, expect, test } from "vitest";
import { gyre } from "./gyre.ts";

const ring = "examples/05-ring-attention.gyre";
const sizes = ["--dims", "B=1,S=65536,H=8,D=128"];
const on = ["--machine", "h100-nvlink8", ...sizes];

describe("plan", () => {
  test("ranks, gives reasons, and says how to use the best", async () => {
    const { code, out, err } = await gyre("plan", ring, ...on, "--devices", "8");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^attention on 8 devices of h100-nvlink8 in 1 node, 74.5 GiB each: \d+ ways tried$/m);
    expect(out).toMatch(/^ {2}1 .*sp=8 +\w+_attention .*S=(zigzag|striped)$/m);
    expect(out).toMatch(/layout: S=\w+\n(.*\n)*? {4}S=contiguous +\d.* % slower, balance \d.* % for \d.* %/);
    expect(out).toMatch(
      /gyre run .*05-ring-attention.gyre --mesh sp=8 .*--layout S=\w+ .*--dims B=1,S=65536,H=8,D=128$/m,
    );
    expect(out).toMatch(/specs of q, k, v, the result: S lies \w+$/m);
  });

  test("--json: its flags give what it predicts", async () => {
    const { out } = await gyre("plan", ring, ...on, "--devices", "8", "--json", "--top", "3");
    const { best, tried } = JSON.parse(out);
    expect(best).toHaveLength(3);
    expect(tried).toBeGreaterThan(5);
    for (const way of best) {
      const { out: simulated } = await gyre(
        "simulate",
        ring,
        "--machine",
        "h100-nvlink8",
        "--json",
        ...way.flags.split(" "),
      );
      expect(JSON.parse(simulated)).toMatchObject({ seconds: way.seconds, memory: { bytes: way.bytes } });
    }
  });

  test("what flags say is kept", async () => {
    const flags = ["--layout", "S=striped", "--use", "ring_attention=all_gather_attention"];
    const { out } = await gyre("plan", ring, ...on, "--devices", "4", "--json", ...flags);
    const { best, tried } = JSON.parse(out);
    expect(tried).toBe(1);
    expect(best[0]).toMatchObject({ layouts: { S: "striped" }, exchanges: { ring_attention: "all_gather_attention" } });
  });

  test.each([
    [["--devices", "16", "--nodes", "1"], "--devices asks for 16", 2],
    [["--devices", "6", "--mesh", "sp=4"], "6 devices cannot be dealt out over the mesh pod(sp)", 2],
    [["--devices", "8", "--use", "ring_attention=ringattention"], "did you mean ring_attention?", 2],
    [["--devices", "8", "--memory", "lots"], "'lots' is no amount of memory", 2],
    [["--devices", "8", "--layout", "S=zigzg"], "did you mean zigzag?", 2],
    [["--devices", "8", "--split", "sp=8"], "not of the form 2x8", 2],
    [["--devices", "8", "--memory", "1MB"], "no way to run attention on 8 devices", 1],
  ])("%j", async (flags, sentence, exit) => {
    const { code, err } = await gyre("plan", ring, ...on, ...flags);
    expect(err).toContain(sentence);
    expect(code).toBe(exit);
  });

  test("sizes that are missing are asked for", async () => {
    const { code, err } = await gyre("plan", ring, "--machine", "h100-nvlink8");
    expect(err).toContain("GY6001");
    expect(code).toBe(2);
  });
});

describe("choices as flags", () => {
  test("are the program's in every command", async () => {
    const flags = ["--split", "sp=2x2", "--layout", "S=zigzag", "--use", "ring_attention=hybrid_attention"];
    const { code, out, err } = await gyre(
      "run",
      ring,
      "--dims",
      "B=1,S=32,H=4,D=8",
      "--backend",
      "reference",
      "--verify",
      ...flags,
    );
    expect({ code, out: out.includes("verified") }, err).toEqual({ code: 0, out: true });
    const plain = await gyre(
      "run",
      ring,
      "--dims",
      "B=1,S=32,H=4,D=8",
      "--mesh",
      "sp=4",
      "--backend",
      "reference",
      "--json",
    );
    const chosen = await gyre("run", ring, "--dims", "B=1,S=32,H=4,D=8", "--backend", "reference", "--json", ...flags);
    expect(JSON.parse(chosen.out).results[0].mean).toBeCloseTo(JSON.parse(plain.out).results[0].mean, 6);
  });
});
