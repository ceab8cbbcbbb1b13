/** `--memory`: what does not fit, as a diagnostic with numbers, and what would make it fit. */
import type { Diagnostic } from "../compiler/base/diagnostic.ts";
import { type Machine, usualMachine } from "../compiler/base/machine.ts";
import { report } from "../compiler/base/messages.ts";
import type { Schedule } from "../compiler/schedule/schedule.ts";
import { remedies } from "../planner/remedies.ts";
import { entryFlags, sourceOf } from "./program.ts";
import type { ProgramFlags } from "./shared.ts";
import { readSource } from "./sources.ts";
import { humanBytes } from "./text.ts";

/** Milliseconds for finding out what would fit. */
const PATIENCE = 15_000;

/** Nothing where the schedule fits, or no limit was given. */
export function overLimit(
  path: string,
  flags: ProgramFlags,
  schedule: Schedule,
  machine: Machine = usualMachine,
): readonly Diagnostic[] {
  const limit = flags.memory;
  if (limit === undefined || schedule.memory.bytes <= limit) return [];
  const source = sourceOf(path);
  const at = Math.max(0, source.text.search(new RegExp(`(?<=shard_map\\s+)${schedule.name}\\b`)));
  const parts = schedule.memory.parts
    .slice(0, 4)
    .map((p) => `${schedule.buffers[p.buffer]!.name} ${humanBytes(p.bytes)}`);
  const question = { path, read: readSource, machine, memory: limit };
  const fits = remedies(question, entryFlags(flags), performance.now() + PATIENCE);
  return [
    report(
      "GY8201",
      { source, start: at, end: at + schedule.name.length },
      {
        entry: schedule.name,
        needs: humanBytes(schedule.memory.bytes),
        limit: humanBytes(limit),
        parts,
        more: Math.max(0, schedule.memory.parts.length - parts.length),
        fits: fits.map((r) => ({ flags: r.flags, bytes: humanBytes(r.bytes) })),
      },
    ),
  ];
}
