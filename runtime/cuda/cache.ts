/**
 * Compiled kernels on disk, by what they were made from: text, architecture, compiler and its version. They lie in the
 * user's cache folder (`GYRE_CUDA_CACHE`, else `GYRE_CACHE` names another); one that cannot be written costs compile time only.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheRoot } from "../cache.ts";
import { makeFolder } from "../folder.ts";
import { cudaCompiler } from "./compiler.ts";

/** The cubin of a text for an architecture. Errors: `no-device` where nothing compiles it, `shader` where it is refused. */
export async function cubinOf(text: string, arch: string): Promise<Uint8Array> {
  const { name, compile } = await cudaCompiler();
  const key = createHash("sha256").update(`${name}\n${arch}\n${text}`).digest("hex");
  const folder = process.env.GYRE_CUDA_CACHE ?? join(cacheRoot(), "cuda");
  const path = join(folder, `${key}.cubin`);
  try {
    return await readFile(path);
  } catch {
    // not there yet
  }
  const cubin = await compile(text, arch);
  try {
    makeFolder(folder);
    const draft = `${path}.${randomBytes(4).toString("hex")}.tmp`;
    await writeFile(draft, cubin);
    await rename(draft, path);
  } catch {
    // compiled again next time
  }
  return cubin;
}
