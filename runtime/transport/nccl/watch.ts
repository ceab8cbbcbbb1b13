/** What was put on the devices is watched: whether it is done, whether NCCL has an error, whether anything moves at all. */
import type { DeviceStreams, Mark } from "../../device.ts";
import { GyreRuntimeError } from "../../errors.ts";
import { askAgain } from "../pace.ts";
import type { Communicators } from "./communicators.ts";
import type { Communicator } from "./library.ts";

/** Operations of one device: done where its streams have come to `marks`. */
export type Operations = {
  /** `'k_1 to +1 on sp' on cuda:2`. */
  readonly doing: string;
  readonly streams: DeviceStreams;
  readonly communicators: readonly Communicator[];
  readonly marks: readonly Mark[];
};

/** Resolves when they are done. Where anything goes wrong, all communicators are aborted, and all that is watched rejects. */
export type Watch = (operations: Operations) => Promise<void>;

/** `limitMs`: how long nothing may move on any device of the process. */
export function watchOf(all: Communicators, limitMs: number): Watch {
  const watched = new Map<Operations, { readonly resolve: () => void; readonly reject: (reason: unknown) => void }>();
  let moved = 0;
  const look = (): void => {
    const ended = all.failure();
    if (ended) throw ended;
    for (const [operations, { resolve }] of watched) {
      const { doing, streams, communicators, marks } = operations;
      for (const c of communicators) all.library.ready(c, doing);
      if (!marks.every((mark) => streams.reached(mark, doing))) continue;
      watched.delete(operations);
      moved = performance.now();
      resolve();
    }
    const [oldest] = watched.keys();
    if (oldest && performance.now() - moved > limitMs)
      throw new GyreRuntimeError(
        "timeout",
        `${oldest.doing} did not finish: nothing moved for ${Number((limitMs / 1000).toFixed(1))} s`,
        "see whether the other processes and their GPUs still answer; NCCL_DEBUG=INFO tells what NCCL does",
      );
  };
  const poll = (): void => {
    try {
      look();
    } catch (error) {
      all.abort(error);
      for (const { reject } of watched.values()) reject(error);
      watched.clear();
    }
    if (watched.size > 0) askAgain(poll, performance.now() - moved);
  };
  return (operations) =>
    new Promise((resolve, reject) => {
      watched.set(operations, { resolve, reject });
      if (watched.size > 1) return;
      moved = performance.now();
      setImmediate(poll);
    });
}
