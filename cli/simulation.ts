/** What a simulation found, for people: numbers, transfers, and a timeline of the first and the last device. */
import { printMesh } from "../compiler/core/print.ts";
import type { Schedule } from "../compiler/schedule/schedule.ts";
import type { Spread, TransferTime, WatchedSpan } from "../compiler/schedule/simulate.ts";
import type { Colors } from "./io.ts";
import { lateness, memory } from "./schedule.ts";
import type { Simulated } from "./simulate.ts";
import { columns, humanBytes, humanTime, plural } from "./text.ts";

/** What `gyre simulate` prints. */
export function describeSimulation(s: Schedule, result: Simulated, c: Colors, width = 100): string {
  const { machine, nodes, simulation: x } = result;
  const title = `${c.bold(s.name)} on ${printMesh(s.mesh)}, simulated on ${c.bold(machine.name)}: ${plural(x.devices, "device")} in ${plural(nodes, "node")}`;
  const rows = [
    ["time", time(x.seconds)],
    ["compute", `${busiest(s, x.busy)}; balance ${percent(x.busy.most > 0 ? x.busy.mean / x.busy.most : 1)}`],
    ["communication", x.exposed.most > 0 ? `${c.yellow("exposed")} ${busiest(s, x.exposed)}` : "hidden"],
    ["others", x.late.most > 0 ? `waited for ${busiest(s, x.late)}` : "nobody waits for another device"],
    [
      "arithmetic",
      `${percent(x.utilisation)} of peak: ${countOf(x.flops / x.devices / x.seconds)}flop/s on each device`,
    ],
    ["memory", `${fits(result, c)}${lateness(s)}`],
  ];
  return [
    title,
    ...columns(rows).map((line) => `  ${line}`),
    ...section("transfers", transfers(x.transfers), c),
    ...section("what takes memory on each device", memory(s, c, 6), c),
    ...section(`timeline: 0 to ${time(x.seconds)}; the darker, the busier`, timeline(s, result, c, width - 2), c),
  ].join("\n");
}

const section = (title: string, lines: readonly string[], c: Colors): readonly string[] =>
  lines.length === 0 ? [] : ["", c.bold(title), ...lines.map((line) => `  ${line}`)];

const time = (seconds: number): string => humanTime(seconds * 1000);
const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

/** `2 s on average, 3 s at most, on sp=7`. */
function busiest(s: Schedule, { mean, most, at }: Spread): string {
  if (most - mean <= 1e-6 * most) return `${time(most)} on every device`;
  return `${time(mean)} on average, ${time(most)} at most, on ${placeOf(s, at)}`;
}

/** `dp=0, sp=3`. */
function placeOf({ mesh }: Schedule, position: number): string {
  let rest = position;
  return [...mesh.axes]
    .reverse()
    .map(({ name, size }) => {
      const index = rest % size;
      rest = Math.floor(rest / size);
      return `${name}=${index}`;
    })
    .reverse()
    .join(", ");
}

function fits({ memory }: Simulated, c: Colors): string {
  const all = `${humanBytes(memory.bytes)} of ${humanBytes(memory.of)} on each device`;
  return memory.fits
    ? `${all}: fits, ${humanBytes(memory.spare)} to spare`
    : `${all}: ${c.red(`does not fit, ${humanBytes(-memory.spare)} too much`)}`;
}

/** `1.05 P`: with a decimal prefix. */
function countOf(n: number): string {
  const units = ["", "k", "M", "G", "T", "P", "E"];
  const unit = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log10(Math.max(n, 1)) / 3)));
  return `${Number((n / 1000 ** unit).toPrecision(3))} ${units[unit]}`;
}

/** The most exposed first, then the longest. */
function transfers(all: readonly TransferTime[]): readonly string[] {
  const sorted = [...all].sort((a, b) => b.exposed.most - a.exposed.most || b.seconds - a.seconds);
  const shown = columns(
    sorted
      .slice(0, SHOWN)
      .map((t) => [
        t.label,
        `${t.count} × ${humanBytes(t.bytes)}`,
        `${time(t.seconds)} on links`,
        t.exposed.most > NOISE ? `exposed ${time(t.exposed.most)}` : "hidden",
        t.late.most > 0 ? `late ${time(t.late.most)}` : "",
      ]),
  );
  return all.length > SHOWN ? [...shown, `and ${all.length - SHOWN} more; --json has all`] : shown;
}
const SHOWN = 12;
/** Seconds that sums of floating-point numbers are off by. */
const NOISE = 1e-12;

// --- The picture -----------------------------------------------------------------------------------------------------

const SHADES = [" ", "░", "▒", "▓", "█"] as const;

/** A row for each watched device and stream; a column is as dark as the share of its time in which the stream is busy. */
function timeline(s: Schedule, { simulation }: Simulated, c: Colors, width: number): readonly string[] {
  const { spans, seconds } = simulation;
  const positions = [...new Set(spans.map((x) => x.position))];
  const rows = positions.flatMap((position) =>
    s.streams.flatMap((stream): readonly (readonly [string, readonly WatchedSpan[]])[] => {
      const own = spans.filter((x) => x.position === position && x.stream === stream);
      return own.length > 0 ? [[`${placeOf(s, position)} ${stream}`, own]] : [];
    }),
  );
  const gutter = Math.max(0, ...rows.map(([name]) => name.length));
  const cells = Math.max(10, width - gutter - 4);
  return rows.map(([name, own]) => {
    const busy = new Float64Array(cells);
    for (const { start, end } of own) {
      const [from, to] = [(start / seconds) * cells, (end / seconds) * cells];
      for (let k = Math.floor(from); k < Math.min(cells, to); k++)
        busy[k] = busy[k]! + Math.min(to, k + 1) - Math.max(from, k);
    }
    const bar = [...busy].map((share) => SHADES[Math.min(4, Math.ceil(share * 4 - 0.1))] ?? " ").join("");
    return `${c.dim(name.padEnd(gutter))} │${bar}│`;
  });
}
