/** The command on the stand-in: what is built runs, and what runs is right. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { file, folder, gyre } from "../cli/gyre.ts";
import { standIn, useStandIn } from "./stand-in.ts";

const root = resolve(import.meta.dirname, "../..");
const small = `mesh pod(sp: 2)
/// Twice x, and what the neighbour has.
export shard_map twice<N>(x: f32[N] @ P(sp)) -> { y: f32[N] @ P(sp), z: f32[N] @ P(sp) } on pod {
  { y: 2 * x, z: ppermute(x, sp, 1) }
}
`;

describe.skipIf("why" in standIn)("gyre", () => {
  beforeEach(() => useStandIn());

  test("devices", async () => {
    const { code, out } = await gyre("devices", "--json");
    expect(code).toBe(0);
    const cuda = (JSON.parse(out) as { backend: string; devices: { name: string }[] }[]).find(
      (b) => b.backend === "cuda",
    )!;
    expect(cuda.devices.map((d) => d.name)).toEqual(["Stand-in GPU 0", "Stand-in GPU 1"]);
    const nccl = (JSON.parse(out) as { transport?: string; found: string[] }[]).find((b) => b.transport === "nccl")!;
    expect(nccl.found.join()).toMatch(/^NCCL 2\.21\.5 \(.*libnccl\.so\)$/);
  });

  test("run: a ring of four positions on two GPUs, held against the reference, with a trace", async () => {
    const trace = join(folder(), "trace.json");
    const { code, out, err } = await gyre(
      ...["run", join(root, "examples/05-ring-attention.gyre"), "--dims", "B=1,S=64,H=2,D=16"],
      ...["--backend", "cuda", "--verify", "--trace", trace],
    );
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("verified result");
    expect(err).toContain("on 4 devices (Stand-in GPU 0, Stand-in GPU 1)");
    expect(readFileSync(trace, "utf8")).toContain('"cuda:3"');
  });

  test("run on a GPU of sm_90a: gradients by warpgroups, whose boxes the runtime maps", async () => {
    useStandIn({ arch: 90 });
    const { code, out, err } = await gyre(
      ...["run", join(root, "bench/cuda/attention.gyre"), "--entry", "gradients_causal"],
      ...["--dims", "B=1,S=160,H=2,G=1,D=64", "--backend", "cuda", "--verify"],
    );
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    expect(out.match(/verified result/g)).toHaveLength(3);
  });

  test("build --compile: the binding loads the cubin and runs it", async () => {
    const out = folder();
    const built = await gyre("build", file(small), "--target", "cuda", "--compile", "--out", out, "--dims", "N=8");
    expect(built.code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(["twice.cu", "twice.cubin", "twice.schedule.json", "twice.ts"]);
    // Outside a project that has the package, its name is where the sources are.
    const here = pathToFileURL(join(root, "index.ts")).href;
    const binding = readFileSync(join(out, "twice.ts"), "utf8");
    writeFileSync(join(out, "twice.ts"), binding.replace('from "gyre"', `from "${here}"`));
    process.env.GYRE_NVRTC = process.env.GYRE_NVCC = "/nowhere/at/all"; // what is compiled needs no compiler
    const { twice } = await import(/* @vite-ignore */ pathToFileURL(join(out, "twice.ts")).href);
    const { y, z } = await twice({ x: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
    expect([...y]).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
    expect([...z]).toEqual([5, 6, 7, 8, 1, 2, 3, 4]);
  });
});
