/**
 * `npm run bench`: workloads, all contenders on each in one run; what Gyre alone costs; ratios that are wanted. Prints
 * tables, and writes RESULTS.md where everything was measured with every peer there.
 *
 *   --only NAME…        workloads and costs: names, or how they begin
 *   --contender NAME…   contenders, likewise
 *   --quick             a few workloads, fewer samples
 *   --clock processor   time of processors in place of the clock on the wall, for a machine that is busy
 *   --resume FILE       keeps outcomes there, and does not measure again what it holds
 *   --json              outcomes as JSON in place of tables
 *   --list              what there is and what is missing; measures nothing
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { available, missing } from "./contenders/available.ts";
import { contenders } from "./contenders/table.ts";
import { accuracy } from "./costs/accuracy.ts";
import type { Row } from "./costs/cost.ts";
import { costs } from "./costs/table.ts";
import { flagsOf } from "./flags.ts";
import { kept, plain } from "./outcomes.ts";
import { type Limits, type Outcome, race } from "./race.ts";
import { page } from "./report.ts";
import { tooSlow } from "./slow.ts";
import { workloads } from "./workloads/table.ts";

const flags = flagsOf(process.argv.slice(2), {
  only: [...workloads.map(({ name }) => name), ...Object.keys(costs), "accuracy"],
  contender: contenders.map(({ name }) => name),
});
if (typeof flags === "string") {
  console.error(flags);
  process.exit(2);
}
const { only, contender, quick, json, list, clock, resume } = flags;
const asked = (name: string): boolean => only.length === 0 || only.some((start) => name.startsWith(start));
const chosenWorkloads = workloads.filter(({ name, quick: q }) => asked(name) && (!quick || only.length > 0 || q));
const chosenContenders = available(contenders).filter(
  ({ name }) => contender.length === 0 || contender.some((start) => name.startsWith(start)),
);
const absent = missing(contenders);

if (list) {
  console.log(`workloads\n  ${chosenWorkloads.map(({ name }) => name).join("\n  ")}`);
  console.log(`costs of Gyre alone\n  ${[...Object.keys(costs), "accuracy"].join("\n  ")}`);
  console.log(
    `contenders\n  ${chosenContenders.map(({ name, title, group }) => `${name}  ${title}, ${group}`).join("\n  ")}`,
  );
  if (absent) console.log(absent);
  process.exit(0);
}

const limits: Limits = quick
  ? { rounds: 3, budgetMs: 2_000, prepareMs: 90_000, runMs: 60_000, patienceMs: 4_000, clock }
  : { rounds: 9, budgetMs: 4_000, prepareMs: 120_000, runMs: 60_000, patienceMs: 15_000, clock };
const progress = (line: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
  else if (line.endsWith("gets ready")) process.stderr.write(`${line}\n`);
};

const results = new Map<string, ReadonlyMap<string, Outcome>>(kept(resume));
for (const workload of chosenWorkloads) {
  if (results.has(workload.name)) continue;
  const slow = new Map(
    chosenContenders.flatMap((c) => {
      const why = tooSlow(c, workload, results, limits.patienceMs);
      return why === undefined ? [] : [[c.name, { is: "too slow", why } as const]];
    }),
  );
  const racing = chosenContenders.filter(({ name }) => !slow.has(name));
  results.set(workload.name, new Map([...slow, ...(await race(workload, racing, limits, progress))]));
  if (resume !== undefined) writeFileSync(resume, JSON.stringify(plain(results)));
}

const rows: Row[] = [];
for (const [name, cost] of Object.entries(costs)) {
  if (!asked(name) || (quick && only.length === 0)) continue;
  progress(`${name} gets ready`);
  rows.push(...(await cost(limits.rounds)));
}
const errors = asked("accuracy") && !(quick && only.length === 0) ? await accuracy() : undefined;
progress("");

if (json) {
  console.log(JSON.stringify({ outcomes: plain(results), rows }, undefined, 2));
} else {
  const text = page(results, rows, errors, clock);
  console.log(text);
  if (absent) console.log(absent);
  const whole = only.length === 0 && contender.length === 0 && !quick && absent === undefined;
  if (whole) writeFileSync(fileURLToPath(new URL("RESULTS.md", import.meta.url)), text);
}
process.exit(0);
