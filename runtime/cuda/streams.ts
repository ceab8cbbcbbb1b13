/** Streams and events of one mesh position: one stream for compute and one for each direction of a ring. */
import { GyreRuntimeError, withLimit } from "../errors.ts";
import type { Handle } from "./driver.ts";
import type { Gpu } from "./gpu.ts";
import type { Failed } from "./refusals.ts";

/** A point in the work of a stream, to be dropped when nobody asks for it any more. */
export type Mark = { readonly event: Handle; readonly drop: () => void };

export type Streams = {
  readonly compute: Handle;
  /** The stream of a direction, made at its first use. */
  readonly ring: (name: string) => Handle;
  /** Where a stream is now. Only timed marks have a time. */
  readonly mark: (stream: Handle, timed?: boolean) => Mark;
  /** Work on `stream` from now on begins after `mark`. */
  readonly after: (stream: Handle, mark: Mark) => void;
  /** Whether work has come to a mark; throws what went wrong on the way. */
  readonly reached: (mark: Mark, doing: string) => boolean;
  /** Resolves when work has come to it. Rejects with what went wrong, or when nothing moved for as long as a wait may last. */
  readonly wait: (mark: Mark, doing: string) => Promise<void>;
  /** Microseconds from one timed mark to another. */
  readonly between: (from: Mark, to: Mark) => number;
  readonly close: () => void;
};

const NON_BLOCKING = 1;
const NO_TIMES = 2;
const NOT_READY = 600;
/** How long a wait asks in every turn of the event loop, before it takes a timer between two questions. */
const EAGER_MS = 5;

export function openStreams(gpu: Gpu, about: (doing: string) => Failed, timeoutMs: number): Streams {
  const { driver } = gpu;
  const opening = about("opening a stream");
  gpu.use();
  const compute = driver.make(opening, "cuStreamCreate", NON_BLOCKING);
  /** Of the highest priority: the few blocks of a transfer get in between those of the kernels. */
  const makeRing = (): Handle => {
    gpu.use();
    const [least, greatest] = [[0], [0]];
    driver.call(opening, "cuCtxGetStreamPriorityRange", least, greatest);
    return driver.make(opening, "cuStreamCreateWithPriority", NON_BLOCKING, greatest[0]);
  };
  const rings = new Map<string, Handle>();
  const idle: { readonly timed: Handle[]; readonly plain: Handle[] } = { timed: [], plain: [] };
  const all = new Set<Handle>();
  const listOf = (timed: boolean) => (timed ? idle.timed : idle.plain);
  let closed = false;
  /** When any wait of this position last ended: what comes after it is not stuck. */
  let lastProgress = 0;

  const mark: Streams["mark"] = (stream, timed = false) => {
    gpu.use();
    const event = listOf(timed).pop() ?? driver.make(about("making an event"), "cuEventCreate", timed ? 0 : NO_TIMES);
    all.add(event);
    driver.call(about("marking a stream"), "cuEventRecord", event, stream);
    return { event, drop: () => listOf(timed).push(event) };
  };
  const reached: Streams["reached"] = ({ event }, doing) => {
    gpu.use();
    const status = driver.status("cuEventQuery", event);
    if (status !== 0 && status !== NOT_READY) throw driver.error(about(doing), status);
    return status === 0;
  };
  const comeTo = async (m: Mark, doing: string, given: { up: boolean }): Promise<void> => {
    const began = performance.now();
    for (;;) {
      if (closed)
        throw new GyreRuntimeError("device-lost", `${about(doing).device} was closed`, "open the devices again");
      if (given.up || reached(m, doing)) return;
      if (performance.now() - began < EAGER_MS) await new Promise((resolve) => setImmediate(resolve));
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  return {
    compute,
    ring(name) {
      const stream = rings.get(name) ?? makeRing();
      rings.set(name, stream);
      return stream;
    },
    mark,
    after(stream, m) {
      gpu.use();
      driver.call(about("ordering streams"), "cuStreamWaitEvent", stream, m.event, 0);
    },
    reached,
    async wait(m, doing) {
      const given = { up: false };
      try {
        await withLimit(comeTo(m, doing, given), timeoutMs, `${doing} on ${about(doing).device}`, () => lastProgress);
        lastProgress = performance.now();
      } finally {
        given.up = true;
      }
    },
    between: (from, to) => {
      const out: [number] = [0];
      gpu.use();
      driver.call(about("reading times"), "cuEventElapsedTime", out, from.event, to.event);
      return out[0] * 1000;
    },
    close() {
      closed = true;
      driver.status("cuCtxSetCurrent", gpu.context);
      for (const stream of [compute, ...rings.values()]) driver.status("cuStreamDestroy", stream);
      for (const event of all) driver.status("cuEventDestroy", event);
    },
  };
}
