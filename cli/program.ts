/** From a file and flags to a compiled program; the errors of the program end here. */

import type { Diagnostic } from "../compiler/base/diagnostic.ts";
import { isError } from "../compiler/base/diagnostic.ts";
import type { Source } from "../compiler/base/source.ts";
import { readText } from "./files.ts";

/** The file that a command was given. Errors: it cannot be read (exit 1). */
export const sourceOf = (path: string): Source => ({ path, text: readText(path) });

/** All diagnostics of a file and of what it imports. */
export async function checkFile(path: string): Promise<readonly Diagnostic[]> {
  const { parse } = await import("../compiler/syntax/parse.ts");
  return parse(sourceOf(path)).diagnostics;
}

export const anyError = (all: readonly Diagnostic[]): boolean => all.some(isError);
