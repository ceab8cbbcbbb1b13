/**
 * CUDA on a CPU, for tests: a driver and an NVRTC that run kernels as C++ (stand-in/), under the runtime's own calls.
 * They are built by g++ once, into a folder that is kept between runs.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const sources = new URL("stand-in", import.meta.url).pathname;
const FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared"];

export type StandIn = { readonly driver: string; readonly nvrtc: string };

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
  return { driver: join(folder, "libcuda.so"), nvrtc: join(folder, "libnvrtc.so") };
}

/** Whoever comes first puts the whole folder there. */
function buildInto(folder: string, files: readonly string[]): void {
  const draft = mkdtempSync(`${folder}-`);
  const path = (file: string): string => join(sources, file);
  const compile = (...args: readonly string[]): void => {
    execFileSync("g++", [...FLAGS, ...args], { stdio: ["ignore", "inherit", "inherit"] });
  };
  const driver = files.filter((f) => f.endsWith(".cpp") && f !== "nvrtc.cpp").map(path);
  compile("-o", join(draft, "libcuda.so"), ...driver, "-ldl");
  const define = (name: string, value: string): string => `-D${name}="${value}"`;
  compile(
    ...[define("GYRE_HEADERS", sources), define("GYRE_LIBRARY", join(folder, "libcuda.so"))],
    ...["-o", join(draft, "libnvrtc.so"), path("nvrtc.cpp"), "-ldl"],
  );
  try {
    renameSync(draft, folder);
  } catch {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Settings of the stand-in: see stand-in/driver.cpp. */
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
};

/** Makes the stand-in what the runtime finds in this process, as it is set. */
export function useStandIn(settings: Settings = {}): void {
  if ("why" in standIn) throw new Error(standIn.why);
  const cache = join(dirname(standIn.driver), "cubins");
  mkdirSync(cache, { recursive: true });
  const environment: Readonly<Record<string, string | number | undefined>> = {
    GYRE_CUDA_DRIVER: standIn.driver,
    GYRE_NVRTC: standIn.nvrtc,
    GYRE_CUDA_CACHE: cache,
    GYRE_CUDA_TELL: settings.quiet ? 0 : undefined,
    GYRE_CUDA_SCHEDULE: settings.schedule,
    GYRE_CUDA_GPUS: settings.gpus,
    GYRE_CUDA_MEMORY: settings.memory,
    GYRE_CUDA_PEERS: settings.peers === false ? 0 : undefined,
    GYRE_CUDA_VERSION: settings.version,
    GYRE_CUDA_ARCH: settings.arch,
    GYRE_CUDA_FAULT: settings.fault,
  };
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = String(value);
  }
}
