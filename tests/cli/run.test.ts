import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Tensor } from "../../runtime/dtype.ts";
import { readNpy, writeNpy } from "../../runtime/formats/npy.ts";
import { writeNpz } from "../../runtime/formats/npz.ts";
import { writeSafetensors } from "../../runtime/formats/safetensors.ts";
import { file, folder, gyre } from "./gyre.ts";

const scale = `mesh pod(sp: 2)
export shard_map scale<N>(x: f32[N] @ P(sp), by: f32 @ P()) -> f32[N] @ P(sp) on pod { x * by }
`;
const nested = `mesh pod(sp: 2)
type Params = { w: f32[4] @ P(sp), ids: i32[4] @ P(sp) }
export shard_map step(p: Params, h: bf16[4] @ P(sp)) -> ({ w: f32[4] @ P(sp), n: i32[4] @ P(sp) }, bf16[4] @ P(sp)) on pod {
  ({ w: 2 * p.w, n: p.ids + 1 }, h)
}
`;
const floats = (...values: number[]): Tensor => ({
  dtype: "f32",
  shape: [values.length],
  data: Float32Array.from(values),
});
const ints = (...values: number[]): Tensor => ({ dtype: "i32", shape: [values.length], data: Int32Array.from(values) });
const npy = (tensor: Tensor): string => file(writeNpy(tensor), "x.npy");
const load = (folder: string, name: string) => readNpy(readFileSync(join(folder, name)), name);
const reference = ["--backend", "reference"];

test("a summary: name, type, spec, statistics, first values", async () => {
  const { code, out, err } = await gyre(
    "run",
    file(scale),
    "--in",
    `x=${npy(floats(1, 2, 3, 4))}`,
    "--in",
    `by=${npy({ dtype: "f32", shape: [], data: Float32Array.of(3) })}`,
    ...reference,
  );
  expect({ code, out }).toEqual({
    code: 0,
    out: "result  f32[4] @ P(sp)\n  mean 7.5  std 3.3541  min 3  max 12\n  [3, 6, 9, 12]\n",
  });
  expect(err).toMatch(/^ran in .* on the reference interpreter\n$/);
});

test("dimensions come from the shapes of inputs, or from --dims; without either they are asked for", async () => {
  const program = file(scale);
  expect((await gyre("run", program, "--dims", "N=6", ...reference)).out).toContain("f32[6]");
  expect((await gyre("run", program, "--in", `x=${npy(floats(1, 2))}`, ...reference)).out).toContain("f32[2]");
  expect(await gyre("run", program, ...reference)).toMatchObject({
    code: 2,
    err: expect.stringContaining("--dims N="),
  });
});

test("results are written by name, and nothing else is left behind", async () => {
  const out = folder();
  const given = new Map([
    ["p.w", floats(1, 2, 3, 4)],
    ["p.ids", ints(5, 6, 7, 8)],
    ["unused", ints(1)],
  ]);
  const { code } = await gyre(
    "run",
    file(nested),
    "--in",
    file(writeNpz(given), "all.npz"),
    "--out",
    out,
    ...reference,
  );
  expect(code).toBe(0);
  expect(readdirSync(out).sort()).toEqual(["result.0.n.npy", "result.0.w.npy", "result.1.npy"]);
  expect([...load(out, "result.0.w.npy").data]).toEqual([2, 4, 6, 8]);
  expect([...load(out, "result.0.n.npy").data]).toEqual([6, 7, 8, 9]);
  expect(load(out, "result.1.npy").dtype).toBe("f32");
});

test("--in p=FILE puts a name in front of a file's names", async () => {
  const weights = file(writeSafetensors(new Map([["w", floats(1, 1, 1, 1)]])), "weights.safetensors");
  const out = folder();
  await gyre("run", file(nested), "--in", `p=${weights}`, "--out", out, ...reference);
  expect([...load(out, "result.0.w.npy").data]).toEqual([2, 2, 2, 2]);
});

test("inputs that are not given: the seed decides, whatever the mesh; integers are 0", async () => {
  const run = async (...more: string[]) => {
    const out = folder();
    await gyre("run", file(nested), "--out", out, ...more, ...reference);
    return [load(out, "result.0.w.npy").data, load(out, "result.0.n.npy").data].map((d) => [...d]);
  };
  const [w, n] = await run();
  expect(n).toEqual([1, 1, 1, 1]);
  expect(await run("--mesh", "sp=4")).toEqual([w, n]);
  expect((await run("--seed", "1"))[0]).not.toEqual(w);
});

