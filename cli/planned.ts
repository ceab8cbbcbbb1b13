/** What the planner found, for people and as JSON: ways by rank, why the first is first, what cannot be used, how to use it. */
import { positionAt } from "../compiler/base/source.ts";
import type { Found } from "../compiler/core/elaborate/choices.ts";
import type { Signature } from "../compiler/core/elaborate.ts";
import { balanceOf, type Candidate, type Cannot, type Question, type Runs } from "../planner/candidate.ts";
import type { Plan } from "../planner/search.ts";
import { writtenLayouts } from "../planner/space.ts";
import { percent, time } from "../planner/text.ts";
import { type Aspect, losesBy, type Reason, reasons, words } from "../planner/why.ts";
import type { Colors } from "./io.ts";
import type { ProgramFlags } from "./shared.ts";
import { columns, humanBytes, plural } from "./text.ts";

/** The flags of `gyre plan`. `limit` is in seconds. */
export type PlanOptions = ProgramFlags & {
  readonly machine: string;
  readonly nodes?: number;
  readonly devices?: number;
  readonly limit: number;
  readonly top: number;
};

// --- How to use it ---------------------------------------------------------------------------------------------------

/** The flags of `gyre run`, `build`, `inspect` and `simulate` that make a way the way. */
export function flagsOf({ mesh, splits, layouts, exchanges, policy }: Candidate, options: PlanOptions): string {
  const list = (all: readonly (readonly [string, unknown])[]) => all.map(([name, x]) => `${name}=${x}`).join(",");
  const whole = Object.entries(mesh).filter(([axis]) => !splits[axis]);
  const parts = Object.entries(splits).map(([axis, sizes]) => [axis, sizes.join("x")] as const);
  return [
    ...(options.entry ? [`--entry ${options.entry}`] : []),
    ...(whole.length > 0 ? [`--mesh ${list(whole)}`] : []),
    ...(parts.length > 0 ? [`--split ${list(parts)}`] : []),
    ...(Object.keys(layouts).length > 0 ? [`--layout ${list(Object.entries(layouts))}`] : []),
    ...(Object.keys(exchanges).length > 0 ? [`--use ${list(Object.entries(exchanges))}`] : []),
    ...(policy ? [`--remat ${policy}`] : []),
    ...(options.dims ? [`--dims ${list(Object.entries(options.dims))}`] : []),
  ].join(" ");
}

/** What to change in the source so that the flags are not needed: a line for each place. */
function edits(q: Question, signature: Signature, found: Found | undefined, c: Candidate): readonly string[] {
  const calls = (found?.calls ?? []).flatMap(({ name, span }) => {
    const other = c.exchanges[name];
    if (other === undefined) return [];
    const { line } = positionAt(span.source, span.start);
    const group = q.exchangeable.find((g) => g.some((f) => f.name === name))!;
    const axes = (of: string): readonly string[] => group.find((f) => f.name === of)!.axes;
    const renamed = axes(other).length === axes(name).length ? "" : `, over the axes ${axes(other).join(", ")}`;
    return [`${span.source.path}:${line}  call ${other} in the place of ${name}${renamed}`];
  });
  const specs = Object.entries(c.layouts).flatMap(([dim, layout]) => {
    const ports = [
      ...signature.inputs.map((p) => ({ p, name: p.path })),
      ...signature.outputs.map((p) => ({ p, name: p.path || "the result" })),
    ].flatMap(({ p, name }) =>
      p.written.some((d, i) => d === dim && p.spec[i]!.axes.length > 0 && p.spec[i]!.layout !== layout) ? [name] : [],
    );
    return ports.length > 0 ? [`specs of ${ports.join(", ")}: ${dim} lies ${layout}`] : [];
  });
  return [...new Set([...calls, ...specs])];
}

// --- For people ------------------------------------------------------------------------------------------------------

