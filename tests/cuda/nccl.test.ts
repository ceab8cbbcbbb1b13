/**
 * Transfers by NCCL, on stand-ins for it and for CUDA: between the devices of one process. Results are those of direct copies,
 * and what was called, in which order, is what NCCL's documents ask for. (Several processes: ../mpi/gpus.test.ts.)
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { open } from "../../runtime/api.ts";
import { elementCount } from "../../runtime/dtype.ts";
import { openDevices } from "../../runtime/open.ts";
import { memoryTransports } from "../../runtime/transport/memory.ts";
import { ncclTransport } from "../../runtime/transport/nccl/collectives.ts";
import { communicatorsOf } from "../../runtime/transport/nccl/communicators.ts";
import { loadNccl } from "../../runtime/transport/nccl/library.ts";
import { watchOf } from "../../runtime/transport/nccl/watch.ts";
import { checkOperations } from "../transport/operations.ts";
import { oneRank } from "./one-rank.ts";
import { type Settings, type StandIn, standIn, useStandIn } from "./stand-in.ts";

const folder = mkdtempSync(join(tmpdir(), "gyre-nccl-test-"));
process.env.GYRE_NCCL_FOLDER = folder;
afterAll(() => {
  rmSync(folder, { recursive: true });
  useStandIn();
});

const wave = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 12.9898 * i));
type Sizes = Readonly<Record<string, number>>;
const compiled = (
  path: string,
  dims: Sizes,
  meshSizes: Sizes,
  read: (path: string) => string | undefined = readSource,
) => {
  const made = compile(path, read as typeof readSource, { dims, meshSizes, target: "cuda" });
  if (!made.compiled) throw new Error(JSON.stringify(made.diagnostics));
  return made.compiled;
};

/** The stand-in's library as one of another version: what is loaded is known by its path. */
function versioned(ncclVersion: number): string {
  const path = join(folder, `libnccl.${ncclVersion}.so`);
  if (!existsSync(path)) symlinkSync((standIn as StandIn).nccl, path);
  return path;
}

/** All results of a program, by path, from devices of one process, each on a GPU of its own. */
async function results(
  program: ReturnType<typeof compiled>,
  use: "always" | "never",
  settings: Settings = {},
  timeoutMs = 20_000,
) {
  const { mesh, inputs: ports } = program.schedule;
  const devices = mesh.axes.reduce((n, axis) => n * axis.size, 1);
  useStandIn({ gpus: devices, ...settings });
  const library = versioned(settings.ncclVersion ?? 22105);
  const session = await open({ backend: "cuda", devices, timeoutMs, nccl: { use, library } });
  try {
    const loaded = await session.load(program);
    const inputs = ports.map(({ path, shape }, i) => [path, wave(elementCount(shape), i)] as const);
    const out = await loaded.run(Object.fromEntries(inputs));
    const read = Object.entries(out).map(async ([path, array]) => [path, [...(await array.read()).data]] as const);
    return Object.fromEntries(await Promise.all(read));
  } finally {
    session.close();
  }
}

/** What was called, in order. */
let records = 0;
async function recorded(program: ReturnType<typeof compiled>, settings: Settings = {}): Promise<readonly string[]> {
  const record = join(folder, `record${records++}`);
  await results(program, "always", { ...settings, record });
  return readFileSync(record, "utf8").trimEnd().split("\n");
}

const ring = () => compiled("examples/05-ring-attention.gyre", { B: 1, S: 64, H: 2, D: 8 }, { sp: 4 });

