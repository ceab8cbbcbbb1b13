/** What backends refuse alike. */
import type { DeviceInfo } from "./device.ts";
import { fail, formatBytes } from "./errors.ts";

export const OUT_OF_MEMORY_HELP = "use a larger mesh (`--mesh`), smaller dimensions, or a smaller dtype";
export const REPORT = "this is a bug of Gyre: please report it with the program that shows it";

export function bug(message: string): never {
  return fail("internal", message, REPORT);
}

export function limit(info: DeviceInfo, message: string, most: number): never {
  return fail(
    "limit",
    `${message}; ${info.adapter} allows at most ${formatBytes(most)} for one array on one device`,
    "split that array over more devices (a larger `--mesh`), or use smaller dimensions",
  );
}

/** Of what was thrown, or said. */
export const firstLine = (said: unknown): string =>
  (said instanceof Error ? said.message : String(said)).trim().split("\n")[0] ?? "";
