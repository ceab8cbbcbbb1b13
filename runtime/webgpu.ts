/** A `Device` on WebGPU: one `GPUDevice`, its queue, and a batch of commands that is being gathered. */
import type {
  Access,
  Device,
  DeviceBuffer,
  DeviceInfo,
  HostBytes,
  Kernel,
  KernelSource,
  LaunchSink,
  UniformWords,
} from "./device.ts";
import { fail, formatBytes, GyreRuntimeError, withLimit } from "./errors.ts";
import { once } from "./once.ts";
import { expectSoon } from "./poll.ts";
import { createPool } from "./pool.ts";
import { bug, driverError, firstLine, limit, OUT_OF_MEMORY_HELP, REPORT, shaderError } from "./refusals.ts";
import { startTiming, TIMED_PASSES, type Timing } from "./timing.ts";

/** Fixed by the WebGPU standard; node-webgpu does not make them global. */
const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128, queryResolve: 512 };
const MAP_READ = 1;

/** Launches in a batch: a submit costs little beside them, and the device should not wait long for its first work. */
const BATCH_LAUNCHES = TIMED_PASSES;
/** Bytes of uniform data in a batch; each launch takes a slot of a multiple of the device's alignment. */
const BATCH_UNIFORM_BYTES = 32 * 1024;
/** Staging memory kept for the next read. */
const STAGING_BYTES = 256 * 1024 * 1024;

