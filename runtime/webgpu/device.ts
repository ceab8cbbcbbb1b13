/** `Device`s on WebGPU, over one `GPUDevice`: its memory, its kernels, and what its driver refuses. */
import type {
  Access,
  Device,
  DeviceBuffer,
  DeviceInfo,
  Groups,
  HostBytes,
  Kernel,
  KernelSource,
  LaunchSink,
  UniformWords,
} from "../device.ts";
import { fail, formatBytes, GyreRuntimeError, withLimit } from "../errors.ts";
import { once } from "../once.ts";
import { bound, type Owned, ownedRange, wholeWords } from "../owned.ts";
import { createPool } from "../pool.ts";
import { bug, firstLine, limit, OUT_OF_MEMORY_HELP, REPORT } from "../refusals.ts";
import { BATCH_UNIFORM_BYTES, batchesOf } from "./batch.ts";
import { expectSoon } from "./poll.ts";
import { driverError, shaderError } from "./refusals.ts";

/** Fixed by the WebGPU standard; node-webgpu does not make them global. */
const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 };
const MAP_READ = 1;

/** Staging memory kept for the next read. */
const STAGING_BYTES = 256 * 1024 * 1024;

type WebGpuBuffer = Owned & {
  readonly gpu: GPUBuffer;
  /** Forgets the bind groups that hold this buffer; empty the moment it is freed. */
  readonly forget: Set<() => void>;
};

type WebGpuKernel = Kernel & {
  readonly owner: object;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly uniformBytes: number;
  readonly groups: Map<string, GPUBindGroup>;
};

let nextBufferId = 1;
/** Compilers of all devices share the cores: one that finishes is progress for all. */
let lastCompile = 0;

/**
 * Wraps an open `GPUDevice` as one device, or as several that share its queue, memory and compiled kernels: one for
 * each of `names`. `info` describes them (its name is that of the first); `timeoutMs`: how long a wait may last without
 * progress. The `GPUDevice` is destroyed when the last of them is closed.
 */
