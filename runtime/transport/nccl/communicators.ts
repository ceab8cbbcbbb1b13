/**
 * NCCL's communicators of the devices of this process: one of all mesh positions (`world`), and one for each ring of mesh
 * axes that a schedule sends along, split off the world, or made of further ids where NCCL cannot split. A position's place
 * in the ring is its rank there.
 *
 * What several processes make together they make in the same order. Where anything fails, all communicators are aborted, so
 * that nothing on a device waits for ever; the next run makes new ones.
 */
import type { Mesh } from "../../../compiler/schedule/schedule.ts";
import type { Device, DeviceStreams } from "../../device.ts";
import { GyreRuntimeError, withLimit } from "../../errors.ts";
import { onRing, ringPlace, ringSize } from "../../route.ts";
import { type Communicator, type NcclLibrary, NO_COLOR, nonBlocking } from "./library.ts";

/** A mesh position of this process, alone on its GPU. */
export type Member = { readonly position: number; readonly device: Device; readonly streams: DeviceStreams };

/** The communicators of one kind on the members, by member; `undefined` for those that are in none. */
export type Ring = { readonly name: string; readonly handles: readonly (Communicator | undefined)[] };

export type Communicators = {
  readonly library: NcclLibrary;
  readonly members: readonly Member[];
  /** All mesh positions; the rank is the position. */
  readonly world: () => Promise<Ring>;
  /** The first positions of each process; the rank is the process's. */
  readonly processes: () => Promise<Ring>;
  /** The rings of mesh axes, flattened, major first. All processes ask in the same order. */
  readonly ring: (mesh: Mesh, axes: readonly string[]) => Promise<Ring>;
  /** Resolves when what was begun on communicators is on its streams. */
  readonly settled: (handles: readonly Communicator[], doing: string) => Promise<void>;
  /** Ends all of them, because of `reason`. */
  readonly abort: (reason: unknown) => void;
  /** Why they were ended, since the last that was made. */
  readonly failure: () => unknown;
  /** Ends them in peace, where the others do too. */
  readonly close: () => void;
};

export type Setting = {
  readonly library: NcclLibrary;
  readonly members: readonly Member[];
  /** By process: its positions. */
  readonly places: readonly (readonly number[])[];
  readonly rank: number;
  /** Everyone's value, by process. */
  readonly exchange: <T>(value: T) => Promise<readonly T[]>;
  /** How long the others are waited for. */
  readonly limitMs: number;
};

/** The same while it is made. NCCL writes the handles, some long after the call: they lie outside of the heap, and do not move. */
type Made = { readonly name: string; readonly into: readonly BigUint64Array[] };

const handlesOf = ({ into }: Made): Ring["handles"] => into.map(([h]) => (h === 0n ? undefined : h));
const present = (made: Made): readonly Communicator[] => handlesOf(made).filter((h) => h !== undefined);

/** How long the last of all may keep the others at the end. */
const CLOSE_MS = 2000;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

