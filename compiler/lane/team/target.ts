/** What teams are planned for, as data: a row for each kind of GPU. */
import type { Pattern } from "./layout.ts";

/** What teams are planned for. */
export type TeamTarget = {
  /** Shared memory that a workgroup may have, in bytes; and less, tried before that, so that several fit a processor. */
  readonly sharedBytes: number;
  readonly sharedAims: readonly number[];
  /** Registers of a thread that accumulators may take. */
  readonly accumulators: number;
  /** Workgroups that fill the machine: tiles get smaller before there are fewer. */
  readonly groups: number;
  /** Elements of a step of loops whose blocks may be of any size, best first. */
  readonly blocks: readonly number[];
  /** The most blocks that are fetched ahead and in use together, and the fewest. */
  readonly stages: number;
  readonly fewestStages: number;
  /** The shapes of tiles to try. */
  readonly sizes: Sizes;
  /** Elements of a long sum of f32 products that are there at once. */
  readonly sums: number;
  /** Whether tensor cores multiply 16-bit numbers, or the threads themselves all there are. */
  readonly pattern: Pattern;
  /** Threads, by their number, that can hand values to each other without shared memory. */
  readonly exchange: number;
  /** The most threads of a team that has no products. */
  readonly threads: number;
  /** What ways to deal out such a kernel are weighed by (traffic.ts). */
  readonly machine: Processors;
  /** For warpgroups (hopper/): what is done with a kernel for which they have no rule. */
  readonly otherwise?: TeamTarget;
};
/** A GPU, as far as kernels without products ask for it: times in seconds. */
export type Processors = {
  readonly processors: number;
  /** Warps' instructions a second of a processor's fourth, and bytes a second from memory, which come in sectors of so many. */
  readonly clock: number;
  readonly bandwidth: number;
  readonly sector: number;
  /** From asking memory to having it, and how many loads a thread has under way. */
  readonly latency: number;
  readonly ahead: number;
  /** Threads and workgroups that a processor has at once. */
  readonly resident: number;
  readonly workgroups: number;
  /** A shuffle, and a meeting of threads in shared memory. */
  readonly shuffle: number;
  readonly meeting: number;
};
const h100: Processors = {
  processors: 132,
  clock: 1.7e9,
  bandwidth: 2.5e12,
  sector: 32,
  latency: 700e-9,
  ahead: 8,
  resident: 1536,
  workgroups: 32,
  shuffle: 20e-9,
  meeting: 150e-9,
};
/** Of a desktop, or of a good notebook. */
const middling: Processors = { ...h100, processors: 32, bandwidth: 4e11, sector: 64, resident: 1024, workgroups: 16 };

type Tile = readonly [rows: number, columns: number, rowWarps: number, columnWarps: number];
/** `across`: with columns, where the other side of products is of the grid too; `along`: without. */
export type Sizes = Readonly<Record<"across" | "along", readonly Tile[]>>;
/** Best first: large tiles reuse more of what is loaded. */
const forMatrices: Sizes = {
  across: [
    [128, 128, 2, 2],
    [128, 64, 4, 1],
    [64, 64, 2, 2],
    [32, 64, 2, 2],
    [16, 64, 1, 4],
    [32, 32, 2, 1],
    [16, 16, 1, 1],
  ],
  along: [
    [128, 1, 4, 1],
    [64, 1, 4, 1],
    [32, 1, 2, 1],
    [16, 1, 1, 1],
  ],
};
/** By threads that multiply: blocks of registers from 2 x 4 to 8 x 8, which cost.ts tells apart. */
const forBlocks: Sizes = {
  across: [
    [128, 128, 2, 4],
    [128, 64, 2, 2],
    [64, 64, 2, 2],
    [64, 64, 1, 2],
    [64, 32, 2, 1],
    [32, 64, 1, 2],
    [32, 32, 2, 1],
    [32, 32, 1, 1],
    [16, 64, 1, 2],
    [16, 32, 1, 1],
    [16, 16, 1, 1],
  ],
  along: [
    [128, 1, 4, 1],
    [64, 1, 4, 1],
    [64, 1, 2, 1],
    [32, 1, 2, 1],
    [32, 1, 1, 1],
    [16, 1, 1, 1],
  ],
};
/** Two warpgroups with 64 rows each, or one. */
const forWarpgroups: Sizes = {
  across: [
    [128, 256, 8, 1],
    [128, 128, 8, 1],
    [64, 128, 4, 1],
    [64, 64, 4, 1],
  ],
  along: [
    [128, 1, 8, 1],
    [64, 1, 4, 1],
  ],
};

/**
 * NVIDIA GPUs with mma.m16n8k16, ldmatrix and cp.async (sm_80 and later). Two teams fit a processor, of which each may have half of
 * 164 KiB on an A100; 99 KiB is all that a smaller GPU has (sm_86, sm_89), and leaves room for two on an H100.
 */
export const tensorTarget: TeamTarget = {
  sharedBytes: 160 * 1024,
  sharedAims: [81 * 1024, 99 * 1024],
  accumulators: 200,
  groups: 100,
  blocks: [64, 32],
  stages: 3,
  fewestStages: 1,
  sums: 32,
  pattern: "matrices",
  exchange: 32,
  threads: 512,
  machine: h100,
  sizes: forMatrices,
};

/** Hopper GPUs (sm_90a): two warpgroups with 64 rows each, or one. */
export const hopperTarget: TeamTarget = {
  sharedBytes: 224 * 1024,
  sharedAims: [],
  accumulators: 168,
  groups: 100,
  blocks: [128, 64, 32],
  stages: 4,
  fewestStages: 2,
  sums: 32,
  pattern: "matrices",
  exchange: 32,
  threads: 512,
  machine: h100,
  sizes: forWarpgroups,
  otherwise: { ...tensorTarget, sharedAims: [113 * 1024] },
};

/** GPUs behind WebGPU: the least of workgroup memory that there is, and a thread's registers as the smallest have them. */
export const blockTarget: TeamTarget = {
  ...tensorTarget,
  sharedBytes: 16 * 1024,
  sharedAims: [],
  accumulators: 96,
  groups: 1,
  blocks: [64, 32, 16],
  stages: 2,
  sizes: forBlocks,
  sums: 16,
  pattern: "blocks",
  exchange: 1,
  threads: 256,
  machine: middling,
};
