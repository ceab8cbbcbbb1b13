/**
 * The roster: which processes are in a run, and whether they still are. It is a star of sockets round rank 0, beside
 * whatever carries the data, so that a process that dies or stops is noticed in every phase, and everyone is told the same.
 *
 *     member → rank 0    hello, beat (with what it does now), value of an exchange, failed, left
 *     rank 0 → member    welcome or refused, everyone (is there), beat (with what each does, for the heir), values of an exchange, broken
 *
 * Every process sends a beat now and then. A socket that closes is a process that is gone; `limitMs` without a beat, one
 * that has stopped. Rank 0 then tells everyone, in one sentence, who it was and what each did last. Where it is rank 0
 * itself, the others find out by themselves, and its heir has the sentence: the first rank on another host, since hosts
 * are lost as a whole too. Only one process prints it: for the others it is `told`.
 */
import type { Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { GyreRuntimeError } from "../errors.ts";
import type { Line } from "./line.ts";

export type Roster = {
  readonly rank: number;
  readonly size: number;
  /** This host's address, as it is on the way to rank 0: other processes reach this one there. */
  readonly host: string;
  /** Rank 0's address, as this process reaches it. */
  readonly master: string;
  /** The name of everyone's host, by rank. */
  readonly hostNames: readonly string[];
  /** Everyone's value, by rank, when all have called; in the same order everywhere. Values are JSON. */
  readonly exchange: <T>(value: T) => Promise<readonly T[]>;
  /** What this process does now, for messages. Steps may come often, and not all are told; `phase`: this one is, at once. */
  readonly at: (what: string, phase?: boolean) => void;
  /** Never resolves; rejects (`peer`, or `told` where another process says it) when somebody is gone. */
  readonly broken: Promise<never>;
  /** Tells the others that this process fails. Gives whether it is the one that prints why: the first that failed is. */
  readonly fail: () => Promise<boolean>;
  /** Microseconds to add to this process's clock to have rank 0's. */
  readonly clock: () => Promise<number>;
  /** Ends it, when all have called. */
  readonly leave: () => Promise<void>;
};

export type RosterOptions = {
  readonly rank: number;
  readonly size: number;
  /** Where rank 0 listens; its own, for rank 0. Others try each host until one answers. */
  readonly hosts: readonly string[];
  readonly port: number;
  /** Says that two processes belong to the same run. */
  readonly key: string;
  /** What this process's host calls itself. */
  readonly hostName: string;
  /** How long a process may be silent, and how long everyone is waited for at the start. */
  readonly limitMs: number;
};

/** Beats are not more frequent. */
const OFTEN_MS = 100;
/** That the run is broken, as process `rank` has it: `teller` prints it. */
export const broke = (message: string, teller: number, rank: number): GyreRuntimeError =>
  teller === rank
    ? new GyreRuntimeError("peer", message, "see what that process said; --peer-timeout says how long silence is borne")
    : new GyreRuntimeError("told", message, `rank ${teller} tells it`);

/** `lines`: of rank 0, those to all others by rank; of another, the one to rank 0. */
export function rosterOf(
  { rank, size, host, master, limitMs, hostNames }: RosterOptions & Pick<Roster, "host" | "master" | "hostNames">,
  lines: readonly (Line | undefined)[],
  server?: Server,
): Roster {
  const beatMs = Math.min(1000, limitMs / 8);
  const others = lines.flatMap((line, r) => (line ? [{ line, rank: server ? r : 0 }] : []));
  const doing = Array.from({ length: size }, () => "start");
  /** Beats of our own since each was heard: time in which this process itself stood still does not count. */
  const silent = new Map<number, number>();
  const left = new Set<number>();
  let ending = false;
  let error: GyreRuntimeError | undefined;
  let reject: (reason: unknown) => void = () => {};
  const broken = new Promise<never>((_, no) => {
    reject = no;
  });
  broken.catch(() => {});

  const elsewhere = hostNames.findIndex((name) => name !== hostNames[0]);
  const heir = elsewhere < 0 ? 1 : elsewhere;
  /** With its host, where there are several. */
  const named = (r: number): string => (elsewhere < 0 ? `rank ${r}` : `rank ${r} (${hostNames[r]})`);
  const lastOf = (except: number): string => {
    const others = Array.from({ length: size }, (_, r) => r).filter((r) => r !== except);
    const said = others.slice(0, MOST_NAMED).map((r) => `${named(r)}: ${doing[r]}`);
    return [...said, ...(others.length > MOST_NAMED ? ["…"] : [])].join(", ");
  };
  const lose = (who: number, how: string): void => {
    if (error || ending) return;
    void breakUp(`${named(who)} ${how} at '${doing[who]}'; the others were at: ${lastOf(who)}`, who === 0 ? heir : 0);
  };
  const told = (): string | undefined => error?.kind;
  const breakUp = async (message: string, teller: number): Promise<void> => {
    if (error || ending) return;
    error = broke(message, teller, rank);
    reject(error);
    for (const round of rounds.values()) round.reject(error);
    for (const { reject: no } of pings.values()) no(error);
    // Also to one that is given up because it stands still: should it go on, it knows.
    await Promise.all(others.map(({ line }) => line.say({ kind: "broken", message, teller })));
  };

  // Exchanges, by round: values arrive at rank 0, and go out together.
  type Round = {
    readonly values: Map<number, unknown>;
    done: (all: readonly unknown[]) => void;
    reject: (e: unknown) => void;
  };
  const rounds = new Map<number, Round & { readonly all: Promise<readonly unknown[]> }>();
  const roundOf = (n: number) => {
    const known = rounds.get(n);
    if (known) return known;
    let done: Round["done"] = () => {};
    let no: Round["reject"] = () => {};
    const all = new Promise<readonly unknown[]>((y, x) => {
      done = y;
      no = x;
    });
    all.catch(() => {});
    const made = { values: new Map<number, unknown>(), done, reject: no, all };
    rounds.set(n, made);
    return made;
  };
  const deposit = (n: number, from: number, value: unknown): void => {
    const round = roundOf(n);
    round.values.set(from, value);
    if (round.values.size < size) return;
    const values = Array.from({ length: size }, (_, r) => round.values.get(r));
    for (const { line } of others) void line.say({ kind: "values", round: n, values });
    round.done(values);
    rounds.delete(n);
  };

  const pings = new Map<
    number,
    { readonly resolve: (pong: { here: number }) => void; readonly reject: (e: unknown) => void }
  >();
  for (const { line, rank: from } of others) {
    silent.set(from, 0);
    line.hear((message) => {
      silent.set(from, 0);
      switch (message.kind) {
        case "beat":
          if (server) doing[from] = message.doing[0] ?? "";
          else for (const [r, what] of message.doing.entries()) if (r !== rank) doing[r] = what;
          return;
        case "value":
          return deposit(message.round, from, message.value);
        case "values":
          roundOf(message.round).done(message.values);
          rounds.delete(message.round);
          return;
        case "ping":
          return void line.say({ kind: "pong", sent: message.sent, here: performance.now() });
        case "pong":
          return pings.get(message.sent)?.resolve(message);
        case "failed":
          return void breakUp(`rank ${from} failed at '${doing[from]}'`, from);
        case "broken":
          return void breakUp(message.message, message.teller);
        case "left":
          left.add(from);
      }
    });
    line.closed = () => {
      if (!left.has(from)) lose(from, "is gone: its process ended");
    };
    if (line.socket.destroyed) line.closed();
  }
  let said = 0;
  const sayBeat = () => {
    said = performance.now();
    for (const { line, rank: to } of others)
      void line.say({ kind: "beat", doing: !server ? [doing[rank]!] : to === heir ? doing : [] });
  };
  const beat = setInterval(() => {
    sayBeat();
    for (const { rank: other } of others) {
      const missed = (silent.get(other) ?? 0) + 1;
      silent.set(other, missed);
      if (missed * beatMs > limitMs && !left.has(other))
        lose(other, `has not answered for ${limitMs / 1000} s: it was last`);
    }
  }, beatMs);
  beat.unref();

  let round = 0;
  const exchange = async <T>(value: T): Promise<readonly T[]> => {
    if (error) throw error;
    const n = round++;
    const { all } = roundOf(n);
    if (server) deposit(n, 0, value);
    else await others[0]!.line.say({ kind: "value", round: n, value });
    const values = await all;
    if (error) throw error;
    return values as readonly T[];
  };
  const close = () => {
    ending = true;
    clearInterval(beat);
    for (const { line } of others) line.socket.end();
    server?.close();
  };

  return {
    rank,
    size,
    host,
    master,
    hostNames,
    broken,
    exchange,
    at: (what, phase) => {
      doing[rank] = what;
      if (!ending && (phase || performance.now() - said > OFTEN_MS)) sayBeat();
    },
    async fail() {
      if (error || ending) return error?.kind !== "told";
      const flushed = server
        ? breakUp(`rank ${rank} failed at '${doing[rank]}'`, 0)
        : others[0]!.line.say({ kind: "failed" }).then(() => broken.catch(() => {}));
      await Promise.race([flushed, sleep(1000)]);
      return error === undefined || told() !== "told";
    },
    async clock() {
      if (server) return 0;
      // Of several tries the quickest is the most exact: the answer was given half way.
      let best = { took: Number.POSITIVE_INFINITY, offset: 0 };
      for (let i = 0; i < 8 || (best.took > 2 && i < 64); i++) {
        const sent = performance.now();
        const { here } = await new Promise<{ here: number }>((resolve, no) => {
          pings.set(sent, { resolve, reject: no });
          void others[0]!.line.say({ kind: "ping", sent });
        });
        pings.delete(sent);
        const took = performance.now() - sent;
        if (took < best.took) best = { took, offset: here - (sent + took / 2) };
      }
      return best.offset * 1000;
    },
    async leave() {
      await exchange(null);
      for (const { rank: other } of others) left.add(other);
      await Promise.all(others.map(({ line }) => line.say({ kind: "left" })));
      close();
    },
  };
}

/** In messages, of so many ranks at most. */
export const MOST_NAMED = 16;
