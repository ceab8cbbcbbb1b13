/** A runtime's trace in columns: small, and quick to read back. */
import type { TraceEvent } from "../../runtime/trace.ts";
import type { Measured } from "../data.ts";

/** `devices[p]` is the name of the device at mesh position p; events of others are left out. */
export function measuredOf(events: readonly TraceEvent[], devices: readonly string[], where: string): Measured {
  const positions = new Map(devices.map((name, p) => [name, p]));
  const known = events
    .filter((e) => positions.has(e.device) && Number.isFinite(e.start) && Number.isFinite(e.end))
    .toSorted((a, b) => a.start - b.start);
  const zero = known[0]?.start ?? 0;
  const [streams, names, turns] = [numbered(), numbered(), numbered()];
  return {
    device: known.map((e) => positions.get(e.device)!),
    stream: known.map((e) => streams.of(e.stream)),
    name: known.map((e) => names.of(e.name)),
    turn: known.map((e) => turns.of(String(e.detail?.step ?? ""))),
    start: known.map((e) => tenths(e.start - zero)),
    length: known.map((e) => tenths(Math.max(0, e.end - e.start))),
    where,
    streams: streams.list,
    names: names.list,
    turns: turns.list,
  };
}

const tenths = (micros: number): number => Math.round(micros * 10) / 10;

function numbered(): { readonly of: (text: string) => number; readonly list: readonly string[] } {
  const list: string[] = [];
  const numbers = new Map<string, number>();
  return {
    list,
    of(text) {
      const known = numbers.get(text);
      if (known !== undefined) return known;
      numbers.set(text, list.length);
      return list.push(text) - 1;
    },
  };
}
