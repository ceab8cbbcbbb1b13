/**
 * A schedule's transfers by NCCL, from the memory of one GPU into that of another. The transfers that stand side by side in
 * the schedule are one group of `ncclSend` and `ncclRecv`, on a stream for each ring of mesh axes: it waits for the kernels
 * before it by an event, and the kernels after a `wait` wait for it by another. The host only queues.
 *
 * **Groups.** All GPUs of a process are in one group, begun when its last device has come to it: the first messages between
 * two GPUs connect them, for which both must have been begun, and NCCL keeps a group in variables of the thread until it is
 * on its streams, so that a thread has one at a time.
 *
 * **Order.** NCCL's messages have no tags: between two ranks of a communicator they meet in the order in which both issue
 * them. All devices take the same steps, and a transfer is issued where the later of its two ends stands
 * (`../../flights.ts`), which the schedule alone says; so each of two devices issues what goes from one to the other in
 * the same order. Whatever waits (a group for kernels, for groups before it on its stream and for the same group of its
 * peers; kernels for groups; the host for groups that are older) waits for what comes earlier in that one order, so there
 * is no deadlock, as long as a GPU can run a group of each ring beside the kernels.
 */
import type { Step } from "../../../compiler/schedule/schedule.ts";
import type { Mark } from "../../device.ts";
import { GyreRuntimeError } from "../../errors.ts";
import { deviceCount, ringPlace } from "../../route.ts";
import type { Carrier, Exchange } from "../transfers.ts";
import type { Communicators, Member } from "./communicators.ts";
import { type Communicator, UINT8 } from "./library.ts";
import type { Watch } from "./watch.ts";

/** Groups of a device that the host may be ahead of it: what a process says that it does is not much older. */
const AHEAD = 8;

/** A device's part of a group, on its streams: where each ring's ends. `release` is called by each who has waited for it. */
type Group = { readonly marks: ReadonlyMap<Communicator, Mark>; readonly doing: string; readonly release: () => void };
type Place = {
  readonly member: Member;
  /** By axes. */
  readonly rings: Map<string, Communicator>;
  /** How many batches it has begun. */
  begun: number;
  /** By token: what will be joined. */
  readonly flying: Map<number, { readonly group: Promise<Group>; readonly on: Communicator }>;
  readonly underWay: Promise<void>[];
};

/** What a device puts into a group, after `before` of its compute stream. */
type Part = { readonly place: Place; readonly batch: readonly Exchange[]; readonly before: Mark };
/** A group of which some devices have not come yet: `all` gives every device's part, in their order. */
type Gathering = {
  readonly parts: Part[];
  readonly all: Promise<ReadonlyMap<Place, Group>>;
  readonly complete: () => void;
};

const keyOf = (axes: readonly string[]): string => axes.join(",");

