/** Outcomes as tables: a table for each family of workloads and group of contenders, a column for each workload. */
import { versions } from "./contenders/available.ts";
import type { Contender, Group } from "./contenders/contender.ts";
import { contenders } from "./contenders/table.ts";
import type { Row } from "./costs/cost.ts";
import { machine } from "./machine.ts";
import { notes } from "./notes.ts";
import type { Clock, Results } from "./race.ts";
import { jaxRing, targets } from "./targets.ts";
import { workloads } from "./workloads/table.ts";
import type { Workload } from "./workloads/workload.ts";

const groups: Readonly<Record<Group, string>> = {
  webgpu: "WebGPU",
  "1 thread": "the processor, 1 thread",
  "2 threads": "the processor, 2 threads",
};

/** The whole of RESULTS.md. */
export function page(results: Results, rows: readonly Row[], errors: string | undefined, clock: Clock): string {
  const wanted = targetTable(results);
  const alone = rows.map(({ what, value, wanted = "" }) => [what, value, wanted]);
  const parts = [
    `# Measured\n\n${notes.about(machine(), versions(contenders), clock)}`,
    ...(wanted === "" ? [] : [`## Ratios that are wanted\n\n${wanted}\n\n${notes.bounds}`]),
    ...(results.size === 0 ? [] : [`## Workloads\n\n${notes.cells}\n\n${workloadTables(results)}`]),
    ...(rows.length === 0
      ? []
      : [`## What Gyre costs\n\n${notes.costs}\n\n${table(["what", "median", "wanted"], alone)}`]),
    ...(errors === undefined ? [] : [`## The error and the size of the ring\n\n${notes.accuracy}\n\n${errors}`]),
  ];
  return `${parts.join("\n\n")}\n`;
}

function workloadTables(results: Results): string {
  const measured = workloads.filter(({ name }) => results.has(name));
  const families = [...new Set(measured.map(({ family }) => family))];
  return families
    .map((family) => {
      const columns = measured.filter((w) => w.family === family);
      const tables = (Object.keys(groups) as Group[]).flatMap((group) => groupTable(results, columns, group));
      return `### ${family}\n\n${tables.join("\n\n")}`;
    })
    .join("\n\n");
}

/** No table where none of the group has anything to say. */
function groupTable(results: Results, columns: readonly Workload[], group: Group): readonly string[] {
  const ours = contenders.find((c) => c.group === group)!;
  const rows = contenders
    .filter((c) => c.group === group)
    .filter((c) => columns.some(({ name }) => (results.get(name)?.get(c.name)?.is ?? "not offered") !== "not offered"))
    .map((c) => [c.title, ...columns.map((w) => cell(w, c, ours, results)), worst(results, columns, c)]);
  const quoted = columns.map(({ name }) => jaxRing[name]);
  if (group === "2 threads" && quoted.some((ms) => ms !== undefined))
    rows.push(["JAX 0.10.2, the reference (quoted)", ...quoted.map((ms) => (ms === undefined ? "" : `${ms} ms`)), ""]);
  return rows.length === 0 ? [] : [table([groups[group], ...columns.map(({ title }) => title), "error"], rows)];
}

function cell(workload: Workload, contender: Contender, ours: Contender, results: Results): string {
  const outcome = results.get(workload.name)?.get(contender.name);
  switch (outcome?.is) {
    case "measured": {
      const own = results.get(workload.name)?.get(ours.name);
      const rate = `${digits(outcome.ms)} ms (${(workload.flops / outcome.ms / 1e6).toFixed(1)})`;
      if (contender === ours || own?.is !== "measured") return rate;
      return `${rate} ${(outcome.ms / own.ms).toFixed(2)} ×`;
    }
    case "wrong":
      return `**wrong**: ${outcome.error < 1e3 ? `${(100 * outcome.error).toPrecision(2)} %` : "not a number"}`;
    case "too slow":
    case "failed":
      return outcome.why;
    case "not offered":
      return "–";
    default:
      return "";
  }
}

/** The largest error over the columns. */
function worst(results: Results, columns: readonly Workload[], { name }: Contender): string {
  const errors = columns.flatMap((w) => {
    const outcome = results.get(w.name)?.get(name);
    return outcome?.is === "measured" ? [outcome.error] : [];
  });
  return errors.length === 0 ? "" : Math.max(...errors).toExponential(1);
}

function targetTable(results: Results): string {
  const rows = targets.flatMap(({ what, wanted, ratio }) => {
    const value = ratio(results);
    if (value === undefined) return [];
    const [sign, reached] =
      "atLeast" in wanted
        ? [`≥ ${wanted.atLeast}`, value >= wanted.atLeast]
        : [`≤ ${wanted.atMost}`, value <= wanted.atMost];
    return [[what, value.toFixed(2), sign, reached ? "yes" : "no"]];
  });
  return rows.length === 0 ? "" : table(["ratio", "measured", "wanted", "reached"], rows);
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

const digits = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));