export function describePlan(
  file: string,
  q: Question,
  signature: Signature,
  { best, ran, cannot, found, tried, cut }: Plan,
  options: PlanOptions,
  c: Colors,
): string {
  const nodes = Math.ceil(q.devices / q.machine.devicesPerNode);
  const asWritten = (aspect: Aspect): string => written(aspect, signature, found);
  const title = `${c.bold(signature.name)} on ${plural(q.devices, "device")} of ${c.bold(q.machine.name)} in ${plural(nodes, "node")}, ${humanBytes(q.memory)} each: ${plural(tried, "way")} tried${cut ? ", and then the time was up (--limit)" : ""}`;
  const [first] = best;
  const rows = best.map((o, i) => [
    `${i + 1}`,
    time(o.seconds),
    o.exposed.most > 0 ? time(o.exposed.most) : "hidden",
    percent(balanceOf(o)),
    humanBytes(o.bytes),
    ...shown(best, asWritten).map((aspect) => words[aspect](o.candidate) || asWritten(aspect)),
  ]);
  const head = ["", "time", "transfers", "balance", "memory", ...shown(best, asWritten)].map((x) => c.dim(x));
  const why = first ? reasons([first, ...ran.filter((o) => o !== first)], asWritten) : [];
  return [
    title,
    ...(best.length > 0 ? ["", ...columns([head, ...rows], [0]).map((line) => `  ${line}`)] : []),
    ...section(`why ${c.bold("1")} is first`, whyLines(why, best), c),
    ...section("cannot be used", cannotLines(cannot, asWritten), c),
    ...(first
      ? section(
          "to use it",
          [
            `gyre run ${file} ${flagsOf(first.candidate, options)}`,
            ...sourceLines(edits(q, signature, found, first.candidate)),
          ],
          c,
        )
      : []),
  ].join("\n");
}

/** The choices in which the ways differ, and the mesh. */
const shown = (best: readonly Runs[], asWritten: (aspect: Aspect) => string): readonly Aspect[] =>
  (Object.keys(words) as Aspect[]).filter(
    (aspect) =>
      aspect === "mesh" ||
      new Set(best.map((o) => words[aspect](o.candidate) || asWritten(aspect))).size > 1 ||
      asWritten(aspect) !== "as written",
  );

/** What stands in the source. */
function written(aspect: Aspect, signature: Signature, found: Found | undefined): string {
  if (aspect === "function") {
    const names = [...new Set((found?.calls ?? []).map((call) => call.name))];
    return names.length > 0 ? names.join(", ") : "as written";
  }
  if (aspect === "policy") return found?.policies.join(", ") || "as written";
  if (aspect === "layout" && found?.positions) {
    const lies = [...writtenLayouts(signature)].flatMap(([dim, all]) => [...all].map((layout) => `${dim}=${layout}`));
    return lies.join(",") || "as written";
  }
  return "as written";
}

const section = (title: string, lines: readonly string[], c: Colors): readonly string[] =>
  lines.length === 0 ? [] : ["", c.bold(title), ...lines.map((line) => `  ${line}`)];

function whyLines(why: readonly Reason[], best: readonly Runs[]): readonly string[] {
  if (best.length === 0) return [];
  if (why.length === 0)
    return best.length > 1 ? [`the second: ${losesBy(best[0]!, best[1]!)}`] : ["nothing else can be used"];
  return why.flatMap(({ aspect, has, others }) => [
    `${aspect}: ${has}`,
    ...columns(others.map((o) => [o.has, o.losesBy])).map((line) => `  ${line}`),
  ]);
}

/** Reasons, each once, with the ways that it holds for. */
function cannotLines(all: readonly Cannot[], asWritten: (aspect: Aspect) => string): readonly string[] {
  const groups = new Map<string, string[]>();
  for (const { candidate, why } of all) {
    const name = (Object.keys(words) as Aspect[])
      .map((aspect) => words[aspect](candidate) || (aspect === "function" ? asWritten(aspect) : ""))
      .filter((x) => x !== "" && x !== "as written")
      .join(" ");
    const known = groups.get(why) ?? [];
    known.push(name);
    groups.set(why, known);
  }
  const lines = [...groups].map(
    ([why, names]) =>
      `${names.slice(0, 2).join("; ")}${names.length > 2 ? ` and ${names.length - 2} more` : ""}: ${why}`,
  );
  const rest = lines.length - SHOWN;
  return rest > 0 ? [...lines.slice(0, SHOWN), `and ${plural(rest, "more reason")}; --json has all`] : lines;
}
const SHOWN = 10;

const sourceLines = (lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : ["or in the source:", ...lines.map((line) => `  ${line}`)];

// --- For programs ----------------------------------------------------------------------------------------------------

export function planJson(q: Question, { best, cannot, tried, cut }: Plan, options: PlanOptions): unknown {
  return {
    machine: q.machine.name,
    devices: q.devices,
    memoryLimit: q.memory,
    tried,
    cut,
    best: best.map((o) => ({
      ...o.candidate,
      flags: flagsOf(o.candidate, options),
      seconds: o.seconds,
      balance: balanceOf(o),
      busy: o.busy,
      exposed: o.exposed,
      late: o.late,
      bytes: o.bytes,
      ...(o === best[0] ? {} : { losesBy: losesBy(best[0]!, o) }),
    })),
    cannot: cannot.map((o) => ({ ...o.candidate, flags: flagsOf(o.candidate, options), why: o.why })),
  };
}
