/** Machine files: by name from the folder machines/ of the package, or a user's own by path. */
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Diagnostic } from "../compiler/base/diagnostic.ts";
import { type Machine, readMachine } from "../compiler/schedule/machine.ts";
import type { Links } from "../runtime/transport/link.ts";
import { usage } from "./exit.ts";
import { readText } from "./files.ts";
import { type LinkFlag, nearest } from "./flags.ts";

const folder = fileURLToPath(new URL("../machines/", import.meta.url));

/** The names of the machines that come with the package, sorted. */
export const machineNames = (): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => basename(name, ".json"))
    .sort();

/**
 * The machine of `--machine`: a name, or what ends in `.json` or has a slash, a path. A machine without a name is called
 * after its file. Errors: no such name (exit 2), the file cannot be read (exit 1).
 */
export function machineOf(nameOrPath: string): {
  readonly machine?: Machine;
  readonly diagnostics: readonly Diagnostic[];
} {
  const isPath = nameOrPath.endsWith(".json") || nameOrPath.includes("/");
  const names = machineNames();
  if (!isPath && !names.includes(nameOrPath)) {
    const near = nearest(nameOrPath, names);
    throw usage(
      `there is no machine called ${nameOrPath}${near ? ` (did you mean ${near}?)` : ""}`,
      `there are ${names.join(", ")}; a file of your own is given by its path, as in ./mine.json`,
    );
  }
  const path = isPath ? nameOrPath : `${folder}${nameOrPath}.json`;
  const { machine, diagnostics } = readMachine({ path, text: readText(path) });
  if (!machine) return { diagnostics };
  return { machine: { ...machine, name: machine.name || basename(path, ".json") }, diagnostics };
}

/** The links of `--link`: between any two devices the same, or those of a machine; or what is wrong with its file. */
export function linksOf(flag: LinkFlag): { readonly links?: Links; readonly diagnostics: readonly Diagnostic[] } {
  if ("machine" in flag) {
    const { machine, diagnostics } = machineOf(flag.machine);
    return { ...(machine ? { links: machine } : {}), diagnostics };
  }
  const between = { ...flag, duplex: true, shared: true };
  return { links: { devicesPerNode: 1, links: { between } }, diagnostics: [] };
}
