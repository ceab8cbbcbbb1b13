/** What ran when, on every device and stream; and its export as a Chrome trace, which Perfetto and chrome://tracing open. */

/** One span. `start` and `end` are microseconds on the clock of `performance.now()`. */
export type TraceEvent = {
  readonly device: string;
  readonly stream: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** More to show when the span is selected: bytes moved, the fold's step. */
  readonly detail?: { readonly [key: string]: string | number };
};

export type Trace = { readonly events: readonly TraceEvent[] };

/** Now, in the unit of the events. */
export const nowMicros = (): number => performance.now() * 1000;

/**
 * The trace in Chrome's JSON format: a process for each device, a thread for each stream, both in the order in which
 * they first occur; times begin at 0.
 */
export function chromeTrace(trace: Trace): string {
  const zero = trace.events.reduce((least, event) => Math.min(least, event.start), Number.POSITIVE_INFINITY);
  const devices = new Map<string, Map<string, number>>();
  const lines: object[] = [];
  const spans: object[] = [];
  for (const { device, stream, name, start, end, detail } of trace.events) {
    let streams = devices.get(device);
    if (!streams) {
      streams = new Map();
      devices.set(device, streams);
      lines.push({ ph: "M", name: "process_name", pid: devices.size, args: { name: device } });
      lines.push({ ph: "M", name: "process_sort_index", pid: devices.size, args: { sort_index: devices.size } });
    }
    const pid = [...devices.keys()].indexOf(device) + 1;
    let tid = streams.get(stream);
    if (tid === undefined) {
      tid = streams.size + 1;
      streams.set(stream, tid);
      lines.push({ ph: "M", name: "thread_name", pid, tid, args: { name: stream } });
    }
    spans.push({ ph: "X", name, pid, tid, ts: start - zero, dur: Math.max(0, end - start), args: detail ?? {} });
  }
  return JSON.stringify({ displayTimeUnit: "ms", traceEvents: [...lines, ...spans] });
}