type WebGpuBuffer = DeviceBuffer & {
  readonly owner: object;
  readonly gpu: GPUBuffer;
  /** Forgets the bind groups that hold this buffer; empty the moment it is freed. */
  readonly forget: Set<() => void>;
  readonly freed: { yes: boolean };
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
  const { limits } = info;
  const slotBytes = gpu.limits.minUniformBufferOffsetAlignment;

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

  // ---- the batch ---------------------------------------------------------------------------------------------------
  let encoder: GPUCommandEncoder | undefined;
  let pass: GPUComputePassEncoder | undefined;
  let pipelineInPass: GPUComputePipeline | undefined;
  /** A timed pass holds one launch only. */
  let timedPass = false;
  let batched = 0;
  const uniformHost = new Uint32Array(BATCH_UNIFORM_BYTES / 4);
  let uniformUsed = 0;
  /** What the batch writes: only reads of those have to wait for it. */
  const written = new Set<GPUBuffer>();
  /** Freed while the batch that is being gathered may still name them. */
  let doomed: GPUBuffer[] = [];
  let timing: Timing | undefined;
  let uniforms: GPUBuffer | undefined;
  const uniformBuffer = () =>
    (uniforms ??= gpu.createBuffer({
      size: BATCH_UNIFORM_BYTES,
      usage: USAGE.uniform | USAGE.copyTarget,
      label: "uniforms",
    }));
  const commands = () => (encoder ??= gpu.createCommandEncoder());
  const endPass = () => {
    pass?.end();
    pass = undefined;
    pipelineInPass = undefined;
  };

  // ---- progress: one outstanding question to the queue, asked again while there is work ----------------------------
  let lastProgress = 0;
  let submitted = 0;
  let watching = false;
  const watch = () => {
    if (watching) return;
    watching = true;
    const upTo = submitted;
    const done = () => {
      watching = false;
      lastProgress = performance.now();
      if (!closed && upTo < submitted) watch();
    };
    gpu.queue.onSubmittedWorkDone().then(done, done);
  };
  const waitFor = async <T>(promise: Promise<T>, what: string): Promise<T> => {
    expectSoon();
    try {
      const value = await withLimit(promise, timeoutMs, `${what} on ${info.name}`, () => lastProgress);
      lastProgress = performance.now();
      return value;
    } catch (error) {
      if (error instanceof GyreRuntimeError) throw error;
      alive();
      return fail("internal", `${what} on ${info.name} failed: ${firstLine(String(error))}`, REPORT, error);
    }
  };

  const flush = () => {
    alive();
    if (encoder === undefined) return;
    endPass();
    if (uniformUsed > 0) gpu.queue.writeBuffer(uniformBuffer(), 0, uniformHost, 0, uniformUsed / 4);
    const clock = timing?.endBatch(encoder);
    gpu.queue.submit([encoder.finish()]);
    encoder = undefined;
    batched = 0;
    uniformUsed = 0;
    written.clear();
    submitted++;
    for (const buffer of doomed) buffer.destroy();
    doomed = [];
    clock?.();
    if (failure) throw failure;
    watch();
  };

  // ---- memory ------------------------------------------------------------------------------------------------------
  const staging = createPool<GPUBuffer>({
    make: (bytes) => gpu.createBuffer({ size: bytes, usage: USAGE.mapRead | USAGE.copyTarget, label: "staging" }),
    size: (buffer) => buffer.size,
    destroy: (buffer) => buffer.destroy(),
    keepBytes: STAGING_BYTES,
  });
  const buffers = new Set<WebGpuBuffer>();
  const own = (buffer: DeviceBuffer, use: string): WebGpuBuffer => {
    const mine = buffer as WebGpuBuffer;
    if (mine.owner !== owner) bug(`${use} on ${info.name}: '${buffer.label}' is a buffer of another device`);
    if (mine.freed.yes) bug(`${use} on ${info.name}: '${buffer.label}' was freed`);
    return mine;
  };
  const range = (buffer: DeviceBuffer, offset: number, bytes: number, use: string): WebGpuBuffer => {
    const mine = own(buffer, use);
    if (offset % 4 !== 0 || bytes % 4 !== 0 || offset < 0 || offset + bytes > buffer.bytes) {
      bug(`${use} on ${info.name}: bytes ${offset} + ${bytes} of '${buffer.label}', which has ${buffer.bytes}`);
    }
    return mine;
  };

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
    const size = Math.max(4, Math.ceil(bytes / 4) * 4);
    if (size > limits.maxBufferBytes) limit(info, `'${label}' needs ${formatBytes(size)}`, limits.maxBufferBytes);
    const buffer: WebGpuBuffer = {
      id: nextBufferId++,
      bytes: size,
      label,
      owner,
      gpu: createBuffer(size, label),
      forget: new Set(),
      freed: { yes: false },
    };
    buffers.add(buffer);
    return buffer;
  };

  const free = (buffer: DeviceBuffer) => {
    const mine = buffer as WebGpuBuffer;
    if (mine.owner !== owner || mine.freed.yes || closed) return;
    mine.freed.yes = true;
    for (const forget of mine.forget) forget();
    mine.forget.clear();
    buffers.delete(mine);
    if (encoder === undefined) mine.gpu.destroy();
    else doomed.push(mine.gpu);
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
    endPass();
    commands().copyBufferToBuffer(source.gpu, fromOffset, target.gpu, toOffset, bytes);
    written.add(target.gpu);
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
    if (written.has(source.gpu)) {
      endPass();
      commands().copyBufferToBuffer(source.gpu, offset, stage, 0, bytes);
    } else {
      const first = gpu.createCommandEncoder();
      first.copyBufferToBuffer(source.gpu, offset, stage, 0, bytes);
      gpu.queue.submit([first.finish()]);
      submitted++;
      watch();
    }
    flush();
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

  const bindGroup = (kernel: WebGpuKernel, bound: readonly WebGpuBuffer[]): GPUBindGroup => {
    const key = bound.map((buffer) => buffer.id).join(" ");
    const known = kernel.groups.get(key);
    if (known) return known;
    const entries: GPUBindGroupEntry[] = bound.map((buffer, i) => ({
      binding: i + 1,
      resource: { buffer: buffer.gpu },
    }));
    if (kernel.uniformBytes > 0) {
      entries.push({ binding: 0, resource: { buffer: uniformBuffer(), size: kernel.uniformBytes } });
    }
    const group = gpu.createBindGroup({ layout: kernel.layout, entries });
    kernel.groups.set(key, group);
    const forget = () => {
      kernel.groups.delete(key);
      for (const buffer of bound) buffer.forget.delete(forget);
    };
    for (const buffer of bound) buffer.forget.add(forget);
    return group;
  };

  const launch = (
    kernel: Kernel,
    bindings: readonly DeviceBuffer[],
    words: UniformWords,
    groups: readonly [number, number, number],
    sink: LaunchSink | undefined,
  ) => {
    alive();
    const mine = kernel as WebGpuKernel;
    const { name, access, uniformWords } = kernel.source;
    if (mine.owner !== owner) bug(`kernel '${name}' was compiled for another device than ${info.name}`);
    if (bindings.length !== access.length || words.length !== uniformWords) {
      bug(
        `kernel '${name}' takes ${access.length} buffers and ${uniformWords} words, and got ${bindings.length} and ${words.length}`,
      );
    }
    const bound = bindings.map((buffer) => own(buffer, `kernel '${name}'`));
    checkAliases(name, access, bound);
    for (const buffer of bound) {
      if (buffer.bytes > limits.maxBindingBytes) {
        limit(info, `'${buffer.label}' of kernel '${name}' has ${formatBytes(buffer.bytes)}`, limits.maxBindingBytes);
      }
    }
    const most = Math.max(...groups);
    if (most > limits.maxWorkgroupsPerDimension) {
      fail(
        "limit",
        `kernel '${name}' needs ${most} workgroups in one dimension; ${info.adapter} allows ${limits.maxWorkgroupsPerDimension}`,
        "use larger blocks, or split the arrays over more devices",
      );
    }
    if (Math.min(...groups) === 0) return;

    const slot = Math.ceil(mine.uniformBytes / slotBytes) * slotBytes;
    if (batched >= BATCH_LAUNCHES || uniformUsed + slot > BATCH_UNIFORM_BYTES) flush();
    uniformHost.set(words, uniformUsed / 4);
    const timestampWrites = sink && timing?.nextPass(name, sink);
    if (timestampWrites) {
      endPass();
      pass = commands().beginComputePass({ timestampWrites });
    } else if (timedPass) endPass();
    timedPass = timestampWrites !== undefined;
    pass ??= commands().beginComputePass();
    if (pipelineInPass !== mine.pipeline) pass.setPipeline(mine.pipeline);
    pipelineInPass = mine.pipeline;
    for (const [i, { gpu: buffer }] of bound.entries()) if (access[i] === "read_write") written.add(buffer);
    pass.setBindGroup(0, bindGroup(mine, bound), mine.uniformBytes > 0 ? [uniformUsed] : []);
    pass.dispatchWorkgroups(groups[0], groups[1], groups[2]);
    uniformUsed += slot;
    batched++;
  };

  const idle = async () => {
    flush();
    await waitFor(gpu.queue.onSubmittedWorkDone(), "waiting for the kernels");
    await timing?.settled();
    alive();
  };

  const destroy = () => {
    closed = true;
    encoder = undefined;
    pass = undefined;
    timing?.stop();
    gpu.destroy();
    for (const buffer of buffers) buffer.freed.yes = true;
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
        if (sink) timing ??= startTiming(gpu);
      },
      lost,
      close() {
        if (mineIsOpen && --open === 0) destroy();
        mineIsOpen = false;
      },
    };
  });
}

/** In one launch a buffer that is written must not be bound anywhere else. */
export function checkAliases(kernel: string, access: readonly Access[], bound: readonly DeviceBuffer[]): void {
  for (let i = 0; i < bound.length; i++) {
    for (let j = 0; j < i; j++) {
      if (bound[i] === bound[j] && (access[i] === "read_write" || access[j] === "read_write")) {
        bug(`kernel '${kernel}': '${bound[i]!.label}' is bound at ${j + 1} and ${i + 1}, and written`);
      }
    }
  }
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