export const ncclCarrier =
  (communicators: Communicators, watch: Watch): Carrier =>
  ({ schedule }) => {
    const { library, members } = communicators;
    const { mesh } = schedule;
    const count = deviceCount(mesh);
    const places = new Map(
      members.flatMap((member): [number, Place][] =>
        member.position < count
          ? [[member.position, { member, rings: new Map(), begun: 0, flying: new Map(), underWay: [] }]]
          : [],
      ),
    );

    /** The rings that a batch needs, each with its stream. */
    const streamsOf = ({ place: { member, rings }, batch }: Part): ReadonlyMap<Communicator, bigint> =>
      new Map(
        batch.map(({ axes }) => [rings.get(keyOf(axes))!, member.streams.stream(`nccl ${keyOf(axes)}`)] as const),
      );
    const doingOf = ({ place, batch }: Part): string =>
      `${[...new Set(batch.map(({ label }) => `'${label}'`))].join(", ")} on ${place.member.device.info.name}`;

    /** Puts the parts of all devices on their streams. */
    const issue = async (parts: readonly Part[]): Promise<ReadonlyMap<Place, Group>> => {
      const ended = communicators.failure();
      if (ended) throw ended;
      const all = parts.map((part) => ({ ...part, used: streamsOf(part), doing: doingOf(part) }));
      for (const { place, before, used } of all) {
        const { streams } = place.member;
        for (const stream of used.values()) streams.after(stream, before);
        streams.drop(before);
      }
      library.group(`the transfers of ${all.length} devices`, () => {
        for (const { place, batch, used, doing } of all) {
          const { streams } = place.member;
          streams.use();
          for (const { axes, bytes, to, from } of batch) {
            const on = place.rings.get(keyOf(axes))!;
            const rest = (peer: number) => [bytes, UINT8, ringPlace(mesh, axes, peer), on, used.get(on)!] as const;
            if (to) library.call(doing, "ncclSend", streams.address(to.buffer, bytes, "send"), ...rest(to.position));
            if (from)
              library.call(doing, "ncclRecv", streams.address(from.buffer, bytes, "receive"), ...rest(from.position));
          }
        }
      });
      // Before that, it is not on the streams.
      await Promise.all(
        all.map(({ place, used, doing }) =>
          communicators.settled([...used.keys()], `${doing} (mesh position ${place.member.position})`),
        ),
      );
      return new Map(
        all.map(({ place, batch, used, doing }) => {
          const { streams } = place.member;
          const marks = new Map([...used].map(([on, stream]) => [on, streams.mark(stream)] as const));
          // Those who wait for a transfer each, and the watch.
          let uses = batch.length + 1;
          const release = () => {
            if (--uses === 0) for (const mark of marks.values()) streams.drop(mark);
          };
          return [place, { doing, marks, release }];
        }),
      );
    };

    /** By how many batches were before. */
    const gathering = new Map<number, Gathering>();
    /** The last group, issued or failed. */
    let last: Promise<unknown> = Promise.resolve();
    const gather = (number: number): Gathering => {
      const known = gathering.get(number);
      if (known) return known;
      const parts: Part[] = [];
      let complete: () => void = () => {};
      const here = new Promise<void>((resolve) => {
        complete = resolve;
      });
      const all = Promise.all([here, last]).then(() => issue(parts));
      last = all.catch(() => {});
      const made = { parts, all, complete };
      gathering.set(number, made);
      return made;
    };

    return {
      async ready() {
        for (const axes of ringsOf(schedule.steps)) {
          const { handles } = await communicators.ring(mesh, axes);
          for (const [i, handle] of handles.entries())
            if (handle !== undefined) places.get(members[i]!.position)?.rings.set(keyOf(axes), handle);
        }
      },
      queue(position, batch) {
        const place = places.get(position)!;
        const { streams } = place.member;
        const number = place.begun++;
        const { parts, all, complete } = gather(number);
        parts.push({ place, batch, before: streams.mark(undefined) });
        if (parts.length === places.size) {
          gathering.delete(number);
          complete();
        }
        const group = all.then((of) => of.get(place)!);
        const done = group.then(async ({ marks, doing, release }) => {
          await watch({ doing, streams, communicators: [...marks.keys()], marks: [...marks.values()] });
          release();
          place.underWay.shift();
        });
        place.underWay.push(done.catch(() => {}));
        for (const { token, axes } of batch) place.flying.set(token, { group, on: place.rings.get(keyOf(axes))! });
        return batch.map(() => done);
      },
      async join(position, token) {
        const { member, flying, underWay } = places.get(position)!;
        const { group, on } = flying.get(token)!;
        flying.delete(token);
        const { marks, release } = await group;
        member.streams.after(undefined, marks.get(on)!);
        release();
        while (underWay.length > AHEAD) await underWay[0];
      },
      stop() {
        communicators.abort(
          new GyreRuntimeError("device-lost", "the transfers were ended, because the run was", "see what came before"),
        );
      },
    };
  };

/** The axes of the transfers, each list once, in the order of the steps. */
function ringsOf(steps: readonly Step[]): readonly (readonly string[])[] {
  const found = new Map<string, readonly string[]>();
  const visit = (list: readonly Step[]): void => {
    for (const step of list) {
      if (step.kind === "loop") visit(step.body);
      else if (step.kind === "send") found.set(keyOf(step.axes), step.axes);
    }
  };
  visit(steps);
  return [...found.values()];
}
