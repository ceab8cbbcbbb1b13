/**
 * A schedule's transfers by NCCL, from the memory of one GPU into that of another. The transfers that stand side by side in
 * the schedule are one group of `ncclSend` and `ncclRecv`, on a stream for each ring of mesh axes: it waits for the kernels
 * before it by an event, and the kernels after a `wait` wait for it by another. The host only queues.
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
import { ringPlace } from "../../route.ts";
import type { Carrier, Exchange } from "../transfers.ts";
import type { Communicators, Member } from "./communicators.ts";
import { type Communicator, UINT8 } from "./library.ts";
import type { Watch } from "./watch.ts";

/** Groups of a device that the host may be ahead of it: what a process says that it does is not much older. */
const AHEAD = 8;

/** A group on its streams: where each ring's part of it ends. `release` is called by each who has waited for it. */
type Group = { readonly marks: ReadonlyMap<Communicator, Mark>; readonly doing: string; readonly release: () => void };
type Place = {
  readonly member: Member;
  /** By axes. */
  readonly rings: Map<string, Communicator>;
  /** The last group, issued or failed, where it is not settled yet. */
  last: Promise<unknown> | undefined;
  /** By token: what will be joined. */
  readonly flying: Map<number, { readonly group: Promise<Group>; readonly on: Communicator }>;
  readonly underWay: Promise<void>[];
};

const keyOf = (axes: readonly string[]): string => axes.join(",");

export const ncclCarrier =
  (communicators: Communicators, watch: Watch): Carrier =>
  ({ schedule }) => {
    const { library, members } = communicators;
    const { mesh } = schedule;
    const places = new Map(
      members.map((member): [number, Place] => [
        member.position,
        { member, rings: new Map(), last: undefined, flying: new Map(), underWay: [] },
      ]),
    );

    /** Puts a batch on the streams, after `before` of the compute stream. */
    const issue = async ({ member, rings }: Place, batch: readonly Exchange[], before: Mark): Promise<Group> => {
      const { device, position, streams } = member;
      const ended = communicators.failure();
      if (ended) throw ended;
      const used = new Map(
        batch.map(({ axes }) => [rings.get(keyOf(axes))!, streams.stream(`nccl ${keyOf(axes)}`)] as const),
      );
      for (const stream of used.values()) streams.after(stream, before);
      streams.drop(before);
      streams.use();
      const labels = [...new Set(batch.map(({ label }) => `'${label}'`))].join(", ");
      const doing = `${labels} on ${device.info.name}`;
      library.group(doing, () => {
        for (const { axes, bytes, to, from } of batch) {
          const on = rings.get(keyOf(axes))!;
          const rest = (peer: number) => [bytes, UINT8, ringPlace(mesh, axes, peer), on, used.get(on)!] as const;
          if (to) library.call(doing, "ncclSend", streams.address(to.buffer, bytes, "send"), ...rest(to.position));
          if (from)
            library.call(doing, "ncclRecv", streams.address(from.buffer, bytes, "receive"), ...rest(from.position));
        }
      });
      // Before that, it is not on the streams.
      await communicators.settled([...used.keys()], `${doing} (mesh position ${position})`);
      const marks = new Map([...used].map(([on, stream]) => [on, streams.mark(stream)] as const));
      // Those who wait for a transfer each, and the watch.
      let uses = batch.length + 1;
      const release = () => {
        if (--uses === 0) for (const mark of marks.values()) streams.drop(mark);
      };
      return { doing, marks, release };
    };

    return {
      async ready() {
        for (const axes of ringsOf(schedule.steps)) {
          const { handles } = await communicators.ring(mesh, axes);
          for (const [i, handle] of handles.entries())
            if (handle !== undefined) places.get(members[i]!.position)!.rings.set(keyOf(axes), handle);
        }
      },
      queue(position, batch) {
        const place = places.get(position)!;
        const { streams } = place.member;
        const before = streams.mark(undefined);
        const group = place.last ? place.last.then(() => issue(place, batch, before)) : issue(place, batch, before);
        const settled = group.then(
          () => {},
          () => {},
        );
        place.last = settled;
        void settled.then(() => {
          if (place.last === settled) place.last = undefined;
        });
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
