/** Writes the page that shows a compiled program and, where it ran, what was measured. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Compiled } from "../compiler/compile.ts";
import { collect } from "../inspector/collect/collect.ts";
import { measuredOf } from "../inspector/collect/measured.ts";
import { pageHtml } from "../inspector/html.ts";
import type { TraceEvent } from "../runtime/trace.ts";
import { cannot } from "./exit.ts";
import { writeAtomic } from "./files.ts";
import { machineNames, machineOf } from "./machines.ts";
import { sourceOf } from "./program.ts";

/** A run: its events, the names of the devices by mesh position, and where it was, in words. */
export type RunRecord = {
  readonly events: readonly TraceEvent[];
  readonly devices: readonly string[];
  readonly where: string;
};

/** The machine on which the page predicts a schedule at first. */
const FIRST_MACHINE = "h100-nvlink8";

/** Writes the page of the program in `file` to `path`. Errors: it cannot be written, the page's script was not built (exit 3). */
export function writeReport(path: string, file: string, compiled: Compiled, run?: RunRecord): void {
  const measured = run && run.events.length > 0 ? measuredOf(run.events, run.devices, run.where) : undefined;
  const names = [FIRST_MACHINE, ...machineNames().filter((name) => name !== FIRST_MACHINE)];
  const machines = names.flatMap((name) => machineOf(name).machine ?? []);
  const data = collect(sourceOf(file), compiled, machines, measured);
  const packed = gzipSync(JSON.stringify(data)).toString("base64");
  writeAtomic(path, pageHtml(compiled.schedule.name, packed, pageScript()));
}

/** The page's code, which `npm run build` bundles; the path is right from the sources and from dist/. */
function pageScript(): string {
  const built = fileURLToPath(new URL("../dist/inspector.js", import.meta.url));
  if (!existsSync(built)) throw cannot("the script of the page is missing", "`npm run build` makes it");
  return readFileSync(built, "utf8");
}
