/** How many threads of a kernel are on one multiprocessor at a time, as a share of the most that it holds. */

/** What ptxas says of a kernel. Sizes in bytes. */
export type Resources = {
  readonly registers: number;
  readonly stackBytes: number;
  readonly spillBytes: number;
  readonly sharedBytes: number;
};

/** Limits of a multiprocessor, by architecture: CUDA C++ Programming Guide, "Technical specifications per compute capability". */
const MULTIPROCESSORS: Readonly<Record<string, { readonly sharedBytes: number }>> = {
  sm_80: { sharedBytes: 164 << 10 },
  sm_90: { sharedBytes: 228 << 10 },
};
const WARPS = 64;
const BLOCKS = 32;
const REGISTERS = 65536;
/** Registers are given out to warps by so many, and each block takes a little shared memory for itself. */
const REGISTER_UNIT = 256;
const OWN_SHARED = 1024;

export function occupancy(arch: string, threads: number, r: Resources): number {
  const limits = MULTIPROCESSORS[arch.replace(/a$/, "")];
  if (!limits) throw new Error(`no limits of ${arch} are known`);
  const warps = Math.ceil(threads / 32);
  const perWarp = Math.ceil((r.registers * 32) / REGISTER_UNIT) * REGISTER_UNIT;
  const byRegisters = Math.floor(Math.floor(REGISTERS / perWarp) / warps);
  const byShared = Math.floor(limits.sharedBytes / (r.sharedBytes + OWN_SHARED));
  const blocks = Math.min(BLOCKS, Math.floor(WARPS / warps), byRegisters, byShared);
  return (blocks * warps) / WARPS;
}

/** Reads `-Xptxas -v`: by entry. */
export function parsePtxas(said: string): ReadonlyMap<string, Resources> {
  const found = new Map<string, Resources>();
  let entry = "";
  let stack = [0, 0, 0];
  for (const line of said.split("\n")) {
    entry = /Compiling entry function '(\w+)'/.exec(line)?.[1] ?? entry;
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (frame) stack = frame.slice(1).map(Number);
    const used = /Used (\d+) registers/.exec(line);
    if (!used || entry === "") continue;
    const sharedBytes = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
    found.set(entry, {
      registers: Number(used[1]),
      stackBytes: stack[0]!,
      spillBytes: stack[1]! + stack[2]!,
      sharedBytes,
    });
    entry = "";
  }
  return found;
}