export function communicatorsOf({ library, members, places, rank, exchange, limitMs }: Setting): Communicators {
  const count = places.flat().length;
  /** By name, in the order in which they were made. */
  const rings = new Map<string, Promise<Ring>>();
  const live: Made[] = [];
  let failed: { readonly reason: unknown } | undefined;
  /** Resolves when what was aborted has ended. */
  let ended: Promise<unknown> = Promise.resolve();

  const abort = (reason: unknown): void => {
    if (failed) return;
    failed = { reason };
    rings.clear();
    ended = abortAll(live.splice(0));
  };
  /** Also those that a split gives when what it splits has ended. */
  const abortAll = async (all: readonly Made[]): Promise<void> => {
    const begun = new Set<Communicator>();
    for (;;) {
      const more = all.flatMap(present).filter((h) => !begun.has(h));
      if (more.length === 0) return;
      for (const h of more) begun.add(h);
      await Promise.all(more.map(library.abort));
    }
  };
  const ready = (handles: readonly Communicator[], doing: string): boolean =>
    handles.map((h) => library.ready(h, doing)).every((yes) => yes);
  const settled: Communicators["settled"] = (handles, doing) => {
    const ask = async (): Promise<void> => {
      for (let asked = 0; ; asked++) {
        if (failed) throw failed.reason;
        if (ready(handles, doing)) return;
        await (asked < 1000 ? new Promise(setImmediate) : new Promise((resolve) => setTimeout(resolve, 1)));
      }
    };
    const done = withLimit(ask(), limitMs, doing);
    done.catch(abort);
    return done;
  };

  /** Makes a communicator for each member in one group: `begin` starts one of them, `from` are what they are split off. */
  const make = async (
    name: string,
    begin: (member: Member, into: BigUint64Array) => void,
    from: readonly Communicator[] = [],
  ): Promise<Ring> => {
    const doing = `making the communicator of ${name}`;
    const made: Made = { name, into: members.map(() => new BigUint64Array(new ArrayBuffer(8))) };
    live.push(made);
    library.group(doing, () => {
      for (const [i, member] of members.entries()) {
        member.streams.use();
        begin(member, made.into[i]!);
      }
    });
    // A split has no handle before it is done, which those that are split say.
    await settled(from, doing);
    await settled(present(made), doing);
    return { name, handles: handlesOf(made) };
  };
  const once = (name: string, start: () => Promise<Ring>): Promise<Ring> => {
    const known = rings.get(name);
    if (known) return known;
    const made = start();
    rings.set(name, made);
    made.catch(abort);
    return made;
  };
  /** By ids, one for each communicator of the kind: whoever holds its first position makes it. */
  const byIds = async (name: string, first: (p: number) => number, place: (p: number) => number, size: number) => {
    const own = members.map(({ position }) => position).filter((p) => first(p) === p);
    const all = await exchange(own.map((p) => [p, library.uniqueId()] as const));
    const ids = new Map(all.flat());
    return make(name, ({ position }, into) => {
      const id = ids.get(first(position));
      if (id === undefined) return;
      const doing = `rank ${place(position)} of ${size} in ${name}`;
      library.call(doing, "ncclCommInitRankConfig", into, size, library.idOf(id), place(position), nonBlocking());
    });
  };
  const world = () =>
    once("all devices", async () => {
      await withLimit(ended, limitMs, "ending the communicators of the run before");
      failed = undefined;
      return byIds(
        "all devices",
        () => 0,
        (p) => p,
        count,
      );
    });
  /** `first`: the first position of the communicator that a position is in, undefined where in none; `place`: its rank in it. */
  const part = async (
    name: string,
    first: (p: number) => number | undefined,
    place: (p: number) => number,
    size: number,
  ): Promise<Ring> => {
    const all = await world();
    const whole = size === count && Array.from({ length: count }, (_, p) => p).every((p) => place(p) === p);
    if (whole) return all;
    return once(name, () => {
      if (!library.splits) return byIds(name, (p) => first(p) ?? NO_COLOR, place, size);
      const split = ({ position }: Member, into: BigUint64Array): void => {
        const parent = all.handles[members.findIndex((m) => m.position === position)]!;
        const color = first(position) ?? NO_COLOR;
        library.call(`for ${name}`, "ncclCommSplit", parent, color, place(position), into, null);
      };
      return make(
        name,
        split,
        all.handles.filter((h) => h !== undefined),
      );
    });
  };

  return {
    library,
    members,
    world,
    processes: () =>
      part(
        "the processes",
        (p) => (places.some(([own]) => own === p) ? places[0]![0] : undefined),
        (p) => places.findIndex(([own]) => own === p),
        places.length,
      ),
    ring(mesh, axes) {
      const size = ringSize(mesh, axes);
      const inMesh = mesh.axes.reduce((n, axis) => n * axis.size, 1);
      return part(
        `${axes.join(", ")} of ${mesh.axes.map((a) => `${a.name}=${a.size}`).join(", ")}`,
        (p) => (p < inMesh ? onRing(mesh, axes, p, 0) : undefined),
        (p) => (p < inMesh ? ringPlace(mesh, axes, p) : 0),
        size,
      );
    },
    settled,
    abort,
    failure: () => failed?.reason,
    close() {
      const all = live.splice(0).reverse();
      rings.clear();
      failed ??= { reason: new GyreRuntimeError("device-lost", "the session was closed", "open another one") };
      const until = performance.now() + CLOSE_MS;
      for (const made of all) {
        const open = present(made);
        const doing = `rank ${rank} ends the communicator of ${made.name}`;
        try {
          library.group(doing, () => {
            for (const h of open) library.call(doing, "ncclCommFinalize", h);
          });
          let done = false;
          while (!(done = ready(open, doing)) && performance.now() < until) Atomics.wait(sleeper, 0, 0, 0.2);
          if (done) for (const h of open) library.call(doing, "ncclCommDestroy", h);
          else void abortAll([made]);
        } catch {
          void abortAll([made]);
        }
      }
    },
  };
}
