/**
 * CUDA on a CPU, for tests: a driver and an NVRTC that run kernels as C++ (stand-in/), under the runtime's own calls.
 * They are built by g++ once, into a folder that is kept between runs.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const sources = new URL("stand-in", import.meta.url).pathname;
const FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O2", "-ffp-contract=off", "-fPIC", "-shared"];

export type StandIn = { readonly driver: string; readonly nvrtc: string; readonly nccl: string };

/** Where the libraries are, or why there are none. */
export const standIn: StandIn | { readonly why: string } = build();

function build(): StandIn | { readonly why: string } {
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch))
    return { why: `the stand-in for CUDA runs on Linux on x64 and arm64, not on ${process.platform} ${process.arch}` };
  let compiler: string;
  try {
    compiler = execFileSync("g++", ["--version"], { encoding: "utf8" });
  } catch {
    return { why: "there is no g++, which compiles kernels for the stand-in" };
  }
  const files = readdirSync(sources).sort();
  const hash = createHash("sha256").update(compiler).update(FLAGS.join(" "));
  for (const file of files) hash.update(file).update(readFileSync(join(sources, file)));
  const folder = join(tmpdir(), `gyre-cuda-${hash.digest("hex").slice(0, 16)}`);
  if (!existsSync(folder)) buildInto(folder, files);
  const at = (name: string): string => join(folder, name);
  return { driver: at("libcuda.so"), nvrtc: at("libnvrtc.so"), nccl: at("libnccl.so") };
}

/** Whoever comes first puts the whole folder there. */
function buildInto(folder: string, files: readonly string[]): void {
  const draft = mkdtempSync(`${folder}-`);
  const path = (file: string): string => join(sources, file);
  const compile = (...args: readonly string[]): void => {
    execFileSync("g++", [...FLAGS, ...args], { stdio: ["ignore", "inherit", "inherit"] });
  };
  const others = ["nvrtc.cpp", "nccl.cpp"];
  const driver = files.filter((f) => f.endsWith(".cpp") && !others.includes(f)).map(path);
  compile("-o", join(draft, "libcuda.so"), ...driver, "-ldl");
  // Kernels are compiled with the headers that the library was, whatever becomes of the sources.
  for (const file of files.filter((f) => f.endsWith(".h"))) copyFileSync(path(file), join(draft, file));
  const define = (name: string, value: string): string => `-D${name}="${value}"`;
  const defines = [define("GYRE_HEADERS", folder), define("GYRE_LIBRARY", join(folder, "libcuda.so"))];
  for (const other of others)
    compile(...defines, "-o", join(draft, `lib${other.replace(".cpp", ".so")}`), path(other), "-ldl");
  try {
    renameSync(draft, folder);
  } catch {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Settings of the stand-in: see stand-in/driver.cpp, stand-in/nccl.cpp. */
export type Settings = {
  /** 0: in order, copies late; 1: run ahead, copies early; others: at random. */
  readonly schedule?: number;
  readonly gpus?: number;
  readonly memory?: number;
  readonly peers?: boolean;
  readonly version?: number;
  readonly arch?: number;
  /** Whether faults of kernels are not to be told on standard error. */
  readonly quiet?: boolean;
  /** `cuMemAlloc_v2=2@3`: the third call gives 2; with a `+` at the end, all later ones too. */
  readonly fault?: string;
  /** Where what is called is written. */
  readonly record?: string;
  /** NCCL's, as it gives it: 22105. */
  readonly ncclVersion?: number;
  /** Whether several ranks are in one thread, whose groups NCCL would not keep apart. */
  readonly ranksTogether?: boolean;
};

/** Makes the stand-in what the runtime finds in this process, as it is set. */
export function useStandIn(settings: Settings = {}): void {
  for (const [name, value] of Object.entries(standInEnvironment(settings))) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** The same as variables for another process. */
export function standInEnvironment(settings: Settings = {}): Readonly<Record<string, string | undefined>> {
  if ("why" in standIn) throw new Error(standIn.why);
  const cache = join(dirname(standIn.driver), "cubins");
  mkdirSync(cache, { recursive: true });
  const environment: Readonly<Record<string, string | number | undefined>> = {
    GYRE_CUDA_DRIVER: standIn.driver,
    GYRE_NVRTC: standIn.nvrtc,
    GYRE_NCCL: standIn.nccl,
    GYRE_CUDA_CACHE: cache,
    GYRE_CUDA_TELL: settings.quiet ? 0 : undefined,
    GYRE_CUDA_SCHEDULE: settings.schedule,
    GYRE_CUDA_GPUS: settings.gpus,
    GYRE_CUDA_MEMORY: settings.memory,
    GYRE_CUDA_PEERS: settings.peers === false ? 0 : undefined,
    GYRE_CUDA_VERSION: settings.version,
    GYRE_CUDA_ARCH: settings.arch,
    GYRE_CUDA_FAULT: settings.fault,
    GYRE_CUDA_RECORD: settings.record,
    GYRE_NCCL_VERSION: settings.ncclVersion,
    GYRE_NCCL_GROUPS: settings.ranksTogether ? "many" : undefined,
  };
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value === undefined ? undefined : String(value)]),
  );
}
