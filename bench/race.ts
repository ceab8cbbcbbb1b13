/**
 * One workload, all contenders: each is prepared in a process of its own and its first results are held against the
 * oracle; those that are right then run in turns, round by round, so that what else the machine does meets all of them.
 * A process that crashes, or does not answer in time, is out, and nobody else notices.
 */
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { Contender } from "./contenders/contender.ts";
import { inputsOf } from "./inputs.ts";
import { median } from "./machine.ts";
import type { Answer, Request, Spent } from "./protocol.ts";
import { relativeError } from "./workloads/float64.ts";
import type { Values, Workload } from "./workloads/workload.ts";

export type Outcome =
  /** Milliseconds of one run, by the clock that was asked for: the median, and how many samples it is of. */
  | {
      readonly is: "measured";
      readonly ms: number;
      readonly samples: number;
      readonly error: number;
      readonly preparedMs: number;
    }
  /** The results are not those of the workload: how fast it is says nothing. */
  | { readonly is: "wrong"; readonly error: number }
  | { readonly is: "not offered" }
  /** Neither tried nor measured: it is known that it would take too long. */
  | { readonly is: "too slow"; readonly why: string }
  | { readonly is: "failed"; readonly why: string };

/** By workload, then by contender. */
export type Results = ReadonlyMap<string, ReadonlyMap<string, Outcome>>;

export type Limits = {
  /** Samples of each contender: at most these, and fewer for those that take long. */
  readonly rounds: number;
  /** How long all samples of one contender may take together, in milliseconds; it has two at least. */
  readonly budgetMs: number;
  /** How long getting ready, and one run, may take. */
  readonly prepareMs: number;
  readonly runMs: number;
  /** Who would take longer for a run, by what it took before, is not tried. */
  readonly patienceMs: number;
  readonly clock: Clock;
};

/**
 * `wall`, or what processors did for the contender: near enough what it would take on a machine that does nothing else,
 * where this one is busy. On WebGPU that is divided by the number of processors, which kernels fill. Contenders with two
 * threads are timed by the wall in either case: theirs spin while they wait for each other, and would count as working.
 */
export type Clock = keyof Spent;

/** Errors above this are wrong results, not rounding: that of f32 is around 1e-6. */
const TOLERANCE = 1e-4;
/** Runs shorter than this are sampled several at a time. */
const SHORT_MS = 20;

type Running = {
  readonly contender: Contender;
  readonly child: ChildProcess;
  readonly error: number;
  readonly preparedMs: number;
  readonly samples: Spent[];
  times: number;
  failed?: string;
};

export async function race(
  workload: Workload,
  contenders: readonly Contender[],
  limits: Limits,
  progress: (line: string) => void,
): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const expected = workload.expected(inputsOf(workload));
  const running: Running[] = [];
  try {
    for (const contender of contenders) {
      progress(`${workload.name}: ${contender.name} gets ready`);
      const ready = await start(contender, workload, expected, limits);
      if ("is" in ready) outcomes.set(contender.name, ready);
      else {
        rest(ready.child);
        running.push(ready);
      }
    }
    for (let round = 0; round < limits.rounds; round++) {
      progress(`${workload.name}: round ${round + 1} of ${limits.rounds}`);
      for (const one of running) if (wantsMore(one, limits)) await sample(one, limits);
    }
    for (const { contender, samples, failed, error, preparedMs } of running) {
      outcomes.set(
        contender.name,
        failed === undefined
          ? {
              is: "measured",
              ms: medianOf(samples, contender, limits.clock),
              samples: samples.length,
              error,
              preparedMs,
            }
          : { is: "failed", why: failed },
      );
    }
    return outcomes;
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
  }
}

function wantsMore({ samples, times, failed }: Running, { budgetMs }: Limits): boolean {
  if (failed !== undefined) return false;
  return samples.length < 2 || samples.reduce((sum, { wall }) => sum + wall * times, 0) < budgetMs;
}

async function start(
  contender: Contender,
  workload: Workload,
  expected: Values,
  limits: Limits,
): Promise<Running | Outcome> {
  const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), [contender.name, workload.name], {
    execArgv: ["--import", "tsx"],
    env: environment(contender),
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const answer = await ask(child, { ask: "prepare" }, limits.prepareMs);
  if (answer.answer !== "ready") child.kill("SIGKILL");
  switch (answer.answer) {
    case "ready": {
      const error = Math.max(...expected.map((wanted, i) => relativeError(answer.values[i]!, wanted)));
      const running = { contender, child, error, preparedMs: answer.ms, samples: [], times: 1 };
      if (error <= TOLERANCE) return running;
      child.kill("SIGKILL");
      return { is: "wrong", error };
    }
    case "not offered":
      return { is: "not offered" };
    case "failed":
      return { is: "failed", why: answer.why };
    case "ran":
      return { is: "failed", why: "it answered what it was not asked" };
  }
}

async function sample(one: Running, { runMs }: Limits): Promise<void> {
  wake(one.child);
  const answer = await ask(one.child, { ask: "run", times: one.times }, runMs);
  rest(one.child);
  if (answer.answer !== "ran") {
    one.failed = answer.answer === "failed" ? answer.why : "it answered what it was not asked";
    return;
  }
  const first = one.samples.length === 0 && one.times === 1;
  const { wall } = answer.spent;
  if (first && wall < SHORT_MS / 2) one.times = Math.min(1000, Math.ceil(SHORT_MS / Math.max(wall, 0.01)));
  else one.samples.push(answer.spent);
}

/** Who is not at turn stands still: threads that wait for work by spinning would slow down the others. */
const rest = (child: ChildProcess): void => void (canStand && child.kill("SIGSTOP"));
const wake = (child: ChildProcess): void => void (canStand && child.kill("SIGCONT"));
const canStand = process.platform !== "win32";

function medianOf(samples: readonly Spent[], { group }: Contender, clock: Clock): number {
  if (clock === "wall" || group === "2 threads") return median(samples.map(({ wall }) => wall));
  const processors = group === "webgpu" ? availableParallelism() : 1;
  return median(samples.map(({ processor }) => processor / processors));
}

/** The contender's variables, over those of this process. */
function environment({ env = {} }: Contender): NodeJS.ProcessEnv {
  const all: NodeJS.ProcessEnv = { ...process.env, ...env };
  for (const [name, value] of Object.entries(env)) if (value === undefined) delete all[name];
  return all;
}

/** One question, one answer; a process that dies or is silent for `ms` has failed. */
function ask(child: ChildProcess, request: Request, ms: number): Promise<Answer> {
  return new Promise((resolve) => {
    const end = (answer: Answer) => {
      clearTimeout(timer);
      child.off("message", end);
      child.off("exit", died);
      resolve(answer);
    };
    const died = (code: number | null, signal: string | null) =>
      end({ answer: "failed", why: `its process ended (${signal ?? `exit ${code}`})` });
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      end({ answer: "failed", why: `no answer within ${ms / 1000} s` });
    }, ms);
    child.on("message", end);
    child.on("exit", died);
    if (child.connected) child.send(request);
    else died(child.exitCode, child.signalCode);
  });
}
