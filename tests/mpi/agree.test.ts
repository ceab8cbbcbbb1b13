/** Several processes compute what one does, to the bit: examples, golden cases, derivatives, decoding and training. */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { alone, byHand, ended, gyre, type Launcher, launch, launchers, root } from "./launch.ts";

const folder = mkdtempSync(join(tmpdir(), "gyre-mpi-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Commands by what they are. The golden case has gradients. */
const commands: Readonly<Record<string, string>> = {
  ring: "run examples/05-ring-attention.gyre --mesh sp=8 --dims B=1,S=256,H=2,D=32",
  golden: "run tests/golden/golden.gyre --entry plain --mesh sp=8 --in tests/golden/data/causal.npz --dims C=1,I=8,J=8",
  gradient: "run examples/07-gradients.gyre --mesh dp=8",
  decoding: "run examples/10-decoding.gyre --mesh sp=8 --dims B=1,K=64,G=2,R=2,D=16,N=8",
  training: "run examples/09-language-model.gyre --in text=examples/data/alice.txt --dims STEPS=4",
};

type Files = Readonly<Record<string, Buffer>>;
const filesOf = (out: string): Files =>
  Object.fromEntries(readdirSync(out).map((name) => [name, readFileSync(join(out, name))]));

const once = new Map<string, Files>();
function byOne(name: string): Files {
  const known = once.get(name);
  if (known) return known;
  const out = join(folder, `${name}-1`);
  alone([...commands[name]!.split(" "), "--out", out]);
  const files = filesOf(out);
  once.set(name, files);
  return files;
}
const same = (a: Files, b: Files): boolean =>
  Object.keys(a).join() === Object.keys(b).join() && Object.entries(a).every(([name, bytes]) => bytes.equals(b[name]!));

const cases: readonly (readonly [launcher: Launcher, processes: number, names: readonly string[]])[] = [
  ["mpirun.openmpi", 2, ["ring", "golden"]],
  ["mpirun.openmpi", 4, ["gradient", "decoding", "training"]],
  ["mpirun.openmpi", 8, ["ring"]],
  ["mpirun.mpich", 2, ["training"]],
  ["mpirun.mpich", 4, ["golden", "decoding"]],
  ["mpirun.mpich", 8, ["gradient"]],
];
test.each(cases.flatMap(([launcher, n, names]) => names.map((name) => [launcher, n, name] as const)))(
  "%s, %i processes: %s",
  async (launcher, n, name) => {
    const expected = byOne(name);
    const out = join(folder, `${name}-${launcher}-${n}`);
    const { code, err } = await ended(launch(launcher, n, [gyre, ...commands[name]!.split(" "), "--out", out]));
    expect(code, err).toBe(0);
    expect(same(filesOf(out), expected)).toBe(true);
  },
);

test("sockets, 3 processes that nobody launched: ring", async () => {
  const out = join(folder, "ring-tcp");
  const all = byHand(3).map((env) =>
    ended(
      spawn("node", [gyre, ...commands.ring!.split(" "), "--out", out], {
        env,
        cwd: root,
      }),
    ),
  );
  for (const { code, err } of await Promise.all(all)) expect(code, err).toBe(0);
  expect(same(filesOf(out), byOne("ring"))).toBe(true);
});

test("rank 0 verifies what all computed", async () => {
  const args = [...commands.golden!.split(" "), "--verify"];
  const { code, out, err } = await ended(launch("mpirun.openmpi", 4, [gyre, ...args]));
  expect(code, err).toBe(0);
  expect(out.match(/verified result\.\w+/g)).toEqual(
    ["out", "dq", "dk", "dv"].map((name) => `verified result.${name}`),
  );
});

test("what was written on one mesh is read on another: a checkpoint", async () => {
  const ring = (sp: number) =>
    `run examples/05-ring-attention.gyre --mesh sp=${sp} --dims B=1,S=256,H=2,D=32`.split(" ");
  const [first, again, one] = ["written", "read", "one"].map((name) => join(folder, name)) as [string, string, string];
  expect((await ended(launch("mpirun.openmpi", 4, [gyre, ...ring(4), "--out", first]))).code).toBe(0);
  const from = ["--in", `q=${join(first, "result.npy")}`];
  expect((await ended(launch("mpirun.openmpi", 2, [gyre, ...ring(2), ...from, "--out", again]))).code).toBe(0);
  alone([...ring(2), ...from, "--out", one]);
  expect(same(filesOf(again), filesOf(one))).toBe(true);
});

test("one trace of all processes, on one clock", async () => {
  const file = join(folder, "trace.json");
  const args = [...commands.ring!.split(" "), "--trace", file];
  expect((await ended(launch("mpirun.openmpi", 2, [gyre, ...args]))).code).toBe(0);
  const { traceEvents } = JSON.parse(readFileSync(file, "utf8")) as {
    traceEvents: {
      ph: string;
      name: string;
      pid: number;
      ts: number;
      dur: number;
      args: { name?: string; to?: string; from?: string };
    }[];
  };
  const devices = traceEvents.filter((e) => e.name === "process_name").map((e) => e.args.name);
  expect(devices).toHaveLength(8);
  // Bytes arrive in one process after they were sent in the other, as far as clocks can be compared.
  const pid = (name: string) => traceEvents.find((e) => e.name === "process_name" && e.args.name === name)!.pid;
  const [from, to] = [devices.find((d) => d!.endsWith(":3"))!, devices.find((d) => d!.endsWith(":4"))!];
  const sent = traceEvents.filter((e) => e.pid === pid(from) && e.args.to === to);
  const got = traceEvents.filter((e) => e.pid === pid(to) && e.args.from === from);
  expect(sent.length).toBeGreaterThan(0);
  expect(got).toHaveLength(sent.length);
  for (const [i, e] of got.entries()) expect(e.ts + e.dur).toBeGreaterThan(sent[i]!.ts - 200_000);
});

test.each(launchers)("%s: every operation of the transport", async (launcher) => {
  const { code, out, err } = await ended(launch(launcher, 4, ["--import", "tsx", "tests/mpi/rank.ts"]));
  expect(code, err).toBe(0);
  expect(out).toMatch(/rank 0, rank 1, rank 2, rank 3 agree on (Open MPI|MPICH)/);
});

test("the devices of all processes: once for those who find the same", async () => {
  const { code, out, err } = await ended(launch("mpirun.openmpi", 3, [gyre, "devices", "--json"]));
  expect(code, err).toBe(0);
  const host = hostname();
  expect(JSON.parse(out)).toMatchObject([{ ranks: [0, 1, 2], hosts: [host, host, host] }]);
  const [first, second] = byHand(2);
  const others = [first, { ...second, GYRE_NCCL: "/nowhere/libnccl.so.2" }].map((env) =>
    ended(spawn("node", [gyre, "devices"], { env, cwd: root })),
  );
  const [zero, one] = await Promise.all(others);
  expect(zero!.out.match(/^ranks? .*/gm)).toEqual([`rank 0 on ${host}`, `rank 1 on ${host}`]);
  expect(zero!.out).toContain("/nowhere/libnccl.so.2");
  expect(one!.out).toBe("");
});
