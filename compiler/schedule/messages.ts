/**
 * Small transfers become one message: those that are begun side by side, on one stream and route, and waited for side by side.
 *
 *   send k                        send k ┐
 *   send v                   →    send v ┘ one message
 *   launch use (…)                launch use (…)
 *   wait k                        wait k
 *   wait v                        wait v
 *
 * That saves what each further message costs on its port. Where the transport has to lay the arrays side by side for it, and
 * apart again, it costs two passes over them; so it is done only where it saves more than those.
 */
import { launchSeconds, linkOf, type Machine } from "../base/machine.ts";
import { placesInNode } from "../core/cost.ts";
import type { Decision, Loop, Mesh, Schedule, Step, Transfer } from "./schedule.ts";

/** The schedule with messages joined where that pays on `machine`, and what was chosen. */
export function joinMessages(s: Schedule, machine: Machine): { schedule: Schedule; made: readonly Decision[] } {
  const made: Decision[] = [];
  const messages = new Map<number, number>();
  join(s.mesh, s.steps, machine, 1, messages, made);
  if (made.length === 0) return { schedule: s, made };
  return { schedule: { ...s, steps: marked(s.steps, messages) }, made };
}

/** Finds the message of each token, by the lowest token in it. `times`: how often a body runs. */
function join(
  mesh: Mesh,
  steps: readonly Step[],
  machine: Machine,
  times: number,
  messages: Map<number, number>,
  made: Decision[],
  loop?: Loop,
): void {
  for (const run of sideBySide(steps)) {
    const [first] = run as [Transfer];
    const bytes = run.reduce((sum, send) => sum + send.bytes, 0);
    const often = loop && first.when !== undefined ? (times * (loop.count - 1)) / loop.count : times;
    const saved = (run.length - 1) * messageSeconds(mesh, first, machine) - 2 * passSeconds(machine, bytes);
    if (saved <= 0) continue;
    const message = Math.min(...run.map((send) => send.token));
    for (const { token } of run) messages.set(token, message);
    const others = run.slice(1).map((send) => send.label);
    made.push({ about: first.label, what: `in one message with ${others.join(", ")}`, saves: saved * often });
  }
  for (const step of steps)
    if (step.kind === "loop") join(mesh, step.body, machine, times * step.count, messages, made, step);
}

/** Runs of two sends or more, with nothing but transfers between them, whose waits follow each other too. */
function sideBySide(steps: readonly Step[]): readonly (readonly Transfer[])[] {
  const waits = new Map<number, number>();
  let group = 0;
  for (const step of steps)
    if (step.kind === "wait") waits.set(step.token, group);
    else group++;
  const runs: Transfer[][] = [];
  let open = new Map<string, Transfer[]>();
  for (const step of steps) {
    if (step.kind === "receive") continue;
    if (step.kind !== "send") {
      open = new Map();
      continue;
    }
    const key = `${wayOf(step)} ${waits.get(step.token)}`;
    const known = open.get(key);
    if (known) known.push(step);
    else {
      const run = [step];
      open.set(key, run);
      runs.push(run);
    }
  }
  return runs.filter((run) => run.length > 1);
}

/** What the transfers of one message have in common. */
export const wayOf = ({ stream, axes, route, when }: Transfer): string => JSON.stringify([stream, axes, route, when]);

function messageSeconds(mesh: Mesh, { axes }: Transfer, machine: Machine): number {
  const ring = axes.reduce((n, name) => n * mesh.axes.find((a) => a.name === name)!.size, 1);
  return linkOf(machine, placesInNode(machine, mesh, axes) % ring === 0).message;
}
const passSeconds = (machine: Machine, bytes: number): number => launchSeconds({ ...machine, launch: 0 }, 0, 2 * bytes);

const marked = (steps: readonly Step[], messages: ReadonlyMap<number, number>): readonly Step[] =>
  steps.map((step) => {
    if (step.kind === "loop") return { ...step, body: marked(step.body, messages) };
    const message = step.kind === "send" || step.kind === "receive" ? messages.get(step.token) : undefined;
    return message === undefined ? step : { ...step, message };
  });
