/**
 * A parent for each process that an MPI launcher starts. Such launchers end all processes as soon as they see one die, often
 * before another could say who that was, at what, and where all were. So what they see is a parent: it lives on a little when
 * its child dies, and then dies in the same way. A child that ends in order tells its exit code, and is not waited for long:
 * threads that are inside of MPI may hold it up for ever. Until the processes know each other, it is the parent that says who died.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { launchOf } from "../runtime/transport/launcher.ts";
import type { ExitCode } from "./exit.ts";

/** How long the others have to say it. Where they have, their launcher ends this process sooner. */
const LAST_WORDS_MS = 5_000;
/** How long a child has to end when it has said that it does. */
const ENDING_MS = 300;
/** How long it has when it is told to end: launchers wait a second before they force it. */
const ORDERLY_MS = 800;
const CHILD_OF = "GYRE_CHILD_OF";
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** From child to parent: the processes know each other; it ends, with this code. */
type Message = { readonly joined: true } | { readonly code: ExitCode };

/** Where an MPI launcher started this process: runs the same command in a child, and gives its exit code; else undefined. */
export async function runGuarded(env: NodeJS.ProcessEnv): Promise<number | undefined> {
  if (Number(env[CHILD_OF]) === process.ppid) {
    // Nobody stays behind.
    process.on("disconnect", () => process.exit(3));
    process.channel?.unref();
    return undefined;
  }
  const rank = rankOf(env);
  if (rank === undefined) return undefined;
  const child = start(env);
  const kill = (): void => void child.kill("SIGKILL");
  let joined = false;
  let told: number | undefined;
  child.on("message", (message: Message) => {
    if ("joined" in message) joined = true;
    else {
      told = message.code;
      setTimeout(kill, ENDING_MS);
    }
  });
  let hurry: (() => void) | undefined;
  let ordered = false;
  for (const signal of FORWARDED)
    process.on(signal, () => {
      ordered = true;
      child.kill(signal);
      setTimeout(kill, ORDERLY_MS);
      hurry?.();
    });
  const code = await new Promise<number | NodeJS.Signals>((resolve) => {
    child.on("error", ({ message }) => {
      writeSync(2, `error: rank ${rank}: ${message}\n`);
      resolve(3);
    });
    child.on("exit", (number, signal) => resolve(told ?? number ?? signal!));
  });
  if (typeof code === "number") return code;
  if (ordered) return 3;
  if (joined)
    await new Promise<void>((resolve) => {
      hurry = resolve;
      setTimeout(resolve, LAST_WORDS_MS);
    });
  else writeSync(2, `error: rank ${rank} is gone: its process was ended by ${code} before all had come\n`);
  process.kill(process.pid, "SIGKILL");
  return 3;
}

/** Tells the parent, if there is one. */
export const tellParent = (message: Message): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });

/** Undefined where no MPI launcher started this process beside others. What else the environment says, the command tells. */
function rankOf(env: NodeJS.ProcessEnv): number | undefined {
  try {
    const launch = launchOf(env);
    return launch && launch.mpi.length > 0 ? launch.rank : undefined;
  } catch {
    return undefined;
  }
}

/** The same command, with the socket on which a launcher speaks with its processes (PMI), where there is one. */
function start(env: NodeJS.ProcessEnv): ChildProcess {
  const pmi = env.PMI_FD === undefined ? [] : [Number(env.PMI_FD)];
  return spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "inherit", "ipc", ...pmi],
    env: { ...env, [CHILD_OF]: `${process.pid}`, ...(pmi.length > 0 ? { PMI_FD: "4" } : {}) },
  });
}
