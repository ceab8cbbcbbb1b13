/** All that there is to say about a schedule: a line, tables, and two pictures of its steps. */
import { printMesh, printSpec } from "../compiler/core/print.ts";
import type { Schedule, Step, Transfer } from "../compiler/schedule/schedule.ts";
import { printTimeline } from "../compiler/schedule/timeline.ts";
import type { Colors } from "./io.ts";
import { columns, humanBytes, humanTime, plural } from "./text.ts";
import { timeline, way } from "./timeline.ts";

/**
 * What `gyre inspect` prints: the program in a line, its inputs and results, the kernels, the timeline, the transfers,
 * and the memory of a device. Its length depends on the program, not on the mesh or on the counts of loops.
 */
export function describeSchedule(s: Schedule, c: Colors, width = 100): string {
  const devices = s.mesh.axes.reduce((n, axis) => n * axis.size, 1);
  const { launches, transfers } = totals(s);
  const sent = transfers.reduce((sum, t) => sum + t.count * t.transfer.bytes, 0);
  const title = `${c.bold(s.name)} on ${printMesh(s.mesh)}: ${plural(devices, "device")}, each runs ${plural(launches, "launch", "launches")} of ${plural(s.kernels.length, "kernel")}${sent > 0 ? ` and sends ${humanBytes(sent)}` : ""}`;
  return [
    title,
    ...section("inputs and results", ports(s, c), c),
    ...section("kernels", kernels(s, c), c),
    ...section("steps, the same on every device; time runs down", timeline(s, c), c),
    ...section(
      "what runs beside what; time runs to the right, as if everything took equally long",
      gantt(s, width - 2),
      c,
    ),
    ...section("transfers", transferTable(s), c),
    ...section("loops in parts, where there are few workgroups", splits(s, c), c),
    ...section(`what hides transfers, by the rates of ${s.decisions?.on}`, decisions(s, c), c),
    ...section(`memory: ${humanBytes(s.memory.bytes)} at most on each device${lateness(s)}`, memory(s, c), c),
  ].join("\n");
}

const section = (title: string, lines: readonly string[], c: Colors): readonly string[] =>
  lines.length === 0 ? [] : ["", c.bold(title), ...lines.map((line) => `  ${line}`)];

// --- Tables ----------------------------------------------------------------------------------------------------------

function ports(s: Schedule, c: Colors): readonly string[] {
  const row = (p: Schedule["outputs"][number], direction: string): readonly string[] => {
    const local = s.values[p.value]!;
    return [
      direction,
      p.path === "" ? "result" : p.path,
      `${p.dtype}[${p.shape.join(", ")}]`,
      p.shape.length > 0 ? printSpec(p.spec) : "",
      c.dim(`${humanBytes(local.bytes)} on each device`),
    ];
  };
  return columns([...s.inputs.map((p) => row(p, "in")), ...s.outputs.map((p) => row(p, "out"))]);
}

function kernels(s: Schedule, c: Colors): readonly string[] {
  const runs = new Map<number, number>();
  for (const { kernel, count } of totals(s).kernels) runs.set(kernel, (runs.get(kernel) ?? 0) + count);
  return s.kernels.flatMap((k, i) => {
    const of = (access: (a: string) => boolean) =>
      k.bindings
        .filter((b) => access(b.access))
        .map((b) => `${b.name} ${b.dtype}[${b.shape.join(", ")}]${b.access === "update" ? " in place" : ""}`)
        .join(", ");
    const scalars = k.scalars.map((x) => (x.kind === "axis_index" ? `index along ${x.axes.join(", ")}` : "step"));
    const cost = k.cost ? `, ${countOf(k.cost.flops)} flop, ${humanBytes(k.cost.bytes)}` : "";
    const groups = k.groups.reduce((a, b) => a * b, 1);
    return [
      `${c.cyan(k.name)}  × ${runs.get(i) ?? 0}  ${c.dim(`${plural(groups, "workgroup")}${cost}`)}`,
      `  reads   ${[of((a) => a === "read"), ...scalars].filter((x) => x !== "").join(", ") || "nothing"}`,
      `  writes  ${of((a) => a !== "read")}`,
    ];
  });
}

