/** Reading and writing files, with a sentence where it does not work. */
import { randomBytes } from "node:crypto";
import { fstatSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "../runtime/folder.ts";
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

/** What a JSON file holds. Errors as in `readText`, and where it is not JSON, with `how` to come by one. */
export function readJson(path: string, how: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrong(`${path} is not JSON: ${(error as SyntaxError).message}`, how);
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
  writing(path, () => {
    makeFolder(dirname(path));
    const draft = draftOf(path);
    writeFileSync(draft, data);
    publish(draft, path);
  });
}

const drafts = new Set<string>();
/** Those of other processes. */
const shared = new Set<string>();
process.on("exit", () => {
  for (const draft of [...drafts, ...shared]) rmSync(draft, { force: true });
});

/** A name for `path` while it is being written. What is not published is removed when the process ends. */
export function draftOf(path: string): string {
  const draft = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  drafts.add(draft);
  return draft;
}

/** For a draft that several processes write and one publishes: until that is done, it is removed when any of them ends. */
export const shareDraft = (draft: string): void => void shared.add(draft);
export const releaseDraft = (draft: string): void => void shared.delete(draft);

/** Gives a draft its name. */
export function publish(draft: string, path: string): void {
  renameSync(draft, path);
  drafts.delete(draft);
}

/** Does `action`, which writes `path`. Errors: exit 3; then no draft is left. */
export function writing<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    for (const draft of drafts) rmSync(draft, { force: true });
    throw cannot(`cannot write ${path}: ${reason(error)}`, "choose another place, or free some space");
  }
}

/** An open file: its size, and any stretch of it, where it is a file and no pipe. Errors as in `readText`. */
export function openFile(path: string): {
  readonly isFile: boolean;
  readonly size: number;
  readonly read: (start: number, bytes: number) => Uint8Array;
} {
  try {
    const file = openSync(path, "r");
    const read = (start: number, bytes: number) => {
      const into = new Uint8Array(bytes);
      let at = 0;
      while (at < bytes) {
        const got = readSync(file, into, at, bytes - at, start + at);
        if (got === 0) break;
        at += got;
      }
      return into.subarray(0, at);
    };
    const about = fstatSync(file);
    return { isFile: about.isFile(), size: about.size, read };
  } catch (error) {
    throw wrong(`cannot read ${path}: ${reason(error)}`);
  }
}

/** Makes sure before long work that results can be written into `folder`. Errors: exit 2. */
export function prepareFolder(folder: string): void {
  try {
    makeFolder(folder);
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
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be larger than is allowed",
  EMFILE: "too many files are open",
};

function reason(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return (code && REASONS[code]) ?? String(message ?? error).split("\n")[0]!;
}
