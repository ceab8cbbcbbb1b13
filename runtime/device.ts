import type { TensorView } from "../compiler/emit/text.ts";

/**
 * What every backend implements. One `Device` is one mesh position: an ordered queue of work and its memory.
 *
 * **Order.** `write`, `copy`, `launch` and `read` on one device take effect in the order of the calls. Launches and
 * copies are gathered into batches; `flush` hands a batch to the driver, and so do `write`, `read` and `idle` by
 * themselves. Two devices know nothing of each other: `transfer` moves bytes between them.
 *
 * **Failure.** Sizes beyond `info.limits` throw at the call. What the driver reports later (out of memory, a lost
 * device) is thrown by the next call on that device, and rejects its pending waits. Every wait ends: after
 * `timeoutMs` without progress it rejects. All errors are `GyreRuntimeError`s.
 */
export type Device = {
  readonly info: DeviceInfo;
  /** Devices with the same `memory` share one queue: their buffers and kernels serve each other, and closing ends with the last. */
  readonly memory: object;
  /** Memory of `bytes` bytes (rounded up to 4), zero at first. `label` names it in errors. */
  alloc(bytes: number, label: string): DeviceBuffer;
  /** Gives memory back. Work that was launched before still sees it. Freeing twice does nothing. */
  free(buffer: DeviceBuffer): void;
  /** Copies host bytes to `buffer` at byte `offset`. Offset and size are multiples of 4. `data` may be reused at once. */
  write(buffer: DeviceBuffer, offset: number, data: HostBytes): void;
  /** The bytes `offset … offset + bytes` after all earlier work, as a fresh ArrayBuffer. Multiples of 4. */
  read(buffer: DeviceBuffer, offset: number, bytes: number): Promise<ArrayBuffer>;
  /** As `read`, but lends the driver's mapped memory to `use` while it runs, and saves a copy. */
  readInto(buffer: DeviceBuffer, offset: number, bytes: number, use: (mapped: ArrayBuffer) => void): Promise<void>;
  /** Copies within the device; between different buffers. */
  copy(from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, bytes: number): void;
  /** Copies to other devices of the backend, beside all other work and without the host; absent where there are none. */
  readonly direct?: Direct;
  /** Its streams, for a library that puts transfers of its own beside the kernels; absent where there are none. */
  readonly streams?: DeviceStreams;
  /** Compiles a kernel; the same source is compiled once per device. Rejects with kind `shader` when it is refused. */
  compile(source: KernelSource): Promise<Kernel>;
  /**
   * Launches `kernel` on `groups` workgroups. `bindings[i]` is bound where `source.access[i]` is declared; `words` are
   * the kernel's scalar parameters (`source.uniformWords` of them). One buffer must not be bound twice in one launch
   * unless every such binding is `read`. A launch with a zero in `groups` does nothing.
   */
  launch(kernel: Kernel, bindings: readonly DeviceBuffer[], words: UniformWords, groups: Groups): void;
  /** Hands the gathered launches and copies to the driver. Cheap when there are none. */
  flush(): void;
  /** Resolves when all work so far is done. */
  idle(): Promise<void>;
  /** From now on reports how long each launch took on the device (where `features.timestamps`); `undefined` stops. */
  trace(sink: LaunchSink | undefined): void;
  /** Resolves, with the reason, when the device is lost; never when it is closed by `close`. */
  readonly lost: Promise<Error>;
  /** Frees everything. Pending waits reject. Closing twice does nothing. */
  close(): void;
};

export type Direct = {
  /** Devices copy to those with the same. */
  readonly among: object;
  /** Where the work on the device is now that has to do with a buffer: that writes it, if it is to be read. Each is given to one copy. */
  mark(buffer: DeviceBuffer, to: Access): Mark;
  /** Resolves when this device has come to a mark of its own, which can be given to a copy all the same. */
  come(mark: Mark): Promise<void>;
  /** When both devices have come to their marks, copies; resolves when it is there for all later work. */
  copy(c: DirectCopy): Promise<void>;
  /** The first `bytes` bytes of a buffer, where they lie in this process's memory: to be touched when its device has come to a mark. */
  view?(buffer: DeviceBuffer, bytes: number): Uint8Array;
};
export type Mark = { readonly event: unknown };

