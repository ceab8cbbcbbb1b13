/** `gyre inspect --stage`: each stage of the compiler as text, and as JSON. */
import type { Compiled } from "../compiler/compile.ts";
import { print as printCore } from "../compiler/core/print.ts";
import { printSchedule } from "../compiler/schedule/print.ts";

/** Stages that come after the Ast. */
const stages = ["core", "grad", "device", "kernels", "schedule"] as const;
export type Stage = (typeof stages)[number];

/** A stage for people. */
export async function stageText(c: Compiled, stage: Stage): Promise<string> {
  switch (stage) {
    case "core":
      return printCore(c.written);
    case "grad":
      return printCore(c.program);
    case "device":
      return printCore(c.device);
    case "kernels":
      return kernelsText(c);
    case "schedule":
      return printSchedule(c.schedule);
  }
}

/** A stage for tools. */
export function stageJson(c: Compiled, stage: Stage | undefined): object {
  switch (stage) {
    case "core":
      return { stage, text: printCore(c.written) };
    case "grad":
      return { stage, text: printCore(c.program) };
    case "device":
      return { stage, text: printCore(c.device) };
    case "kernels":
      return c.kernels.map(({ code: _, ...kernel }, i) => ({ ...kernel, notes: c.lanes[i]!.notes }));
    case "schedule":
    case undefined:
      return c.schedule;
  }
}

/** Each kernel as a Tile program, and as text, which says how it was mapped and what is known of its masks. */
async function kernelsText(c: Compiled): Promise<string> {
  const { printKernel } = await import("../compiler/tile/print.ts");
  return c.tile.kernels
    .map((kernel, i) => `${printKernel(kernel).trimEnd()}\n\n${c.kernels[i]!.text.trimEnd()}`)
    .join("\n\n");
}
