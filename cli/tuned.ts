/**
 * What `gyre tune` found, kept on disk: one file for each device, with a mapping for each kernel by its key. It counts for
 * the version of the compiler that wrote it; a file that cannot be read is left aside with a note, and written anew.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { MappingChoice } from "../compiler/lane/map.ts";
import { cacheRoot } from "../runtime/cache.ts";
import type { DeviceInfo } from "../runtime/device.ts";
import { writeAtomic } from "./files.ts";
import type { Io } from "./io.ts";
import { version } from "./version.ts";

/** `ms`: of a launch as it is mapped now; `before`: as the compiler maps it by itself. */
export type TunedKernel = {
  readonly name: string;
  readonly choice: MappingChoice;
  readonly ms: number;
  readonly before: number;
};
export type Tuned = Readonly<Record<string, TunedKernel>>;
type TunedFile = { readonly format: 1; readonly compiler: string; readonly device: string; readonly kernels: Tuned };

/** What a device is called in the cache: backend and adapter, and whether it has subgroups. */
export const deviceKey = ({
  backend,
  adapter,
  features,
}: Pick<DeviceInfo, "backend" | "adapter" | "features">): string =>
  `${backend} ${adapter}${features.subgroups ? ` subgroups ${features.subgroups.min}-${features.subgroups.max}` : ""}`;

export const tunedPath = (device: string, env: Io["env"]): string =>
  join(
    cacheRoot(env),
    "tuned",
    `${device
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")}.json`,
  );

/** What is known of a device; nothing where nothing was tuned. */
export function readTuned(device: string, io: Io): Tuned {
  const path = tunedPath(device, io.env);
  if (!existsSync(path)) return {};
  let found: unknown;
  try {
    found = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    found = undefined;
  }
  if (!isTunedFile(found)) {
    io.err(`note: ${path} is damaged and left aside; \`gyre tune\` writes it anew\n`);
    return {};
  }
  return found.compiler === version() && found.device === device ? found.kernels : {};
}

export function writeTuned(device: string, kernels: Tuned, io: Io): string {
  const path = tunedPath(device, io.env);
  const all: TunedFile = { format: 1, compiler: version(), device, kernels };
  writeAtomic(path, `${JSON.stringify(all, null, 2)}\n`);
  return path;
}

/** As the compiler takes them. */
export const mappingsOf = (tuned: Tuned): Readonly<Record<string, MappingChoice>> =>
  Object.fromEntries(Object.entries(tuned).map(([key, { choice }]) => [key, choice]));

const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null && !Array.isArray(x);
function isTunedFile(x: unknown): x is TunedFile {
  if (!isRecord(x) || x.format !== 1 || typeof x.compiler !== "string" || typeof x.device !== "string") return false;
  return isRecord(x.kernels) && Object.values(x.kernels).every(isTunedKernel);
}
function isTunedKernel(x: unknown): boolean {
  if (!isRecord(x) || typeof x.name !== "string" || typeof x.ms !== "number" || typeof x.before !== "number")
    return false;
  const { choice } = x;
  const team = isRecord(choice) ? choice.team : undefined;
  if (team !== undefined && team !== null && !(isRecord(team) && Object.values(team).every(Number.isSafeInteger)))
    return false;
  return (
    isRecord(choice) && typeof choice.spread === "boolean" && Array.isArray(choice.axes) && choice.axes.every(isAxis)
  );
}
const isAxis = (a: unknown): boolean =>
  isRecord(a) && typeof a.axis === "string" && [a.block, a.lanes, a.unroll].every((n) => Number.isSafeInteger(n));
