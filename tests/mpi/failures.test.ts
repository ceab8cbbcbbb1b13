/** When a process dies, stops, or does something else: all end soon, one says why, and no half of a file is left. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { byHand, type Ended, ended, type Fate, fateful, gyre, launch, launchEach, launchers, root } from "./launch.ts";

const folder = mkdtempSync(join(tmpdir(), "gyre-mpi-"));
afterAll(() => rmSync(folder, { recursive: true }));
let runs = 0;

const ring = (out: string, more: readonly string[] = []): readonly string[] => [
  gyre,
  ..."run examples/05-ring-attention.gyre --mesh sp=4 --dims B=1,S=256,H=2,D=32".split(" "),
  ...["--backend", "cpu", "--out", out, ...more],
];
/** Long enough that something happens in between. */
const long = ["--repeat", "1000000"];
/** Seconds of silence that are waited for, where it is what ends a run; on a slow machine some are spent on compiling. */
const LIMIT = 6;
const short = ["--peer-timeout", `${LIMIT}`];
/** Of MPICH's launcher: of the processes, or of the signal with which it was quicker to end one than that was to end. */
const mpichCodes = [3, 9];
const leftIn = (out: string): readonly string[] => (existsSync(out) ? readdirSync(out) : []);

/** Three processes over sockets, of which one has a fate: how each of the others ended. */
async function without(fate: Fate, more: readonly string[] = []): Promise<{ others: readonly Ended[]; out: string }> {
  const out = join(folder, `${runs++}`);
  const children = byHand(3).map((env) =>
    spawn("node", ring(out, more), { cwd: root, env: { ...env, ...fateful(fate) } }),
  );
  const all = children.map((child) => ended(child));
  const others = await Promise.all(all.filter((_, rank) => rank !== fate.rank));
  children[fate.rank]!.kill("SIGTERM");
  return { others, out };
}

const phases: readonly (readonly [phase: string, at: string, more: readonly string[]])[] = [
  ["compiling", "compiling", []],
  ["at a transfer", "^wait for", long],
  ["mid-fold", "^out", long],
  ["output", "output", []],
];
test.each(phases)("killed: %s", async (_, at, more) => {
  const { others, out } = await without({ rank: 2, signal: "SIGKILL", at }, more);
  for (const { code } of others) expect(code).toBe(3);
  const said = others.map(({ err }) => err).join("");
  expect(said).toMatch(
    /^error: rank 2 is gone: its process ended at '.+'; the others were at: rank 0: .+, rank 1: .+\nhelp: .+\n$/,
  );
  expect(leftIn(out)).toEqual([]);
});

test("killed at the start: rank 0 says who did not come", async () => {
  const { others } = await without({ rank: 2, signal: "SIGKILL", at: "start" }, short);
  for (const { code } of others) expect(code).toBe(3);
  expect(others[0]!.err).toContain(`rank 2 did not come within ${LIMIT} s: 3 processes were announced to rank 0`);
});

test.each([
  ["mid-run", "^wait for", long],
  ["output", "output", []],
])("rank 0 killed: rank 1 says so: %s", async (_, at, more) => {
  const { others, out } = await without({ rank: 0, signal: "SIGKILL", at }, more);
  expect(others.map(({ code }) => code)).toEqual([3, 3]);
  expect(others[0]!.err).toMatch(
    /^error: rank 0 is gone: its process ended at '.+'; the others were at: rank 1: .+, rank 2/,
  );
  expect(others[1]!.err).toBe("");
  expect(leftIn(out)).toEqual([]);
});

test.each([
  ["mid-run", "^wait for", [...short, ...long]],
  ["output", "output", short],
])("stopped: %s", async (_, at, more) => {
  const { others, out } = await without({ rank: 1, signal: "SIGSTOP", at }, more);
  const said = others.map(({ err }) => err).join("");
  for (const { code } of others) expect(code, said).toBe(3);
  expect(said).toMatch(
    /^error: rank 1 has not answered for 6 s: it was last at '.+'; the others were at: rank 0: .+, rank 2: .+\n/,
  );
  expect(leftIn(out)).toEqual([]);
});

const said = "at '.+'; the others were at: rank 0: .+, rank 1: .+, rank 3: .+";
const fates = [
  ["SIGKILL", "start", [], "rank 2 is gone: its process was ended by SIGKILL before all had come"],
  ["SIGKILL", "^wait for", long, `rank 2 is gone: its process ended ${said}`],
  ["SIGSTOP", "^wait for", [...short, ...long], `rank 2 has not answered for ${LIMIT} s: it was last ${said}`],
] as const;
test.each(launchers.flatMap((launcher) => fates.map((fate) => [launcher, ...fate] as const)))(
  "under %s: a process that gets a %s at %s ends all, and one says why",
  async (launcher, signal, at, more, says) => {
    const out = join(folder, `${runs++}`);
    const { code, err } = await ended(launch(launcher, 4, ring(out, more), fateful({ rank: 2, signal, at })));
    expect(code).not.toBe(0);
    const errors = err.match(/^error: .*$/gm);
    expect(errors, err).toHaveLength(1);
    expect(errors![0]).toMatch(new RegExp(`^error: ${says}$`));
    expect(leftIn(out)).toEqual([]);
  },
);

