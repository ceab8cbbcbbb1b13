/** nvcc, the compiler of the CUDA toolkit, as a process: CUDA C++ to a cubin. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { fail } from "../errors.ts";
import { type CudaCompiler, refused } from "./refusals.ts";

const run = promisify(execFile);
const LIMIT_MS = 600_000;

/** `GYRE_NVCC` names it; else the toolkit of `CUDA_HOME` or `CUDA_PATH`, the search path, and where the toolkit goes by custom. */
function candidates(): readonly string[] {
  const { GYRE_NVCC, CUDA_HOME, CUDA_PATH, PATH } = process.env;
  if (GYRE_NVCC) return [GYRE_NVCC];
  const leaf = process.platform === "win32" ? "nvcc.exe" : "nvcc";
  const homes = [CUDA_HOME, CUDA_PATH, "/usr/local/cuda"].flatMap((home) => (home ? [join(home, "bin")] : []));
  return [...(PATH ?? "").split(delimiter), ...homes].filter((folder) => folder !== "").map((f) => join(f, leaf));
}

/** The first nvcc that answers. */
export async function findNvcc(): Promise<CudaCompiler | undefined> {
  for (const path of candidates()) {
    const version = await versionOf(path);
    if (version !== undefined)
      return { name: `nvcc ${version}`, compile: async (text, arch) => (await nvcc(path, text, arch)).made };
  }
  return undefined;
}

/** Where it is. */
export async function nvccPath(): Promise<string | undefined> {
  for (const path of candidates()) if ((await versionOf(path)) !== undefined) return path;
  return undefined;
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(path, ["--version"], { timeout: 30_000 });
    return /release ([\d.]+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

/** Compiles to a cubin (or to PTX), and gives what `flags` made the tools say besides. Errors: kind `shader`, with the first thing that nvcc says. */
export async function nvcc(
  path: string,
  text: string,
  arch: string,
  flags: readonly string[] = [],
  form: "cubin" | "ptx" = "cubin",
): Promise<{ readonly made: Uint8Array; readonly said: string }> {
  const folder = await mkdtemp(join(tmpdir(), "gyre-nvcc-"));
  try {
    const [source, out] = [join(folder, "kernels.cu"), join(folder, `kernels.${form}`)];
    await writeFile(source, text);
    const { stdout, stderr } = await run(
      path,
      [`-arch=${arch}`, "-std=c++17", `-${form}`, ...flags, "-o", out, source],
      {
        timeout: LIMIT_MS,
        maxBuffer: 64 << 20,
      },
    ).catch((error: { killed?: boolean; stderr?: string; message: string }) => {
      if (error.killed) {
        return fail(
          "timeout",
          `nvcc did not finish in ${LIMIT_MS / 1000} s`,
          "use smaller blocks, or fewer kernels",
          error,
        );
      }
      return refused("nvcc", arch, (error.stderr || error.message).replaceAll(source, "kernels.cu"), text);
    });
    return { made: await readFile(out), said: `${stdout}${stderr}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
