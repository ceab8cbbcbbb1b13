/**
 * The software adapter, for tests and for those who ask for it: it comes with npm packages alone, one of which only a clone
 * of the repository installs by itself.
 *
 * `@sparticuz/chromium` carries SwiftShader, a Vulkan driver for CPUs, as `bin/swiftshader.tar.br`: brotli over tar,
 * with the driver (`libvk_swiftshader.so`) and a Vulkan loader (`libvulkan.so.1`). It is unpacked once into a cache
 * folder of the user. The loader finds the driver through an ICD file with an absolute path, named by an environment
 * variable of *this process*; and Dawn finds the loader because it is loaded first, with its symbols global.
 */

import { mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { cacheRoot } from "../cache.ts";
import { fail, GyreRuntimeError } from "../errors.ts";
import { makeFolder } from "../folder.ts";

const PACKAGE = "@sparticuz/chromium";
const LOADER = "libvulkan.so.1";
const DRIVER = "libvk_swiftshader.so";
const ICD = "gyre_icd.json";

/** Why this machine cannot have the bundled software adapter, or `undefined` where it can. */
function softwareAdapterMissing(): string | undefined {
  if (process.platform === "linux" && process.arch === "x64") return undefined;
  return `the bundled software adapter is built for Linux x64, not for ${process.platform} ${process.arch}`;
}

let loaded: Promise<string> | undefined;
/** The loader is held here: koffi unloads a library when its handle is collected. */
const held: unknown[] = [];

/** Whether `loadSoftwareDriver` was called in this process. */
export const softwareDriverLoaded = (): boolean => loaded !== undefined;

/**
 * Makes the software driver the Vulkan driver of this process, and returns the folder it lies in. To be called before
 * the WebGPU instance that is to see it is created. Errors: kind `no-device`.
 */
export function loadSoftwareDriver(): Promise<string> {
  loaded ??= load().catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function load(): Promise<string> {
  const missing = softwareAdapterMissing();
  if (missing !== undefined) fail("no-device", missing, "use a machine with a GPU, or `--backend reference`");
  const folder = await unpacked();
  process.env.VK_ICD_FILENAMES = join(folder, ICD);
  process.env.VK_DRIVER_FILES = join(folder, ICD);
  try {
    const koffi = await import("koffi");
    held.push(koffi.load(join(folder, LOADER), { global: true }));
  } catch (cause) {
    fail(
      "no-device",
      `the Vulkan loader ${join(folder, LOADER)} could not be loaded (${String(cause)})`,
      "delete that folder and try again, and install again with `npm ci`",
      cause,
    );
  }
  return folder;
}

/** The folder with driver, loader and ICD file; unpacks it where this version of the package was never unpacked. */
async function unpacked(): Promise<string> {
  let archive: string;
  let version: string;
  try {
    // The package exports no path but its main file, build/<kind>/index.*; the archive lies beside `build`.
    const main = createRequire(import.meta.url).resolve(PACKAGE);
    const home = dirname(dirname(dirname(main)));
    archive = join(home, "bin", "swiftshader.tar.br");
    version = (JSON.parse(await readFile(join(home, "package.json"), "utf8")) as { version: string }).version;
  } catch (cause) {
    fail(
      "no-device",
      `the package ${PACKAGE}, which carries the software adapter, is missing`,
      "`npm install @sparticuz/chromium` adds it; `--backend cpu` needs no adapter and is faster",
      cause,
    );
  }
  const problems: string[] = [];
  for (const root of [cacheRoot(), join(tmpdir(), `gyre-cache-${process.getuid?.() ?? "user"}`)]) {
    const folder = join(root, `swiftshader-${version}`);
    try {
      makeFolder(root, 0o700);
      // A driver is code: take it from no folder that another user may have filled.
      if ((await stat(root)).uid !== (process.getuid?.() ?? 0)) throw new Error(`${root} belongs to another user`);
      if (!(await isComplete(folder))) await unpackTo(archive, root, folder);
      return folder;
    } catch (cause) {
      if (cause instanceof GyreRuntimeError) throw cause;
      problems.push(String(cause)); // a home that cannot be written: try the temporary folder
    }
  }
  return fail(
    "no-device",
    `the software adapter could not be unpacked (${problems.join("; ")})`,
    "set GYRE_CACHE to a folder that can be written",
  );
}

async function isComplete(folder: string): Promise<boolean> {
  // The folder appears under its name only when whole (see `unpackTo`); the ICD file is the last to be written.
  return stat(join(folder, ICD)).then(
    (entry) => entry.isFile(),
    () => false,
  );
}

/** Unpacks into a fresh folder beside `folder` and renames: another process sees all of it or nothing. */
async function unpackTo(archive: string, root: string, folder: string): Promise<void> {
  const packed = await readFile(archive).catch((cause) =>
    fail("no-device", `${archive} cannot be read`, "install again with `npm ci`", cause),
  );
  const tar = await promisify(brotliDecompress)(packed);
  const draft = await mkdtemp(join(root, "unpacking-"));
  try {
    for (const file of readTar(tar)) {
      const name = basename(file.name);
      if (name === DRIVER || name === LOADER) await writeFile(join(draft, name), file.data, { mode: 0o755 });
    }
    // The path in the ICD file is the final one.
    const icd = { file_format_version: "1.0.0", ICD: { library_path: join(folder, DRIVER), api_version: "1.1.0" } };
    await writeFile(join(draft, ICD), JSON.stringify(icd, null, 2));
    for (const file of [DRIVER, LOADER]) await stat(join(draft, file));
    await rename(draft, folder).catch(async (error) => {
      if (!(await isComplete(folder))) throw error; // else another process was first: its folder is as good
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

export type TarFile = { readonly name: string; readonly data: Uint8Array };

/**
 * The regular files of a tar archive (POSIX ustar): blocks of 512 bytes, a header for each file (name at 0, size in
 * octal at 124, type at 156, name prefix at 345), then its bytes, padded to whole blocks. An empty header ends it.
 */
export function readTar(tar: Uint8Array): TarFile[] {
  const text = (from: number, length: number) => {
    const field = tar.subarray(from, from + length);
    const end = field.indexOf(0);
    return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("utf8");
  };
  const files: TarFile[] = [];
  let at = 0;
  while (at + 512 <= tar.length && tar[at] !== 0) {
    const size = Number.parseInt(text(at + 124, 12).trim() || "0", 8);
    if (!Number.isFinite(size) || at + 512 + size > tar.length) {
      fail("no-device", "the archive of the software adapter is damaged", "install again with `npm ci`");
    }
    const type = String.fromCharCode(tar[at + 156] ?? 0);
    const prefix = text(at + 257, 5) === "ustar" ? text(at + 345, 155) : "";
    if (type === "0" || type === "\0") {
      files.push({
        name: (prefix === "" ? "" : `${prefix}/`) + text(at, 100),
        data: tar.subarray(at + 512, at + 512 + size),
      });
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