test("other sizes on one rank: nobody starts, and the difference is told once", async () => {
  const out = join(folder, "sizes");
  const other = ring(out).map((arg) => arg.replace("S=256", "S=512"));
  const { code, err } = await ended(launchEach("mpirun.openmpi", [ring(out), other]));
  expect(code).toBe(3);
  expect(err.match(/error: .*/g)).toEqual([
    "error: the processes do not run the same command: rank 1 has dims B=1,D=32,H=2,S=512, and rank 0 has B=1,D=32,H=2,S=256",
  ]);
  expect(leftIn(out)).toEqual([]);
});

test("an error in the program is told once, and all end with its exit code", async () => {
  const uneven = ring(folder).map((arg) => arg.replace("S=256", "S=255"));
  const { code, err } = await ended(launch("mpirun.openmpi", 4, uneven));
  expect(code, err).toBe(1);
  expect(err.match(/\berror\b.*|was interrupted/g)).toHaveLength(1);
});

test("another program on one rank", async () => {
  const out = join(folder, "program");
  const other = ring(out).map((arg) => arg.replace("05-ring-attention", "06-own-mask-zigzag"));
  const { code, err } = await ended(launchEach("mpirun.mpich", [ring(out), other]));
  expect(mpichCodes).toContain(code);
  expect(err).toMatch(
    /error: the processes do not run the same command: rank 1 has program with the checksum \w+, and rank 0/,
  );
});

test("the library of another MPI than the launcher's", async () => {
  const { code, err } = await ended(launch("mpirun.mpich", 2, ring(folder, ["--mpi-library", "libmpi.so.40"])));
  expect(mpichCodes).toContain(code);
  // On a slow machine rank 0 may not have begun when the other has given up its turn.
  expect(err).toMatch(/says that this is rank 0 of 1, and MPICH's launcher says rank [01] of 2/);
});

test("one process that cannot write its part: it says why, with its rank, and nothing is left", async () => {
  const out = join(folder, "full");
  const children = byHand(3).map((env) =>
    spawn("node", ring(out), { cwd: root, env: { ...env, ...fateful({ rank: 2, signal: "SIGKILL", at: "full" }) } }),
  );
  const all = await Promise.all(children.map((child) => ended(child)));
  const said = all.map(({ err }) => err).join("");
  for (const { code } of all) expect(code, said).toBe(3);
  expect(said).toMatch(
    /^error: rank 2: cannot write .*result\.npy: the file would be larger than is allowed\nhelp: .+\n$/,
  );
  expect(leftIn(out)).toEqual([]);
});

/** A disk of 32 KiB, where this user may mount one. */
const disk = join(folder, "disk");
mkdirSync(disk);
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", disk]).status === 0;
if (mounted) afterAll(() => void spawnSync("umount", [disk]));
else console.log("skipped: a disk that is full (this user may not mount one)");

test.skipIf(!mounted)(
  "a disk that is full, for one process and for three: one says so, and nothing is left",
  async () => {
    const one = spawn("node", ring(disk), { cwd: root, env: { ...process.env, NO_COLOR: "1" } });
    const three = () => byHand(3).map((env) => spawn("node", ring(disk), { cwd: root, env }));
    for (const children of [[one], three()]) {
      const all = await Promise.all(children.map((child) => ended(child)));
      const said = all.map(({ err }) => err).join("");
      for (const { code } of all) expect(code, said).toBe(3);
      expect(said).toMatch(/^error: (rank \d: )?cannot write .*disk.result\.npy: the disk is full\nhelp: .+\n$/);
      expect(leftIn(disk)).toEqual([]);
    }
  },
);

test("more processes than devices", async () => {
  const few = ring(folder).map((arg) => arg.replace("sp=4", "sp=2"));
  const { code, err } = await ended(launch("mpirun.openmpi", 3, few));
  expect(code).toBe(1);
  expect(err).toContain("3 processes were started for a mesh of 2 devices");
});

test.each([
  ["SIGINT", 0, "start", "( while it waited for the other processes)?"],
  ["SIGINT", 2, "^wait for", ""],
  ["SIGHUP", 2, "^wait for", ""],
] as const)("a %s when rank %i is at %s ends all processes, and one says so", async (signal, rank, at, more) => {
  const out = join(folder, `${runs++}`);
  const children = byHand(3).map((env) =>
    spawn("node", ring(out, long), { cwd: root, env: { ...env, ...fateful({ rank, at }) } }),
  );
  const all = children.map((child) => ended(child));
  await once(children[rank]!.stdout, "data");
  for (const child of children) child.kill(signal);
  const results = await Promise.all(all);
  const said = results.map(({ err }) => err).join("");
  expect(results[rank]!.code, said).toBe(3);
  expect(said).toMatch(new RegExp(`^error: rank \\d was interrupted \\(${signal}\\)${more}\\n$`));
  expect(leftIn(out)).toEqual([]);
});
