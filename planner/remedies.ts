/** What would make a program fit into memory: a policy, or more devices along one axis; each tried, with what it takes then. */
import { isError } from "../compiler/base/diagnostic.ts";
import { scheduleProgram } from "../compiler/compile.ts";
import type { Choices } from "../compiler/core/elaborate/choices.ts";
import { type EntryOptions, elaborateEntry, entrySignature } from "../compiler/core/elaborate.ts";
import type { Policy } from "../compiler/core/ir.ts";
import type { Question } from "./candidate.ts";
import { usedAxes } from "./space.ts";

export type Remedy = { readonly flags: string; readonly bytes: number };

/** Remedies under which the program fits; nothing is tried after `until` (as of performance.now()). */
export function remedies(
  q: Pick<Question, "path" | "read" | "machine" | "memory">,
  entry: EntryOptions,
  until: number,
): readonly Remedy[] {
  const { signature } = entrySignature(q.path, q.read, entry);
  const { program, found } = elaborateEntry(q.path, q.read, { ...entry, choices: entry.choices ?? {} });
  if (!signature || !program) return [];
  const tried = (change: Partial<EntryOptions>): number | undefined => {
    if (performance.now() > until) return undefined;
    const made = elaborateEntry(q.path, q.read, { ...entry, ...change });
    if (!made.program || made.diagnostics.some(isError)) return undefined;
    const bytes = scheduleProgram(made.program, { machine: q.machine, memory: q.memory }).schedule?.memory.bytes;
    return bytes !== undefined && bytes <= q.memory ? bytes : undefined;
  };
  const choices = (more: Choices): Partial<EntryOptions> => ({ choices: { ...entry.choices, ...more } });
  const policies = ORDER.slice(0, ORDER.length - 1).filter((p) =>
    found?.policies.some((is) => ORDER.indexOf(p) < ORDER.indexOf(is)),
  );
  const less = policies.flatMap((policy): Remedy[] => {
    const bytes = tried(choices({ policy }));
    return bytes === undefined ? [] : [{ flags: `--remat ${policy}`, bytes }];
  });
  const used = usedAxes(program);
  const more = signature.mesh.axes.flatMap(({ name, size }): Remedy[] => {
    if (size === undefined || !used.has(name) || entry.choices?.splits?.[name]) return [];
    for (const times of [2, 4, 8, 16, 32]) {
      const bytes = tried({ meshSizes: { ...entry.meshSizes, [name]: size * times } });
      if (bytes !== undefined) return [{ flags: `--mesh ${name}=${size * times}`, bytes }];
    }
    return [];
  });
  return [...less, ...more];
}
/** From what stores least to what stores most. */
const ORDER: readonly Policy[] = ["nothing_saveable", "dots_saveable", "everything_saveable"];
