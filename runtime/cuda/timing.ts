/** How long each launch took on a GPU, from events before and after it, on the clock of `performance.now()`. */
import type { LaunchSink } from "../device.ts";
import type { Mark, Streams } from "./streams.ts";

type Timed = { readonly kernel: string; readonly from: Mark; readonly to: Mark; readonly sink: LaunchSink };

export type Timing = {
  /** Makes a launch between two events. */
  readonly around: (kernel: string, sink: LaunchSink, launch: () => void) => void;
  /** Reports the launches that are done; after a wait, all of them. */
  readonly report: () => void;
};

export function startTiming(streams: Streams): Timing {
  const { compute, mark, reached, between } = streams;
  /** An event whose time on both clocks is known: the stream was idle, and was asked until it had come to it. */
  const zero = mark(compute, true);
  const asked = performance.now();
  while (!reached(zero, "reading times") && performance.now() - asked < 1000);
  const offset = performance.now() * 1000;
  const waiting: Timed[] = [];
  return {
    around(kernel, sink, launch) {
      const from = mark(compute, true);
      launch();
      waiting.push({ kernel, sink, from, to: mark(compute, true) });
    },
    report() {
      while (waiting.length > 0 && reached(waiting[0]!.to, "reading times")) {
        const { kernel, from, to, sink } = waiting.shift()!;
        sink(kernel, offset + between(zero, from), offset + between(zero, to));
        from.drop();
        to.drop();
      }
    },
  };
}