/** Two axes and both flattened, both directions, a line, all to all: a ring of every kind. */
const WAYS = `mesh grid(a: 2, b: 2)
export shard_map ways<N, M>(x: f32[N, M] @ P((a, b), _)) -> {
  up: f32[N, M] @ P((a, b), _), down: f32[N, M] @ P((a, b), _), round: f32[N, M] @ P((a, b), _),
  line: f32[N, M] @ P((a, b), _), turned: f32[N, M] @ P(a, b), sum: f32[M] @ P(_),
} on grid {
  let y = 2 * x;
  {
    up: ppermute(y, a, shift = 1), down: ppermute(y, b, shift = -1), round: ppermute(y, (a, b), shift = 1),
    line: ppermute(y, b, pairs = ((0, 1),)), turned: all_to_all(y, b, split = 1, concat = 0),
    sum: psum(psum(sum(y, dim = 0), a), b),
  }
}
`;
const ways = () =>
  compiled("ways.gyre", { N: 16, M: 8 }, {}, (path) => (path === "ways.gyre" ? WAYS : readSource(path)));

describe.skipIf("why" in standIn)("between the devices of one process", () => {
  test("a ring, whatever the order of the work", async () => {
    const direct = await results(ring(), "never");
    for (const schedule of [0, 1, 2, 5]) expect(await results(ring(), "always", { schedule })).toEqual(direct);
  });

  test("every way round two axes; communicators that are split off, and those of ids where NCCL cannot split", async () => {
    const direct = await results(ways(), "never");
    const made = (calls: readonly string[], call: string) => calls.filter((line) => line.startsWith(`${call} `));
    const record = (name: string) => join(folder, name);
    for (const [ncclVersion, splits, joins] of [
      [22105, 8, 4],
      [21400, 0, 12],
    ] as const) {
      const name = record(`ways${ncclVersion}`);
      expect(await results(ways(), "always", { ncclVersion, record: name })).toEqual(direct);
      const calls = readFileSync(name, "utf8").split("\n");
      // The ring of both axes is the whole mesh in its order: the world serves it.
      expect(made(calls, "ncclCommSplit")).toHaveLength(splits);
      expect(made(calls, "ncclCommInitRankConfig")).toHaveLength(joins);
    }
  });

  test("the transfers of a ring's step are one group, on a stream beside the kernels, joined by events", async () => {
    const calls = (await recorded(ring())).filter((line) => !/rank=[1-3]/.test(line));
    const at = calls.findIndex((line) => line.startsWith("ncclSend"));
    const stream = /stream=(\d+)/.exec(calls[at]!)![1];
    // k and v go to the next and come from the one before, in one group.
    expect(calls.slice(at - 1, at + 5).map((line) => line.replace(/ stream=.*/, ""))).toEqual([
      "ncclGroupStart",
      "ncclSend on=world rank=0 peer=1 bytes=1024",
      "ncclRecv on=world rank=0 peer=3 bytes=1024",
      "ncclSend on=world rank=0 peer=1 bytes=1024",
      "ncclRecv on=world rank=0 peer=3 bytes=1024",
      "ncclGroupEnd",
    ]);
    // The stream comes after the kernels before, by their event, and no kernel is on it.
    const [, event] = /event=(\S+)/.exec(
      calls.slice(0, at).findLast((l) => l.startsWith(`cuStreamWaitEvent stream=${stream} `))!,
    )!;
    const [, compute] = new RegExp(`cuEventRecord stream=(\\d+) event=${event}$`).exec(
      calls.find((l) => l.endsWith(`event=${event}`))!,
    )!;
    expect(compute).not.toBe(stream);
    expect(calls.some((line) => line.startsWith("cuLaunchKernel") && line.endsWith(`stream=${stream}`))).toBe(false);
    // Its end is an event, for which the kernels of the next step wait.
    const ends = calls.findIndex((line, i) => i > at && line.startsWith(`cuEventRecord stream=${stream} `));
    const [, end] = /event=(\S+)/.exec(calls[ends]!)!;
    const waits = calls.indexOf(`cuStreamWaitEvent stream=${compute} event=${end}`);
    const next = calls.findIndex(
      (line, i) => i > waits && line.startsWith("cuLaunchKernel out") && line.endsWith(`stream=${compute}`),
    );
    expect(waits).toBeGreaterThan(ends);
    expect(next).toBeGreaterThan(waits);
    // A kernel was given to the device while the transfer was under way.
    const beside = calls.findIndex(
      (line) => line.startsWith("cuLaunchKernel out") && line.endsWith(`stream=${compute}`),
    );
    expect(beside).toBeLessThan(ends);
    expect(calls.at(-1)).toMatch(/^ncclCommDestroy/);
  });
});