describe("a text as an array of its bytes", () => {
  const shift = `mesh pod(sp: 2)
export shard_map shift<N>(text: i32[N] @ P(sp)) -> i32[N] @ P(sp) on pod { text + 1 }
`;
  test("its length is the dimension; what it begins with does not matter", async () => {
    const out = folder();
    const { code } = await gyre(
      "run",
      file(shift),
      "--in",
      `text=${file("PK é\n", "a.txt")}`,
      "--out",
      out,
      ...reference,
    );
    expect(code).toBe(0);
    expect([...load(out, "result.npy").data]).toEqual([81, 76, 33, 196, 170, 11]);
  });
  test.each([
    ["without a name", () => file("abcd", "a.txt"), 2, "write --in NAME="],
    ["empty", () => `text=${file("", "a.bin")}`, 1, "a.bin is empty"],
    ["of another length", () => `text=${file("abc", "a.txt")}`, 1, "N"],
  ])("%s", async (_, flag, expected, said) => {
    const { code, err } = await gyre("run", file(shift), "--in", flag(), ...reference);
    expect(err).toContain(said);
    expect(code).toBe(expected);
  });
});

test("--verify says how far results are from the reference", async () => {
  const { code, out } = await gyre("run", file(scale), "--dims", "N=8", "--verify", ...reference);
  expect(out).toMatch(/verified result: relative error \d\.\d\de[-+]\d+, bound 1e-4/);
  expect(code).toBe(0);
});

test("--verify allows what is coarsest on the way to a result", async () => {
  const program = `mesh one(x: 1)
export shard_map f<N>(x: f32[N] @ P(_)) -> { exact: f32[N] @ P(_), mixed: f32, half: f32[N] @ P(_) } on one {
  { exact: 2 * x, mixed: sum(grad(|y| sum(exp(cast(y, bf16))))(x)), half: cast(cast(x, f16), f32) }
}
`;
  const { out } = await gyre("run", file(program), "--dims", "N=8", "--verify", ...reference);
  expect([...out.matchAll(/verified result\.(\w+): .*bound (\S+)/g)].map(([, name, bound]) => [name, bound])).toEqual([
    ["exact", "1e-4"],
    ["mixed", "2e-2"],
    ["half", "5e-3"],
  ]);
});

test("--json is all there is on standard output", async () => {
  const { out } = await gyre("run", file(scale), "--dims", "N=8", "--verify", "--json", "--repeat", "2", ...reference);
  const { entry, results, verify, times } = JSON.parse(out);
  expect({ entry, name: results[0].name, shape: results[0].shape }).toEqual({
    entry: "scale",
    name: "result",
    shape: [8],
  });
  expect(verify[0]).toMatchObject({ ok: true, bound: 1e-4 });
  expect(times).toHaveLength(2);
});

describe("inputs that do not fit", () => {
  const huge = new BigInt64Array([1n, 2n, 2n ** 40n, 4n]);
  const int64 = (): string => {
    const bytes = Buffer.from(writeNpy(ints(1, 2, 3, 4)));
    const header = bytes.subarray(0, 128).toString("latin1").replace("'<i4'", "'<i8'");
    return file(Buffer.concat([Buffer.from(header, "latin1"), Buffer.from(huge.buffer)]), "ids.npy");
  };
  test.each([
    ["a name that is none of the program's", () => `xx=${npy(floats(1, 2))}`, 2, "did you mean x?"],
    ["an array without a name", () => npy(floats(1, 2)), 2, "write --in NAME="],
    ["another rank", () => `x=${npy({ dtype: "f32", shape: [2, 2], data: new Float32Array(4) })}`, 1, "[2, 2]"],
    [
      "a file that is none of the three",
      () => `x=${file("hello, this is text", "x.npy")}`,
      1,
      "x.npy is no .npy, .npz or whole",
    ],
    ["a file that is not there", () => "x=/nowhere.npy", 1, "there is no such file"],
  ])("%s", async (_, flag, expected, said) => {
    const { code, err } = await gyre("run", file(scale), "--in", flag(), ...reference);
    expect(err).toContain(said);
    expect(code).toBe(expected);
  });

  test("one array for a record", async () => {
    const { code, err } = await gyre("run", file(nested), "--in", `p=${npy(floats(1, 2))}`, ...reference);
    expect(err).toContain("the input p has parts");
    expect(code).toBe(2);
  });

  test("numbers that the dtype cannot hold", async () => {
    const large = await gyre("run", file(nested), "--in", `p.ids=${int64()}`, ...reference);
    expect(large).toMatchObject({ code: 1 });
    expect(large.err).toContain(String(2 ** 40));
    const float = await gyre("run", file(nested), "--in", `p.ids=${npy(floats(1, 2, 3, 4))}`, ...reference);
    expect(float).toMatchObject({ code: 1, err: expect.stringContaining("astype(numpy.int32)") });
  });
});

