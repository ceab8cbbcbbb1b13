/** Runs a command in several processes, by a launcher or by hand. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
export const root = here("../../");
export const gyre = here("../../dist/gyre.js");
const die = here("./die.mjs");

/** As Debian names them: both may be installed. */
export const launchers = ["mpirun.openmpi", "mpirun.mpich"] as const;
export type Launcher = (typeof launchers)[number];
export const has = (name: Launcher): boolean => spawnSync(name, ["--version"]).status === 0;

const FLAGS: { readonly [L in Launcher]: readonly string[] } = {
  "mpirun.openmpi": ["--oversubscribe", "--mca", "orte_base_help_aggregate", "0"],
  "mpirun.mpich": [],
};
const env = {
  ...process.env,
  NO_COLOR: "1",
  OMPI_ALLOW_RUN_AS_ROOT: "1",
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
};

export type Ended = {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly seconds: number;
};

/** Resolves when the process has ended; after `limit` seconds it is killed, which is a failure. */
export function ended(child: ChildProcess, limit = 100): Promise<Ended> {
  const began = performance.now();
  let out = "";
  let err = "";
  child.stdout?.on("data", (text) => (out += text));
  child.stderr?.on("data", (text) => (err += text));
  const timer = setTimeout(() => {
    err += `\nkilled by the test after ${limit} s`;
    child.kill("SIGKILL");
  }, 1000 * limit);
  return new Promise((resolve) => {
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, out, err, seconds: (performance.now() - began) / 1000 });
    });
  });
}

/** `node ARGS` in `n` processes of a launcher. */
export const launch = (
  launcher: Launcher,
  n: number,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
): ChildProcess =>
  spawn(launcher, [...FLAGS[launcher], "-np", `${n}`, "node", ...args], { cwd: root, env: { ...env, ...more } });

/** Different commands in one launch, one process each. */
export const launchEach = (launcher: Launcher, commands: readonly (readonly string[])[]): ChildProcess => {
  const parts = commands.flatMap((args, i) => [...(i > 0 ? [":"] : []), "-np", "1", "node", ...args]);
  return spawn(launcher, [...FLAGS[launcher], ...parts], { cwd: root, env });
};

let port = 21_000 + (process.pid % 8_000);
/** The environments of `n` processes that torchrun would have started. */
export function byHand(n: number): readonly NodeJS.ProcessEnv[] {
  port += 8;
  return Array.from({ length: n }, (_, rank) => ({
    ...env,
    RANK: `${rank}`,
    LOCAL_RANK: `${rank}`,
    WORLD_SIZE: `${n}`,
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: `${port}`,
  }));
}

/** What a process does to itself, and when: see die.mjs. */
export type Fate = { readonly rank: number; readonly signal?: "SIGKILL" | "SIGSTOP"; readonly at: string };
export const fateful = ({ rank, signal, at }: Fate): NodeJS.ProcessEnv => ({
  NODE_OPTIONS: `--import ${die}`,
  DIE_RANK: `${rank}`,
  ...(signal === undefined ? {} : { DIE_SIGNAL: signal }),
  DIE_AT: at,
});

/** `gyre ARGS` in one process: fails where it does. */
export function alone(args: readonly string[], more: NodeJS.ProcessEnv = {}): void {
  const { status, stderr } = spawnSync("node", [gyre, ...args], {
    cwd: root,
    env: { ...env, ...more },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
}
