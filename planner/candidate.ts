/** Candidate: one way to run a program. Outcome: what it takes on a machine, or why it cannot be used. */
import type { Layout } from "../compiler/base/dim.ts";
import type { Machine } from "../compiler/base/machine.ts";
import type { Choices, Exchangeable } from "../compiler/core/elaborate/choices.ts";
import type { Policy } from "../compiler/core/ir.ts";
import type { Spread } from "../compiler/schedule/simulate.ts";

export type Candidate = {
  /** The size of every axis that the source declares. */
  readonly mesh: Readonly<Record<string, number>>;
  readonly splits: Readonly<Record<string, readonly number[]>>;
  readonly layouts: Readonly<Record<string, Layout>>;
  readonly exchanges: Readonly<Record<string, string>>;
  readonly policy?: Policy;
};

export type Runs = {
  readonly kind: "runs";
  readonly candidate: Candidate;
  readonly seconds: number;
  readonly busy: Spread;
  readonly exposed: Spread;
  readonly late: Spread;
  /** Bytes on each device. */
  readonly bytes: number;
};
export type Cannot = { readonly kind: "cannot"; readonly candidate: Candidate; readonly why: string };
export type Outcome = Runs | Cannot;

/** What is planned: an entry of a program, at sizes, on a machine. */
export type Question = {
  readonly path: string;
  readonly read: (path: string) => string | undefined;
  readonly entry?: string | undefined;
  readonly dims: Readonly<Record<string, number>>;
  /** How many devices there are. */
  readonly devices: number;
  /** Axes whose sizes are not for the planner to choose. */
  readonly mesh: Readonly<Record<string, number>>;
  /** Choices that are made already. */
  readonly fixed: Omit<Choices, "exchangeable">;
  readonly exchangeable: readonly (readonly Exchangeable[])[];
  readonly machine: Machine;
  /** Bytes that a schedule may take on each device. */
  readonly memory: number;
};

/** The candidate as the elaborator takes it. */
export const choicesOf = (c: Candidate, q: Pick<Question, "exchangeable">): Choices => ({
  splits: c.splits,
  layouts: c.layouts,
  exchanges: c.exchanges,
  exchangeable: q.exchangeable,
  ...(c.policy && { policy: c.policy }),
});

/** Equal for equal candidates. */
export function keyOf({ mesh, splits, layouts, exchanges, policy }: Candidate): string {
  const sorted = (o: object) => Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sorted(mesh), sorted(splits), sorted(layouts), sorted(exchanges), policy]);
}

/** Balance: the mean time in kernels, as a share of the most. */
export const balanceOf = ({ busy }: Runs): number => (busy.most > 0 ? busy.mean / busy.most : 1);

/** The best first. What takes as long to one part in a thousand is ordered by memory, then by how little is changed. */
export function ranked(all: readonly Runs[]): readonly Runs[] {
  const time = (o: Runs): number => Math.round(Math.log(o.seconds) * 1000);
  const changes = ({ candidate: c }: Runs): number =>
    [c.splits, c.layouts, c.exchanges].reduce((n, x) => n + Object.keys(x).length, c.policy ? 1 : 0);
  return [...all].sort(
    (a, b) => time(a) - time(b) || a.bytes - b.bytes || changes(a) - changes(b) || a.seconds - b.seconds,
  );
}
