/**
 * A parent for each process that a launcher starts beside others. Launchers end all as soon as they see one die, often before
 * another could say who that was, at what, and where all were; or they wait for ever for one that stands still. So what they
 * see is a parent, and the command runs in its child:
 *
 *     the child ends in order   the parent ends at once with its code; threads inside of MPI may hold the child up
 *     it is told to end         so is the child, which says it; where that had not begun, rank 0's parent does
 *     it dies                   the parent lives on until the others have said so, and dies too; before they know each other,
 *                               it says so itself where its launcher leaves nobody the time for it
 *     it stands still           the others give it up; the parent has it go on (SIGCONT), to find that, and end
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { endsAll, type Launch, launchOf } from "../runtime/transport/launcher.ts";
import type { ExitCode } from "./exit.ts";

/** How long the others have to say it. Where they have, their launcher ends this process sooner. */
const LAST_WORDS_MS = 5_000;
/** How long a child has to end when it has said that it does. */
const ENDING_MS = 300;
/** How long it has when it is told to end. */
const ORDERLY_MS = 5_000;
const BEAT_MS = 500;
const CHILD_OF = "GYRE_CHILD_OF";
/** By what a process is told to end: Ctrl-C, a launcher, a terminal that is closed. */
export const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** From child to parent. `limitMs`: for how long the others bear silence. */
type Message =
  | { readonly kind: "begins"; readonly limitMs: number }
  | { readonly kind: "beat" | "joined" }
  | { readonly kind: "ends"; readonly code: ExitCode };

/** Where a launcher started this process: runs the same command in a child, and gives its exit code; else undefined. */
export async function runGuarded(env: NodeJS.ProcessEnv): Promise<number | undefined> {
  if (Number(env[CHILD_OF]) === process.ppid) {
    // Nobody stays behind.
    process.on("disconnect", () => process.exit(3));
    process.channel?.unref();
    return undefined;
  }
  const launch = launchIn(env);
  if (!launch) return undefined;
  const { rank } = launch;
  const child = start(env);
  const endIn = (ms: number): void => void setTimeout(() => child.kill("SIGKILL"), ms);
  let joined = false;
  let toldCode: number | undefined;
  let limitMs = 30_000;
  /** Beats of our own since the child's last one: when all stand still, nobody is late. */
  let silent = 0;
  let ordered: NodeJS.Signals | undefined;
  let hurry = (): void => {};
  child.on("message", (message: Message) => {
    silent = 0;
    if (message.kind === "begins") limitMs = message.limitMs;
    else if (message.kind === "joined") joined = true;
    else if (message.kind === "ends") {
      toldCode = message.code;
      endIn(ENDING_MS);
    }
  });
  for (const signal of ENDING)
    process.on(signal, () => {
      ordered = signal;
      child.kill(signal);
      child.kill("SIGCONT");
      endIn(ORDERLY_MS);
      hurry();
    });
  setInterval(() => {
    if (++silent * BEAT_MS > limitMs + 4 * BEAT_MS) child.kill("SIGCONT");
  }, BEAT_MS).unref();

  const end = await new Promise<number | NodeJS.Signals>((resolve) => {
    child.on("error", ({ message }) => {
      say(`error: rank ${rank}: ${message}`);
      resolve(3);
    });
    child.on("exit", (code, signal) => resolve(toldCode ?? code ?? signal!));
  });
  if (typeof end === "number") return end;
  if (ordered !== undefined) {
    // MPI's launchers say themselves why they end processes.
    if (rank === 0 && (ordered === "SIGINT" || launch.mpi.length === 0))
      say(`error: rank 0 was interrupted (${ordered})`);
    return 3;
  }
  if (joined)
    await new Promise<void>((resolve) => {
      hurry = resolve;
      setTimeout(resolve, LAST_WORDS_MS);
    });
  else if (endsAll(launch, env))
    say(`error: rank ${rank} is gone: its process was ended by ${end} before all had come`);
  // As it died, so that its launcher ends the others.
  process.kill(process.pid, "SIGKILL");
  return 3;
}

const say = (line: string): void => void writeSync(2, `${line}\n`);

/** Tells the parent, if there is one. */
export const tellParent = (message: Message): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });

/** Tells it from now on that this process is alive. */
export function beatForParent(limitMs: number): void {
  void tellParent({ kind: "begins", limitMs });
  if (process.connected) setInterval(() => void tellParent({ kind: "beat" }), BEAT_MS).unref();
}

/** Undefined where nobody started this process beside others. What is wrong with the environment, the command tells. */
function launchIn(env: NodeJS.ProcessEnv): Launch | undefined {
  try {
    return launchOf(env);
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
