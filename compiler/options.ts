/** What the compiler may be told besides the program. */
import type { Machine } from "./base/machine.ts";
import type { EntryOptions } from "./core/elaborate.ts";
import type { MappingChoice } from "./lane/map.ts";
import type { TargetName } from "./targets.ts";

export type CompileOptions = EntryOptions & {
  /** What kernels are made for, a row of targets.ts; `software` (a CPU behind WebGPU) where it is left out. */
  readonly target?: TargetName;
  /**
   * Whether threads may hand values to each other in subgroups (default: yes on `software`, no on `gpu`): a number says how many
   * threads each has at least, a power of two; `true` says four.
   */
  readonly subgroups?: boolean | number;
  /** Whether the device has f16 of its own, WebGPU's `shader-f16` (default: no; two share a word then). */
  readonly f16?: boolean;
  /** Bytes of memory that a workgroup has; what every adapter has where it is left out. Used by the target `gpu`. */
  readonly workgroupMemory?: number;
  /** Whether the engine has WebAssembly's relaxed SIMD, with its multiply-add (default: no; used by the target `cpu`). */
  readonly relaxedSimd?: boolean;
  /** Inputs whose memory the program may overwrite. */
  readonly donate?: readonly string[];
  /** The most storage buffers a kernel may bind; the target's where it is left out (8 on WebGPU, what every adapter has). */
  readonly maxBuffers?: number;
  /** `false` plans without overlap, to see what it is worth: every transfer is waited for as soon as it was started. */
  readonly overlap?: boolean;
  /** What is weighed by where transfers can be hidden; nodes of eight H100s where it is left out. */
  readonly machine?: Machine;
  /** Bytes that a schedule may take on each device; where it takes more, it hides less. */
  readonly memory?: number;
  /** Mappings in the place of the default ones, by the key of a kernel: what a tuner found. One that is not legal is left aside. */
  readonly mappings?: Readonly<Record<string, MappingChoice>>;
  /** What is not to be done, to see what it is worth: ways to hide transfers, or long loops in parts. */
  readonly without?: readonly OptionalPass[];
  /** For tests: every loop that can be is gone through in about so many parts, whatever that costs. */
  readonly parts?: number;
};
export type OverlapPass = "ring products" | "collect ahead" | "ways round" | "add on arrival";
export type OptionalPass = OverlapPass | "split-k";
