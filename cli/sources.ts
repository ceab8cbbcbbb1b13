/** The compiler's eyes: it asks for a module by path, and gets text. Standard library: the folder stdlib/ of the package. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Exchangeable } from "../compiler/core/elaborate/choices.ts";

const stdlib = fileURLToPath(new URL("../stdlib/", import.meta.url));

/**
 * The text of a module, or undefined where there is none: a path of the file system, or `gyre/NAME` of the standard
 * library; for `gyre`, the names of its modules. Text that is not UTF-8 counts as absent.
 */
export function readSource(path: string): string | undefined {
  if (path === "gyre")
    return readdirSync(stdlib)
      .flatMap((file) => /^([\w-]+)\.gyre$/.exec(file)?.[1] ?? [])
      .join("\n");
  const [, name] = /^gyre\/([\w-]+)$/.exec(path) ?? [];
  const file = name === undefined ? path : `${stdlib}${name}.gyre`;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch {
    return undefined;
  }
}

/** The functions of the standard library that give the same (stdlib/exchangeable.json), a list for each thing that they give. */
export const exchangeableGroups = (): readonly (readonly Exchangeable[])[] =>
  (
    JSON.parse(readFileSync(`${stdlib}exchangeable.json`, "utf8")) as { readonly functions: readonly Exchangeable[] }[]
  ).map((group) => group.functions);
