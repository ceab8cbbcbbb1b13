/** The steps of a schedule as a picture: time runs down, one column for each stream, and what is in flight is drawn as a bar. */
import type { Launch, Loop, Route, Schedule, Step, Transfer } from "../compiler/schedule/schedule.ts";
import type { Colors } from "./io.ts";
import { columns, humanBytes } from "./text.ts";

type Line = { readonly text: string; readonly lanes: readonly string[] };

/** Time runs down. `┬` a transfer begins, `│` it is in flight, `┴` it has been waited for. */
export function timeline(s: Schedule, c: Colors): readonly string[] {
  const streams = s.streams.filter((name) => name !== "compute");
  const busy = new Map<string, Set<number>>(streams.map((name) => [name, new Set()]));
  const streamOf = new Map<number, string>();
  const lines: Line[] = [];
  const bars = (own?: { readonly stream: string; readonly text: string }): readonly string[] =>
    streams.map((name) => (own?.stream === name ? own.text : busy.get(name)!.size > 0 ? "│" : ""));
  const put = (text: string, lanes: readonly string[] = bars()): void => void lines.push({ text, lanes });

  const visit = (steps: readonly Step[], indent: string): void => {
    for (const step of joined(steps)) {
      const when = step.step.when === undefined ? "" : c.dim(`  ${WHEN[step.step.when]}`);
      switch (step.step.kind) {
        case "launch": {
          put(`${indent}${launch(s, step.step, c)}${when}`);
          break;
        }
        case "copy": {
          put(`${indent}copy ${name(s, step.step.value)}${when}`);
          break;
        }
        case "send":
        case "receive": {
          const { stream, token } = step.step;
          const first = busy.get(stream)!.size === 0;
          busy.get(stream)!.add(token);
          streamOf.set(token, stream);
          put(indent, bars({ stream, text: `${first ? "┬" : "├"} ${c.yellow(step.what(s))}${when}` }));
          break;
        }
        case "wait": {
          const { token } = step.step;
          const stream = streamOf.get(token);
          if (stream) busy.get(stream)!.delete(token);
          const left = stream !== undefined && busy.get(stream)!.size > 0;
          put(`${indent}${c.dim("wait")}`, stream ? bars({ stream, text: left ? "├" : "┴" }) : bars());
          break;
        }
        case "loop": {
          put(`${indent}${c.magenta(`${step.step.label} × ${step.step.count}`)}${when}`);
          visit(step.step.body, `${indent}│ `);
          put(`${indent}└${rotated(s, step.step)}`);
          break;
        }
      }
    }
  };
  visit(s.steps, "");
  if (streams.length === 0) return lines.map((line) => line.text);
  const rows = [
    { text: c.dim("compute"), lanes: streams.map((name) => c.dim(name)) },
    ...lines.filter((line) => line.text.trim() !== "" || line.lanes.some((lane) => lane !== "")),
  ];
  return columns(rows.map((row) => [row.text, ...row.lanes]));
}

const WHEN = {
  first: "only in the first step",
  last: "only in the last step",
  "not-first": "not in the first step",
  "not-last": "not in the last step",
} as const;

type Joined = { readonly step: Step; readonly what: (s: Schedule) => string };

/** Send and receive of one token are one line. */
function joined(steps: readonly Step[]): readonly Joined[] {
  const seen = new Set<number>();
  return steps.flatMap((step): readonly Joined[] => {
    if (step.kind === "send" || step.kind === "receive") {
      if (seen.has(step.token)) return [];
      seen.add(step.token);
      const send = steps.find((other) => other.kind === "send" && other.token === step.token) as Transfer | undefined;
      const first = steps.find((other) => other.kind === "send" && isWith(step, other)) as Transfer | undefined;
      const what = (s: Schedule) => {
        const joins = first && first.token !== step.token ? `, with ${name(s, first.value)}` : "";
        return `${name(s, (send ?? step).value)} ${way(step.route, step.axes, s)}, ${humanBytes(step.bytes)}${joins}`;
      };
      return [{ step, what }];
    }
    return [{ step, what: () => "" }];
  });
}

/** Whether two transfers travel as one message. */
const isWith = (step: Transfer, other: Transfer): boolean =>
  step.message !== undefined && step.message === other.message;

const name = (s: Schedule, value: number): string => s.values[value]?.name ?? `value ${value}`;
/** `add(acc, cur) → acc'`; in place it is `acc' over acc`. Long ones go without what they write, which has their name. */
function launch(s: Schedule, step: Launch, c: Colors): string {
  const { name: kernel, bindings } = s.kernels[step.kernel]!;
  const is = (read: boolean) => step.args.filter((_, i) => (bindings[i]?.access === "read") === read);
  const reads = is(true).map((a) => name(s, a.value));
  const writes = is(false).map((a) => name(s, a.value) + (a.from === undefined ? "" : ` over ${name(s, a.from)}`));
  const all = `(${reads.join(", ")}) → ${writes.join(", ")}`;
  const few = all.length + kernel.length <= LONG ? all : `(${clipped(reads.join(", "), LONG - kernel.length)}) → …`;
  return c.cyan(kernel) + few;
}
const LONG = 60;
const clipped = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, Math.max(0, most - 2))} …`;

function rotated(s: Schedule, loop: Loop): string {
  if (loop.rotate.length === 0) return "─";
  const cycles = loop.rotate.map((cycle) => cycle.map((b) => s.buffers[b]?.name ?? `${b}`).join(" ⇄ "));
  return ` rotate ${clipped(cycles.join(", "), LONG)}`;
}

/** Where a route leads, in words. */
export function way(route: Route, axes: readonly string[], s: Schedule): string {
  const ring = axes.join(", ");
  if (route.kind === "pairs") return `${route.pairs.map(([a, b]) => `${a}→${b}`).join(" ")} along ${ring}`;
  const n = axes.reduce((size, name) => size * (s.mesh.axes.find((a) => a.name === name)?.size ?? 1), 1);
  const step =
    route.perStep === undefined || route.perStep === 0
      ? ""
      : ` + ${route.perStep === 1 ? "" : `${route.perStep} × `}step`;
  const round = route.within ?? n;
  // The shorter way round: -1, not n - 1.
  const offset = ((route.offset % round) + round) % round;
  const back = offset > round / 2;
  const where = `on ${ring}${route.within === undefined ? "" : `, within each ${route.within}`}`;
  return step === ""
    ? `to ${back ? `−${round - offset}` : `+${offset}`} ${where}`
    : `to +(${route.offset}${step}) ${where}`;
}
