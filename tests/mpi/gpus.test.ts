/** GPUs of several processes connected by NCCL or by MPI, on the stand-ins for both (../cuda/stand-in): results, and what ends them. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { standIn, standInEnvironment } from "../cuda/stand-in.ts";
import { alone, byHand, type Ended, ended, fateful, gyre, launch, root } from "./launch.ts";

const folder = mkdtempSync(join(tmpdir(), "gyre-nccl-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const stand = { ...("why" in standIn ? {} : standInEnvironment({ gpus: 4 })), GYRE_NCCL_FOLDER: folder };
/** Attention round a ring with its gradients, and what it should be. */
const golden = (out: string): readonly string[] =>
  `run tests/golden/golden.gyre --backend cuda --entry plain --mesh sp=4 --in tests/golden/data/causal.npz --dims C=1,I=8,J=8 --out ${out}`.split(
    " ",
  );
const LIMIT = 6;
/** Long enough that something happens in between. */
const ring =
  `run examples/05-ring-attention.gyre --backend cuda --mesh sp=4 --dims B=1,S=64,H=2,D=8 --repeat 1000000 --peer-timeout ${LIMIT} --transport nccl`.split(
    " ",
  );

/** By hand, one process for each of `more`, which is added to its environment. */
function processes(args: readonly string[], more: readonly NodeJS.ProcessEnv[]) {
  const children = byHand(more.length).map((env, rank) =>
    spawn("node", [gyre, ...args], { cwd: root, env: { ...env, ...stand, ...more[rank] } }),
  );
  return { children, all: children.map((child) => ended(child)) };
}
const filesOf = (out: string): Readonly<Record<string, string>> =>
  Object.fromEntries(readdirSync(out).map((name) => [name, readFileSync(join(out, name)).toString("base64")]));

describe.skipIf("why" in standIn)("CUDA-aware MPI", () => {
  test("messages go from a GPU's memory to another's, and so they do by NCCL under mpirun", async () => {
    const library = join(folder, "libaware.so");
    const source = join(root, "tests/mpi/aware.cpp");
    execFileSync("g++", [
      "-shared",
      "-fPIC",
      "-O1",
      "-o",
      library,
      source,
      "-Wl,--no-as-needed",
      "-l:libmpi.so.40",
      "-ldl",
    ]);
    const run = (way: string, out: string): readonly string[] => [
      gyre,
      ...ring.slice(0, ring.indexOf("--repeat")),
      "--transport",
      way,
      "--out",
      out,
    ];
    const outs = ["nccl", "aware-mpi"].map((name) => join(folder, name)) as [string, string];
    const nccl = await ended(launch("mpirun.openmpi", 4, run("nccl", outs[0]), stand));
    expect(nccl.err).toMatch(/in 4 processes over NCCL 2\.21\.5 and Open MPI v4\S+$/m);
    const record = join(folder, "aware");
    const env = { ...stand, GYRE_AWARE_RECORD: record };
    const aware = await ended(launch("mpirun.openmpi", 4, [...run("mpi", outs[1]), "--mpi-library", library], env));
    expect(aware.code, aware.err).toBe(0);
    expect(filesOf(outs[1])).toEqual(filesOf(outs[0]));
    const calls = readFileSync(record, "utf8").trim().split("\n");
    // k and v, three times on each of four, at both ends.
    for (const call of ["MPI_Isend GPU", "MPI_Irecv GPU"]) expect(calls.filter((c) => c === call)).toHaveLength(24);
  });
});

describe.skipIf("why" in standIn)("NCCL between processes", () => {
  test("two processes with two GPUs each: gradients as those of one process", async () => {
    const outs = ["one", "two"].map((name) => join(folder, name)) as [string, string];
    alone(golden(outs[0]), stand);
    const expected = filesOf(outs[0]);
    for (const { code, err } of await Promise.all(processes(golden(outs[1]), [{}, {}]).all)) expect(code, err).toBe(0);
    expect(filesOf(outs[1])).toEqual(expected);
  });

  const said = (all: readonly Ended[]): string => all.map(({ err }) => err).join("");
  test.each([
    ["SIGKILL", /^error: rank 1 is gone: its process ended at '.+'; the others were at: rank 0: .+\nhelp: .+\n$/],
    [
      "SIGSTOP",
      /^error: rank 1 has not answered for 6 s: it was last at '.+'; the others were at: rank 0: .+\nhelp: .+\n$/,
    ],
  ] as const)(
    "a process that gets a %s in the middle: the other ends, and says where both were",
    async (signal, says) => {
      const { children, all } = processes(ring, [{}, fateful({ rank: 1, signal, at: "^wait for" })]);
      const first = await all[0]!;
      children[1]!.kill("SIGTERM");
      expect(first.err).toMatch(says);
      expect(first.code).toBe(3);
    },
  );

  test("an error that NCCL finds later in one process: both end, and one says why, with the step and the rank", async () => {
    const { all } = processes(ring, [{}, { GYRE_CUDA_FAULT: "ncclCommGetAsyncError=6@400" }]);
    const ends = await Promise.all(all);
    expect(ends.map(({ code }) => code)).toEqual([3, 3]);
    expect(said(ends)).toMatch(
      /^error: rank 1: step '.+' on cuda:[23] \(sp=[23]\): '.+' on cuda:[23].*: another process is gone, or the network is: as the test has it \(NCCL 2\.21\.5: remote process exited or there was a network error\)\nhelp: .+\n$/,
    );
  });

  test("without NCCL in one process: nobody uses it, or nobody starts", async () => {
    const without = [{}, { GYRE_NCCL: "/nowhere/libnccl.so.2" }];
    const refused = await Promise.all(processes(ring, without).all);
    expect(refused.map(({ code }) => code)).toEqual([3, 3]);
    expect(said(refused)).toMatch(
      /^error: .*rank 1: NCCL cannot be loaded: \/nowhere\/libnccl.so.2: .+\nhelp: install NCCL/,
    );
    const once = ring.slice(0, ring.indexOf("--repeat"));
    const ends = await Promise.all(processes(once, without).all);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    expect(said(ends)).toMatch(/over TCP and the hosts' memory \(no NCCL: rank 1: NCCL cannot be loaded/);
  });
});
