/** Outcomes as JSON, for programs and for a run that goes on where another ended. */
import { existsSync, readFileSync } from "node:fs";
import type { Outcome, Results } from "./race.ts";

type Plain = Readonly<Record<string, Readonly<Record<string, Outcome>>>>;

/** By workload, then by contender. */
export const plain = (results: Results): Plain =>
  Object.fromEntries([...results].map(([name, all]) => [name, Object.fromEntries(all)]));

/** What a file of outcomes holds; nothing where there is none yet. */
export function kept(file: string | undefined): Results {
  if (file === undefined || !existsSync(file)) return new Map();
  const outcomes = JSON.parse(readFileSync(file, "utf8")) as Plain;
  return new Map(Object.entries(outcomes).map(([name, all]) => [name, new Map(Object.entries(all))]));
}