/** `1.05 G`: counts with a decimal prefix. */
function countOf(n: number): string {
  const units = ["", " k", " M", " G", " T", " P"];
  let value = n;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(3))}${units[unit]}`;
}

function transferTable(s: Schedule): readonly string[] {
  return columns(
    totals(s).transfers.map(({ transfer: t, count, under }) => [
      t.stream,
      s.values[t.value]?.name ?? "",
      way(t.route, t.axes, s),
      `${count} × ${humanBytes(t.bytes)}`,
      (under.length > 0
        ? `while ${[...new Set(under)].join(", ")} ${under.length > 1 ? "run" : "runs"}`
        : "not overlapped") + (t.message === undefined ? "" : `, in message ${t.message}`),
    ]),
  );
}

/** What hides most first: `send k on sp+1   moved before dq, hides 1.2 ms`. */
function decisions(s: Schedule, c: Colors): readonly string[] {
  const all = s.decisions?.made ?? [];
  const shown = columns(
    all.slice(0, SHOWN).map((d) => {
      const worth = "hides" in d ? `hides ${humanTime(d.hides * 1000)}` : `saves ${humanTime(d.saves * 1000)}`;
      return [c.cyan(d.about), `${d.what}, ${c.green(worth)}`];
    }),
  );
  return all.length > SHOWN ? [...shown, c.dim(`and ${all.length - SHOWN} more; --json has all`)] : shown;
}
const SHOWN = 12;

/** `out_lse  from 32 parts of j, saves 2.4 ms`. */
const splits = ({ splits: all = [] }: Schedule, c: Colors): readonly string[] =>
  columns(
    all.map(({ kernel, axes, parts, saves }) => [
      c.cyan(kernel),
      `from ${parts} parts of ${axes.join(" and ")}, ${c.green(`saves ${humanTime(saves * 1000)}`)}`,
    ]),
  );

/** What a limit of memory cost. */
export function lateness({ memory: { late } }: Schedule): string {
  if (!late) return "";
  return `; ${humanBytes(late.without)} if ${plural(late.transfers, "transfer")} did not begin late`;
}

/** The largest buffers, what they hold, and what the rest comes to. */
export function memory(s: Schedule, c: Colors, shown = 12): readonly string[] {
  const most = s.memory.parts.slice(0, shown);
  const rows = most.map((part) => {
    const buffer = s.buffers[part.buffer]!;
    const names = [...new Set(part.holds.map((v) => s.values[v]?.name ?? ""))];
    const held = names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ");
    return [humanBytes(part.bytes), buffer.role, c.dim(`holds ${held}`)];
  });
  const rest = s.memory.parts.slice(most.length);
  const left = rest.reduce((sum, p) => sum + p.bytes, 0);
  return [
    ...columns(rows, [0]),
    ...(rest.length > 0 ? [c.dim(`and ${plural(rest.length, "smaller buffer")}, ${humanBytes(left)}`)] : []),
  ];
}

// --- Counting --------------------------------------------------------------------------------------------------------

type Totals = {
  readonly launches: number;
  readonly kernels: readonly { readonly kernel: number; readonly count: number }[];
  /** Each send, how often it is done, and the kernels launched before it is waited for. */
  readonly transfers: readonly {
    readonly transfer: Transfer;
    readonly count: number;
    readonly under: readonly string[];
  }[];
};

function totals(s: Schedule): Totals {
  const kernels: { kernel: number; count: number }[] = [];
  const transfers: { transfer: Transfer; count: number; under: string[] }[] = [];
  const visit = (steps: readonly Step[], times: number, of: number): void => {
    steps.forEach((step, at) => {
      const count = times * share(step.when, of);
      if (step.kind === "launch") kernels.push({ kernel: step.kernel, count });
      if (step.kind === "loop") visit(step.body, count * step.count, step.count);
      if (step.kind === "send") transfers.push({ transfer: step, count, under: inFlight(s, steps, at, step.token) });
    });
  };
  visit(s.steps, 1, 1);
  return { launches: kernels.reduce((sum, k) => sum + k.count, 0), kernels, transfers };
}

/** The share of a loop's `of` steps in which something is done. */
function share(when: Step["when"], of: number): number {
  if (when === undefined) return 1;
  return when === "first" || when === "last" ? 1 / of : (of - 1) / of;
}

/** The kernels launched between step `at` and the wait for `token`; round the end of a loop's body where it lies before. */
function inFlight(s: Schedule, steps: readonly Step[], at: number, token: number): string[] {
  const isWait = (step: Step) => step.kind === "wait" && step.token === token;
  const end = steps.findIndex((step, i) => i > at && isWait(step));
  const before = steps.findIndex(isWait);
  const between = end >= 0 ? steps.slice(at, end) : [...steps.slice(at), ...steps.slice(0, Math.max(0, before))];
  return between.flatMap(launched(s));
}
const launched =
  (s: Schedule) =>
  (step: Step): string[] =>
    step.kind === "launch"
      ? [s.kernels[step.kernel]!.name]
      : step.kind === "loop"
        ? step.body.flatMap(launched(s))
        : [];

/** The first bands of rows; nothing where there is one stream only, so that nothing runs beside anything. */
function gantt(s: Schedule, width: number): readonly string[] {
  if (s.streams.length < 2) return [];
  const bands = printTimeline(s, undefined, width).split("\n\n");
  const shown = bands.slice(0, BANDS);
  const hidden = bands.length > BANDS ? ["", `and ${plural(bands.length - BANDS, "more band")}`] : [];
  return [...shown.join("\n\n").split("\n"), ...hidden];
}
const BANDS = 4;