/** Handles and addresses are the driver's own. `undefined` in the place of a stream is the device's compute. */
export type DeviceStreams = {
  /** The GPU under the device, told from all others of the host: its PCI bus id. */
  readonly gpu: string;
  /** Makes the GPU the one that calls of other libraries are for. */
  use(): void;
  /** The stream called `name`, made at its first use. */
  stream(name: string): bigint;
  /** Where the first `bytes` bytes of a buffer lie; `use` is what for, in errors. */
  address(buffer: DeviceBuffer, bytes: number, use: string): bigint;
  /** Where a stream is now; to be dropped. */
  mark(stream: bigint | undefined): Mark;
  drop(mark: Mark): void;
  /** Work that a stream is given from now on begins after `mark`. */
  after(stream: bigint | undefined, mark: Mark): void;
  /** Whether work has come to a mark; throws what went wrong on the way, `doing` that. */
  reached(mark: Mark, doing: string): boolean;
};
/** The first `bytes` bytes of `from`, a buffer of the copying device, to those of `to` on `receiver`. */
export type DirectCopy = {
  readonly stream: string;
  readonly from: DeviceBuffer;
  readonly after: Mark;
  readonly receiver: Device;
  readonly to: DeviceBuffer;
  readonly receiverAfter: Mark;
  readonly bytes: number;
};

export type DeviceInfo = {
  readonly backend: "webgpu" | "cuda" | "cpu";
  /** The device's name in messages and traces: `webgpu:0`. */
  readonly name: string;
  /** The adapter or GPU under it: `SwiftShader Device (LLVM 16)`. */
  readonly adapter: string;
  /** Whether a CPU does the work. */
  readonly software: boolean;
  readonly limits: DeviceLimits;
  readonly features: DeviceFeatures;
};

/** Sizes in bytes or counts; the adapter's real limits. */
export type DeviceLimits = {
  readonly maxBufferBytes: number;
  readonly maxBindingBytes: number;
  readonly maxStorageBuffers: number;
  readonly maxWorkgroupInvocations: number;
  readonly maxWorkgroupsPerDimension: number;
  /** The most invocations along x, y and z of one workgroup. */
  readonly maxWorkgroupSize: readonly [number, number, number];
  readonly workgroupMemoryBytes: number;
};

export type DeviceFeatures = {
  /** The sizes a subgroup can have, or `false` where kernels must not use subgroups. */
  readonly subgroups: false | { readonly min: number; readonly max: number };
  readonly f16: boolean;
  readonly timestamps: boolean;
  /** Of an NVIDIA GPU: whether warpgroups multiply, and boxes are copied by its copy engine (sm_90a). */
  readonly warpgroups?: boolean;
  /** Of a CPU: whether its WebAssembly engine has a multiply-add in one rounding. */
  readonly relaxedSimd?: boolean;
};

/** Memory on one device. `id` is unique in the process; `bytes` is the size, a multiple of 4. */
export type DeviceBuffer = { readonly id: number; readonly bytes: number; readonly label: string };

export type Access = "read" | "read_write";

/** The languages of kernels; a device understands one. */
export type Dialect = "wgsl" | "wasm" | "cuda";

/**
 * A kernel and what the runtime has to know to bind it. In WGSL: group 0, binding 0 is the uniform block of
 * `uniformWords` 32-bit words (absent when 0), bindings 1 … n are storage buffers with `access[0] … access[n-1]`.
 */
export type KernelSource = {
  readonly name: string;
  readonly dialect: Dialect;
  readonly text: string;
  /** The module, in a dialect that is binary. */
  readonly code?: Uint8Array;
  readonly entry: string;
  readonly access: readonly Access[];
  readonly uniformWords: number;
  /** Threads of a workgroup, and the workgroup memory in bytes that a launch needs. */
  readonly threads: number;
  readonly sharedBytes: number;
  /** Buffers that it takes besides as arrays to copy boxes of, after its buffers. */
  readonly tensors?: readonly TensorView[];
};

/** A compiled kernel of one device. */
export type Kernel = { readonly source: KernelSource };

export type Groups = readonly [x: number, y: number, z: number];
export type UniformWords = Uint32Array | Int32Array;
export type HostBytes = ArrayBuffer | ArrayBufferView;

/** Times are microseconds on the clock of `performance.now()`. */
export type LaunchSink = (kernel: string, start: number, end: number) => void;