test("flags that the program does not know: exit 2 and what it knows", async () => {
  const program = file(scale);
  expect(await gyre("run", program, "--dims", "M=2", ...reference)).toMatchObject({
    code: 2,
    err: expect.stringContaining("dimension `M`"),
  });
  expect(await gyre("run", program, "--dims", "N=2", "--mesh", "sq=2", ...reference)).toMatchObject({
    code: 2,
    err: expect.stringContaining("its axes are `sp`"),
  });
  expect(await gyre("run", program, "--dims", "N=2", "--entry", "scal", ...reference)).toMatchObject({
    code: 2,
    err: expect.stringContaining("did you mean `scale`?"),
  });
  expect(await gyre("run", program, "--dims", "N=3", ...reference)).toMatchObject({
    code: 1,
    err: expect.stringContaining("cannot be split"),
  });
});

test("--out that cannot be written to is said before the program runs", async () => {
  const { code, err } = await gyre(
    "run",
    file(scale),
    "--dims",
    "N=2",
    "--out",
    join(file("x", "taken"), "sub"),
    ...reference,
  );
  expect(err).toContain("cannot write into");
  expect(code).toBe(2);
});

// Where a file system takes no new folders, a recursive mkdir goes on for ever.
test.skipIf(process.platform !== "linux")("--out where nobody can make a folder", async () => {
  const { code, err } = await gyre("run", file(scale), "--dims", "N=2", "--out", "/proc/gyre/sub", ...reference);
  expect(err).toContain("cannot write into /proc/gyre/sub: there is no such");
  expect(code).toBe(2);
});

describe("on devices", () => {
  test("results are the reference's, on any mesh", async () => {
    for (const mesh of ["sp=1", "sp=4"]) {
      const { code, out } = await gyre(
        "run",
        file(scale),
        "--dims",
        "N=64",
        "--mesh",
        mesh,
        "--verify",
        "--backend",
        "webgpu",
      );
      expect(out).toContain("verified result");
      expect(code).toBe(0);
    }
  });

  test("--trace writes a Chrome trace with a process for each device", async () => {
    const path = join(folder(), "trace.json");
    const { code } = await gyre("run", file(scale), "--dims", "N=64", "--trace", path);
    expect(code).toBe(0);
    expect(existsSync(path)).toBe(true);
    const { traceEvents } = JSON.parse(readFileSync(path, "utf8"));
    expect(traceEvents.filter((e: { name: string }) => e.name === "process_name")).toHaveLength(2);
  });

  test("--repeat prints the median", async () => {
    const { err } = await gyre("run", file(scale), "--dims", "N=64", "--repeat", "3");
    expect(err).toMatch(/ran 3 times on 2 devices \(.*\): median /);
  });

  test("an array beyond the adapter's limits names the limit and what would fit", async () => {
    const { code, err } = await gyre("run", file(scale), "--dims", "N=8589934592");
    expect(err).toMatch(/maxStorageBufferBindingSize|maxBufferSize|memory/);
    expect(code).toBe(3);
  });
});

describe("--schedule", () => {
  const program = new URL("../../examples/05-ring-attention.gyre", import.meta.url).pathname;
  const sizes = ["--dims", "B=1,S=32,H=1,D=4", "--mesh", "sp=2"];
  type Step = { kind: string; body: Step[]; route: { offset: number } };
  /** The compiler's schedule with the steps of its loop changed. */
  const edited = async (change: (body: Step[]) => Step[]): Promise<string> => {
    const { out } = await gyre("inspect", program, ...sizes, "--stage", "schedule", "--json");
    const schedule = JSON.parse(out) as { steps: Step[] };
    const steps = schedule.steps.map((s) => (s.kind === "loop" ? { ...s, body: change(s.body) } : s));
    return file(JSON.stringify({ ...schedule, steps }), "edited.json");
  };
  const run = (path: string) => gyre("run", program, ...sizes, "--schedule", path, "--verify");

  test("a schedule in another order that is safe runs", async () => {
    const path = await edited((body) => {
      const of = (...kinds: string[]) => body.filter((s) => kinds.includes(s.kind));
      return [...of("send", "receive"), ...of("wait"), ...of("launch")];
    });
    const { code, out } = await run(path);
    expect(out).toContain("verified result");
    expect(code).toBe(0);
  });

  test.each([
    ["is not safe to run: transfer", (body: Step[]) => body.filter((s) => s.kind !== "wait")],
    [
      "comes about in another way",
      (body: Step[]) => body.map((s) => ("route" in s ? { ...s, route: { ...s.route, offset: 2 } } : s)),
    ],
    ["is missing", (body: Step[]) => body.filter((s) => s.kind !== "launch")],
    ["is not a schedule", (body: Step[]) => body.map((s) => ({ ...s, kind: "jump" }))],
  ])("refused: %s", async (reason, change) => {
    const { code, err } = await run(await edited(change));
    expect(err).toContain(reason);
    expect(code).toBe(1);
  });

  test("is for devices", async () => {
    const { code, err } = await gyre("run", program, ...sizes, "--schedule", "s.json", ...reference);
    expect(err).toContain("the reference interpreter has no schedule");
    expect(code).toBe(2);
  });
});