export function webGpuDevices(
  gpu: GPUDevice,
  info: DeviceInfo,
  names: readonly string[],
  timeoutMs: number,
): readonly Device[] {
  const owner = {};
  const by = { name: info.name, owner };
  const { limits } = info;

  // ---- failure: what the driver reports sticks, and every later call throws it -------------------------------------
  let failure: GyreRuntimeError | undefined;
  let closed = false;
  let reportLost: (error: Error) => void = () => {};
  const lost = new Promise<Error>((resolve) => {
    reportLost = resolve;
  });
  const alive = () => {
    if (failure) throw failure;
    if (closed) fail("device-lost", `${info.name} was closed`, "open the devices again");
  };
  gpu.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    failure ??= driverError(info.name, event.error);
  });
  gpu.lost.then((reason) => {
    if (closed) return;
    failure = new GyreRuntimeError(
      "device-lost",
      `${info.name} (${info.adapter}) was lost: ${firstLine(reason.message)}`,
      "run it again; where it happens again, use smaller dimensions or another adapter (`gyre devices`)",
    );
    reportLost(failure);
  });

  const batches = batchesOf(gpu);
  const waitFor = async <T>(promise: Promise<T>, what: string): Promise<T> => {
    expectSoon();
    try {
      return await withLimit(promise, timeoutMs, `${what} on ${info.name}`, batches.lastProgress);
    } catch (error) {
      if (error instanceof GyreRuntimeError) throw error;
      alive();
      return fail("internal", `${what} on ${info.name} failed: ${firstLine(error)}`, REPORT, error);
    }
  };
  const flush = () => {
    alive();
    batches.flush();
    if (failure) throw failure;
  };

  // ---- memory ------------------------------------------------------------------------------------------------------
  const staging = createPool<GPUBuffer>({
    make: (bytes) => gpu.createBuffer({ size: bytes, usage: USAGE.mapRead | USAGE.copyTarget, label: "staging" }),
    size: (buffer) => buffer.size,
    destroy: (buffer) => buffer.destroy(),
    keepBytes: STAGING_BYTES,
  });
  const buffers = new Set<WebGpuBuffer>();
  const range = (buffer: DeviceBuffer, offset: number, bytes: number, use: string): WebGpuBuffer =>
    ownedRange(by, buffer, offset, bytes, use);

  /** The driver reports that it has no memory while `createBuffer` runs; the device lives on without the buffer. */
  const createBuffer = (size: number, label: string): GPUBuffer => {
    const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
    const made = gpu.createBuffer({ size, usage, label });
    if (failure === undefined) return made;
    made.destroy();
    const error: GyreRuntimeError = failure;
    if (error.kind !== "out-of-memory") throw error;
    failure = undefined;
    const held = [...buffers].reduce((sum, buffer) => sum + buffer.bytes, 0);
    return fail(
      "out-of-memory",
      `${info.name} (${info.adapter}) has no ${formatBytes(size)} for '${label}'; ${formatBytes(held)} are in use on it`,
      OUT_OF_MEMORY_HELP,
      error,
    );
  };

  const alloc = (bytes: number, label: string): DeviceBuffer => {
    alive();
    const size = wholeWords(info, bytes, label);
    const buffer: WebGpuBuffer = {
      id: nextBufferId++,
      bytes: size,
      label,
      owner,
      gpu: createBuffer(size, label),
      forget: new Set(),
      freed: false,
    };
    buffers.add(buffer);
    return buffer;
  };

  const free = (buffer: DeviceBuffer) => {
    const mine = buffer as WebGpuBuffer;
    if (mine.owner !== owner || mine.freed || closed) return;
    mine.freed = true;
    for (const forget of mine.forget) forget();
    mine.forget.clear();
    buffers.delete(mine);
    batches.drop(mine.gpu);
  };

  const write = (buffer: DeviceBuffer, offset: number, data: HostBytes) => {
    flush();
    const target = range(buffer, offset, data.byteLength, "write");
    const view = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    // Shared memory is refused by the driver: copy it first.
    const bytes = view.buffer instanceof ArrayBuffer ? (view as Uint8Array<ArrayBuffer>) : new Uint8Array(view);
    if (bytes.length > 0) gpu.queue.writeBuffer(target.gpu, offset, bytes);
    if (failure) throw failure;
  };

  const copy = (from: DeviceBuffer, fromOffset: number, to: DeviceBuffer, toOffset: number, bytes: number) => {
    alive();
    const source = range(from, fromOffset, bytes, "copy");
    const target = range(to, toOffset, bytes, "copy");
    if (source === target) bug(`copy on ${info.name}: '${from.label}' to itself`);
    if (bytes === 0) return;
    batches.copy(source.gpu, fromOffset, target.gpu, toOffset, bytes);
  };

  const readInto = async (
    buffer: DeviceBuffer,
    offset: number,
    bytes: number,
    use: (mapped: ArrayBuffer) => void,
  ): Promise<void> => {
    alive();
    const source = range(buffer, offset, bytes, "read");
    if (bytes === 0) return use(new ArrayBuffer(0));
    const stage = staging.take(bytes);
    batches.copyOut(source.gpu, offset, stage, bytes);
    if (failure) throw failure;
    await waitFor(stage.mapAsync(MAP_READ, 0, bytes), `reading '${buffer.label}'`);
    try {
      alive();
      use(stage.getMappedRange(0, bytes));
    } finally {
      stage.unmap();
      staging.give(stage);
    }
  };

  const read = async (buffer: DeviceBuffer, offset: number, bytes: number): Promise<ArrayBuffer> => {
    let out = new ArrayBuffer(0);
    await readInto(buffer, offset, bytes, (mapped) => {
      out = mapped.slice(0);
    });
    return out;
  };

  // ---- kernels -----------------------------------------------------------------------------------------------------
  const kernels = new Map<string, Promise<Kernel>>();
  const compile = (source: KernelSource): Promise<Kernel> => {
    const key = `${source.entry} ${source.access.join(" ")} ${source.uniformWords}\n${source.text}`;
    return once(kernels, key, () => compileNew(source));
  };

  const compileNew = async (source: KernelSource): Promise<Kernel> => {
    alive();
    if (source.access.length > limits.maxStorageBuffers) {
      fail(
        "limit",
        `kernel '${source.name}' uses ${source.access.length} arrays; ${info.adapter} allows ${limits.maxStorageBuffers} in one kernel`,
        "split the computation so that fewer arrays are used at once, or use another adapter (`gyre devices`)",
      );
    }
    const uniformBytes = Math.ceil(source.uniformWords / 4) * 16;
    if (uniformBytes > BATCH_UNIFORM_BYTES) bug(`kernel '${source.name}' has ${source.uniformWords} uniform words`);
    const layout = gpu.createBindGroupLayout({ entries: layoutEntries(source.access, uniformBytes) });
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ code: source.text, label: source.name });
    const refused = gpu.popErrorScope();
    const pipeline = gpu.createComputePipelineAsync({
      label: source.name,
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: source.entry },
    });
    try {
      expectSoon();
      const result = await withLimit(
        Promise.all([pipeline, refused]),
        timeoutMs,
        `compiling kernel '${source.name}' on ${info.name}`,
        () => lastCompile,
      );
      lastCompile = performance.now();
      return { source, owner, pipeline: result[0], layout, uniformBytes, groups: new Map() } as WebGpuKernel;
    } catch (error) {
      if (error instanceof GyreRuntimeError) throw error;
      alive();
      throw await shaderError(info, source, module, await refused, error);
    }
  };

  const bindGroup = (kernel: WebGpuKernel, buffers: readonly WebGpuBuffer[]): GPUBindGroup => {
    const key = buffers.map((buffer) => buffer.id).join(" ");
    const known = kernel.groups.get(key);
    if (known) return known;
    const entries: GPUBindGroupEntry[] = buffers.map((buffer, i) => ({
      binding: i + 1,
      resource: { buffer: buffer.gpu },
    }));
    if (kernel.uniformBytes > 0) {
      entries.push({ binding: 0, resource: { buffer: batches.uniforms(), size: kernel.uniformBytes } });
    }
    const group = gpu.createBindGroup({ layout: kernel.layout, entries });
    kernel.groups.set(key, group);
    const forget = () => {
      kernel.groups.delete(key);
      for (const buffer of buffers) buffer.forget.delete(forget);
    };
    for (const buffer of buffers) buffer.forget.add(forget);
    return group;
  };

  const launch = (
    kernel: Kernel,
    bindings: readonly DeviceBuffer[],
    words: UniformWords,
    groups: Groups,
    sink: LaunchSink | undefined,
  ) => {
    alive();
    const mine = kernel as WebGpuKernel;
    const { name, access } = kernel.source;
    if (mine.owner !== owner) bug(`kernel '${name}' was compiled for another device than ${info.name}`);
    const arrays = bound<WebGpuBuffer>(by, kernel, bindings, words);
    for (const { bytes, label } of arrays)
      if (bytes > limits.maxBindingBytes)
        limit(info, `'${label}' of kernel '${name}' has ${formatBytes(bytes)}`, limits.maxBindingBytes);
    const most = Math.max(...groups);
    if (most > limits.maxWorkgroupsPerDimension)
      fail(
        "limit",
        `kernel '${name}' needs ${most} workgroups in one dimension; ${info.adapter} allows ${limits.maxWorkgroupsPerDimension}`,
        "use larger blocks, or split the arrays over more devices",
      );
    if (Math.min(...groups) === 0) return;
    const { pipeline, uniformBytes } = mine;
    batches.launch({
      pipeline,
      group: bindGroup(mine, arrays),
      words,
      uniformBytes,
      groups,
      writes: arrays.filter((_, i) => access[i] === "read_write").map((b) => b.gpu),
      timed: sink && { kernel: name, sink },
    });
  };

  const idle = async () => {
    flush();
    await waitFor(gpu.queue.onSubmittedWorkDone(), "waiting for the kernels");
    await batches.timed();
    alive();
  };

  const destroy = () => {
    closed = true;
    batches.close();
    gpu.destroy();
    for (const buffer of buffers) buffer.freed = true;
    buffers.clear();
    kernels.clear();
  };

  // ---- one device for each name ------------------------------------------------------------------------------------
  let open = names.length;
  return names.map((name): Device => {
    let mineIsOpen = true;
    let sink: LaunchSink | undefined;
    return {
      info: { ...info, name },
      memory: owner,
      alloc,
      free,
      write,
      read,
      readInto,
      copy,
      compile,
      launch: (kernel, bindings, words, groups) => launch(kernel, bindings, words, groups, sink),
      flush,
      idle,
      trace(next) {
        flush();
        sink = info.features.timestamps ? next : undefined;
        if (sink) batches.time();
      },
      lost,
      close() {
        if (mineIsOpen && --open === 0) destroy();
        mineIsOpen = false;
      },
    };
  });
}

function layoutEntries(access: readonly Access[], uniformBytes: number): GPUBindGroupLayoutEntry[] {
  const compute = 4; // GPUShaderStage.COMPUTE
  const entries: GPUBindGroupLayoutEntry[] = access.map((mode, i) => ({
    binding: i + 1,
    visibility: compute,
    buffer: { type: mode === "read" ? "read-only-storage" : "storage" },
  }));
  if (uniformBytes > 0) {
    entries.push({ binding: 0, visibility: compute, buffer: { type: "uniform", hasDynamicOffset: true } });
  }
  return entries;
}
