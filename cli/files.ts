/** Reading and writing files, with a sentence where it does not work. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { cannot, Stop, wrong } from "./exit.ts";

/** A file's text. Errors: it is not there, a folder, unreadable, or not UTF-8 (exit 1). */
export function readText(path: string): string {
  const bytes = readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw wrong(`${path} is not UTF-8 text`, "save the file as UTF-8");
  }
}

/** A file's bytes. Errors as in `readText`. */
export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw wrong(`cannot read ${path}: ${reason(error)}`);
  }
}

/**
 * Writes a file so that others see the old one or the whole new one, never a part: into a temporary file beside it,
 * then renamed. Makes the folders on the way. Errors: exit 3.
 */
export function writeAtomic(path: string, data: string | Uint8Array): void {
  const draft = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(draft, data);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw cannot(`cannot write ${path}: ${reason(error)}`, "choose another place, or free some space");
  }
}

/** Makes sure before long work that results can be written into `folder`. Errors: exit 2. */
export function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    if (!statSync(folder).isDirectory()) throw new Error("it is a file");
  } catch (error) {
    if (error instanceof Stop) throw error;
    throw new Stop(2, `cannot write into ${folder}: ${reason(error)}`, "give --out a folder that can be written");
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is a file",
  EEXIST: "it is a file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
  EMFILE: "too many files are open",
};

function reason(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return (code && REASONS[code]) ?? String(message ?? error).split("\n")[0]!;
}
