/** Folders on the way to a file. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Makes a folder and what lies above it; nothing where it is there. One by one: `mkdir` with `recursive` does not return
 * where a file system takes no new folders, as /proc does. Errors: those of mkdir, as ENOTDIR where a part is a file.
 */
export function makeFolder(path: string, mode?: number): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at) && at !== dirname(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) {
    try {
      mkdirSync(folder, { mode });
    } catch (error) {
      // Another process may have made it meanwhile.
      if (!(existsSync(folder) && statSync(folder).isDirectory())) throw error;
    }
  }
}
