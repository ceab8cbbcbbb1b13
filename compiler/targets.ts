/** What kernels are made for: a row for each target, with how Lane is mapped and which dialect spells it. */
import { emitCuda } from "./emit/cuda.ts";
import type { Dialect, KernelText } from "./emit/text.ts";
import type { WasmFeatures } from "./emit/wasm/context.ts";
import { emitWasm } from "./emit/wasm.ts";
import { emitWgsl, type WgslFeatures } from "./emit/wgsl.ts";
import { cpuTarget, type SimdTarget } from "./lane/chooseSimd.ts";
import type { LaneProgram } from "./lane/ir.ts";
import { gpuTarget, type MapTarget, softwareTarget } from "./lane/map.ts";
import type { ScatterTarget } from "./lane/scatter.ts";
import { blockTarget, hopperTarget, type TeamTarget, tensorTarget } from "./lane/team/target.ts";

export type Target = {
  readonly mapping: MapTarget | SimdTarget;
  /** What threads can do together, where they do. */
  readonly team?: TeamTarget;
  /** Of a GPU: what has less than a workgroup for each goes through long loops in parts. The cores of a CPU are few. */
  readonly processors?: number;
  /** How sums of one-hot products are added up at their places; where it is left out, they are products. */
  readonly scatter?: ScatterTarget;
  readonly dialect: Dialect;
  /** The most buffers that a kernel may bind, where nothing else is known of the device. */
  readonly maxBuffers: number;
  readonly emit: (program: LaneProgram, features: WasmFeatures & WgslFeatures) => KernelText;
};

const scatters = {
  software: { threads: 4, width: 1, own: 1, groups: 8, least: 256 },
  gpu: { threads: 64, width: 1, own: 1, groups: 64, least: 1 << 20 },
  cpu: { threads: 1, width: 4, own: 256, groups: 16, least: 16 },
} as const satisfies Readonly<Record<string, ScatterTarget>>;

/** `software`: a CPU behind a WebGPU driver; `gpu`: hardware behind one; `cpu`: this processor; `cuda`: an NVIDIA GPU; `hopper`: one
 * of sm_90a. */
export const targets = {
  software: { mapping: softwareTarget, scatter: scatters.software, dialect: "wgsl", maxBuffers: 8, emit: emitWgsl },
  gpu: {
    mapping: gpuTarget,
    team: blockTarget,
    processors: 64,
    scatter: scatters.gpu,
    dialect: "wgsl",
    maxBuffers: 8,
    emit: emitWgsl,
  },
  cpu: { mapping: cpuTarget, scatter: scatters.cpu, dialect: "wasm", maxBuffers: 64, emit: emitWasm },
  cuda: { mapping: gpuTarget, team: tensorTarget, processors: 108, dialect: "cuda", maxBuffers: 64, emit: emitCuda },
  hopper: { mapping: gpuTarget, team: hopperTarget, processors: 132, dialect: "cuda", maxBuffers: 64, emit: emitCuda },
} as const satisfies Readonly<Record<string, Target>>;

export type TargetName = keyof typeof targets;