describe.skipIf("why" in standIn)("the operations of a transport, by NCCL's collectives", () => {
  test("one rank, as on a GPU (npm run test:cuda)", async () => {
    useStandIn();
    await oneRank(versioned(22105));
  });
  test("three ranks", async () => {
    useStandIn({ gpus: 3, ranksTogether: true });
    const devices = await openDevices("cuda", 3);
    const library = await loadNccl(versioned(22105));
    let id: string | undefined;
    const made = memoryTransports(3).map((under, rank) => {
      const communicators = communicatorsOf({
        library: { ...library, uniqueId: () => (id ??= library.uniqueId()) },
        members: [{ position: rank, device: devices[rank]!, streams: devices[rank]!.streams! }],
        places: [[0], [1], [2]],
        rank,
        // Who holds position 0 makes the id: as if all had said so.
        exchange: async (value) => [rank === 0 ? value : ([[0, (id ??= library.uniqueId())]] as typeof value)],
        limitMs: 20_000,
      });
      return { communicators, transport: ncclTransport(under, communicators, watchOf(communicators, 20_000)) };
    });
    await Promise.all(made.map(({ transport }) => checkOperations(transport)));
    for (const { communicators } of made) communicators.abort(new Error("the end"));
    for (const device of devices) device.close();
  });
});

describe.skipIf("why" in standIn)("what goes wrong", () => {
  const failing = async (settings: Settings, choice: object = {}, devices = 4) => {
    useStandIn({ gpus: 4, ...settings });
    const session = await open({ backend: "cuda", devices, nccl: { use: "always", ...choice } });
    session.close();
  };
  test("no library, an old one, two positions on a GPU, other devices: why, and what to do", async () => {
    await expect(failing({}, { library: "/nowhere/libnccl.so.2" })).rejects.toMatchObject({
      kind: "unsupported",
      message:
        "NCCL cannot be loaded: /nowhere/libnccl.so.2: cannot open shared object file: No such file or directory",
      help: expect.stringContaining("--nccl-library"),
    });
    await expect(failing({ ncclVersion: 21304 }, { library: versioned(21304) })).rejects.toThrow(
      "is NCCL 2.13.4, and 2.14 is needed",
    );
    await expect(failing({}, {}, 6)).rejects.toThrow(
      /NCCL wants a GPU for each mesh position, and 0 and 4 are both on GPU 0000:01:00.0/,
    );
    await expect(open({ backend: "cpu", devices: 2, nccl: { use: "always" } })).rejects.toThrow(
      "NCCL connects NVIDIA GPUs, and the devices are others",
    );
  });
  test.each([
    [
      "an error that NCCL finds later",
      "ncclCommGetAsyncError=6@40",
      "peer",
      /another process is gone.*as the test has it \(NCCL 2\.21\.5: remote process exited/,
    ],
    ["a send that is refused", "ncclSend=4@3", "internal", /ncclSend, .* on cuda:\d: an argument is wrong/],
    [
      "a communicator that cannot be made",
      "ncclCommInitRankConfig=2@2",
      "peer",
      /ncclCommInitRankConfig, rank 1 of 4 in all devices: a call of the system failed/,
    ],
    [
      "a transfer that does not come through",
      "cuEventQuery=600@60+",
      "timeout",
      /did not finish: nothing moved for 0\.5 s/,
    ],
  ])("%s: which step, on which device, and everything ends", async (_, fault, kind, message) => {
    const record = join(folder, `record${records++}`);
    await expect(
      results(ring(), "always", { fault, record, quiet: true }, kind === "timeout" ? 500 : 20_000),
    ).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(message),
    });
    if (fault.startsWith("ncclCommInit")) return;
    const aborted = () => expect(readFileSync(record, "utf8")).toMatch(/ncclCommAbort on=world rank=0/);
    await vi.waitFor(aborted, 10_000);
  });
});
