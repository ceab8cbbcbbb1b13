/** A `Device` on CUDA: one mesh position on a GPU, with streams of its own. Several positions may share a GPU. */
import type {
  Device,
  DeviceBuffer,
  DeviceInfo,
  Direct,
  HostBytes,
  Kernel,
  KernelSource,
  LaunchSink,
} from "../device.ts";
import { fail, formatBytes, GyreRuntimeError } from "../errors.ts";
import { once } from "../once.ts";
import { bound, type Owned, ownedRange, wholeWords } from "../owned.ts";
import { createPool, sizeClass } from "../pool.ts";
import { bug } from "../refusals.ts";
import type { Handle } from "./driver.ts";
import type { Gpu } from "./gpu.ts";
import type { Failed } from "./refusals.ts";
import { type Mark, openStreams } from "./streams.ts";
import { tensorMaps } from "./tensors.ts";
import { startTiming, type Timing } from "./timing.ts";

/** Memory that the driver gave; a buffer lies at its begin. */
type Block = { readonly address: Handle; readonly bytes: number };
type CudaBuffer = Owned & {
  readonly gpu: Gpu;
  readonly block: Block;
  readonly address: Handle;
};
type CudaKernel = Kernel & {
  readonly owner: Gpu;
  readonly entry: Handle;
  /** Where a launch's parameters are put, and pointers to each: the driver copies them in the call. */
  readonly addresses: BigUint64Array;
  readonly words: Int32Array;
  readonly params: BigUint64Array;
  /** The parameters between: tensor maps of buffers. */
  readonly maps: readonly (ReturnType<typeof tensorMaps> & { readonly binding: number })[];
};

let nextBufferId = 1;
/** The share of a GPU's memory, and the bytes of pinned memory, that may lie idle for the next who asks. */
const IDLE_SHARE = 0.25;
const IDLE_PINNED_BYTES = 256 << 20;
/** Launches that an error may have been in: those since all work was last known to be done. */
const TOLD_LAUNCHES = 3;

/** A mesh position named `name` on an open GPU. `timeoutMs`: how long a wait may last without progress. */
export function cudaDevice(gpu: Gpu, name: string, timeoutMs: number): Device {
  const { driver, limits, features } = gpu;
  const owner = {};
  const by = { name, owner };
  const info: DeviceInfo = { backend: "cuda", name, adapter: gpu.name, software: false, limits, features };
  const about = (doing: string): Failed => ({ device: name, gpu: gpu.name, doing });

  // ---- failure: once the device is lost, every later call says so --------------------------------------------------
  let failure: GyreRuntimeError | undefined;
  let closed = false;
  let reportLost: (error: Error) => void = () => {};
  const lost = new Promise<Error>((resolve) => {
    reportLost = resolve;
  });
  const alive = () => {
    if (failure) throw failure;
    if (closed) fail("device-lost", `${name} was closed`, "open the devices again");
    gpu.use();
  };
  const noted = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw note(error);
    }
  };
  const note = (error: unknown): unknown => {
    if (error instanceof GyreRuntimeError && error.kind === "device-lost" && !closed && !failure) {
      failure = error;
      reportLost(error);
    }
    return error;
  };
  /** What was launched and may still be under way, for errors that come later. */
  let launches: string[] = [];
  const underWay = (doing: string): string => {
    if (launches.length === 0) return doing;
    const more = launches.length > TOLD_LAUNCHES ? ` or one of the ${launches.length - TOLD_LAUNCHES} before` : "";
    const told = launches.slice(-TOLD_LAUNCHES).reverse();
    return `${told.join(", or ")}${more} (seen while ${doing}; GYRE_CUDA_SYNC=1 tells which)`;
  };

  const streams = openStreams(gpu, (doing) => about(underWay(doing)), timeoutMs);
  const { compute } = streams;
  const waitFor = async (doing: string): Promise<void> => {
    const mark = streams.mark(compute);
    const before = launches.length;
    try {
      await streams.wait(mark, doing);
      launches = launches.slice(before);
      noted(() => timing?.report());
    } catch (error) {
      throw note(error);
    } finally {
      mark.drop();
    }
  };

  // ---- memory ------------------------------------------------------------------------------------------------------
  const buffers = new Set<CudaBuffer>();
  const makeBlock = (bytes: number, label: string): Block => ({
    address: driver.make(about(`allocating ${formatBytes(bytes)} for '${label}'`), "cuMemAlloc", bytes),
    bytes,
  });
  let asking = "";
  const blocks = createPool<Block>({
    make: (bytes) => makeBlock(bytes, asking),
    size: (block) => block.bytes,
    destroy: (block) => void driver.status("cuMemFree", block.address),
    keepBytes: gpu.memoryBytes * IDLE_SHARE,
  });
  const pinned = createPool<Block>({
    make: (bytes) => ({
      address: driver.make(about(`allocating ${formatBytes(bytes)} of pinned memory`), "cuMemHostAlloc", bytes, 0),
      bytes,
    }),
    size: (block) => block.bytes,
    destroy: (block) => void driver.status("cuMemFreeHost", block.address),
    keepBytes: IDLE_PINNED_BYTES,
  });
  const take = (bytes: number, label: string): Block => {
    asking = label;
    try {
      return blocks.take(bytes);
    } catch (error) {
      if (!(error instanceof GyreRuntimeError) || error.kind !== "out-of-memory") throw error;
      // What lies idle may be what is missing; and large arrays need not be rounded up.
      blocks.clear();
      try {
        return makeBlock(bytes, label);
      } catch {
        const held = [...buffers].reduce((sum, buffer) => sum + buffer.bytes, 0);
        const message = `${error.message}; ${formatBytes(held)} of ${formatBytes(gpu.memoryBytes)} are in use by ${name}`;
        throw new GyreRuntimeError(error.kind, message, error.help, { cause: error });
      }
    }
  };
  const range = (buffer: DeviceBuffer, offset: number, bytes: number, use: string): CudaBuffer =>
    ownedRange(by, buffer, offset, bytes, use);
  const at = (buffer: CudaBuffer, offset: number): Handle => buffer.address + BigInt(offset);

  const alloc = (bytes: number, label: string): DeviceBuffer => {
    alive();
    const size = wholeWords(info, bytes, label);
    const block = noted(() => take(size, label));
    const { address } = block;
    noted(() => driver.call(about(`clearing '${label}'`), "cuMemsetD8", address, 0, size, compute));
    const buffer: CudaBuffer = {
      id: nextBufferId++,
      bytes: size,
      label,
      owner,
      gpu,
      block,
      address,
      freed: false,
    };
    buffers.add(buffer);
    return buffer;
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
    const doing = `reading '${buffer.label}'`;
    const stage = noted(() => pinned.take(bytes));
    try {
      noted(() => driver.call(about(doing), "cuMemcpyDtoH", stage.address, at(source, offset), bytes, compute));
      await waitFor(doing);
      const mapped = driver.memoryAt(stage.address, bytes);
      lent.add(mapped);
      use(mapped);
    } finally {
      if (!closed) pinned.give(stage);
    }
  };

  // ---- kernels -----------------------------------------------------------------------------------------------------
  let timing: Timing | undefined;
  let sink: LaunchSink | undefined;
  const kernels = new Map<string, Promise<Kernel>>();
  const compileNew = async (source: KernelSource): Promise<Kernel> => {
    alive();
    const { access, uniformWords, dialect, tensors = [] } = source;
    if (dialect !== "cuda") bug(`kernel '${source.name}' is in ${dialect}, and ${name} takes CUDA C++`);
    if (access.length > limits.maxStorageBuffers) bug(`kernel '${source.name}' binds ${access.length} buffers`);
    const entry = await gpu.load(source, about);
    const addresses = new BigUint64Array(new ArrayBuffer(8 * Math.max(16, access.length)));
    const words = new Int32Array(new ArrayBuffer(4 * Math.max(32, uniformWords)));
    const count = access.length + tensors.length + uniformWords;
    const params = new BigUint64Array(new ArrayBuffer(8 * Math.max(16, count)));
    const [first, second] = [driver.addressOf(addresses), driver.addressOf(words)];
    access.forEach((_, k) => {
      params[k] = first + BigInt(8 * k);
    });
    for (let k = 0; k < uniformWords; k++) params[access.length + tensors.length + k] = second + BigInt(4 * k);
    const maps = tensors.map((view) => ({ ...tensorMaps(driver, view), binding: view.binding }));
    return { source, owner: gpu, entry, addresses, words, params, maps } as CudaKernel;
  };

  const launch: Device["launch"] = (kernel, bindings, words, groups) => {
    alive();
    const { source, entry, params, addresses, maps, ...mine } = kernel as CudaKernel;
    const { name: title, access, threads, sharedBytes } = source;
    if (mine.owner !== gpu) bug(`kernel '${title}' was compiled for another GPU than that of ${name}`);
    const arrays = bound<CudaBuffer>(by, kernel, bindings, words);
    if (Math.min(...groups) === 0) return;
    arrays.forEach((buffer, k) => {
      addresses[k] = buffer.address;
    });
    mine.words.set(words);
    maps.forEach(({ binding, at }, k) => {
      params[access.length + k] = noted(() => at(about(`mapping a buffer of kernel '${title}'`), addresses[binding]!));
    });
    const blocks = groups[0] * groups[1] * groups[2];
    const doing = `launching '${title}' on ${blocks} ${blocks === 1 ? "block" : "blocks"} of ${threads} threads`;
    const start = () =>
      driver.call(about(doing), "cuLaunchKernel", entry, ...groups, threads, 1, 1, sharedBytes, compute, params, null);
    noted(() => (sink && timing ? timing.around(title, sink, start) : start()));
    launches.push(doing);
    if (process.env.GYRE_CUDA_SYNC) noted(() => settle(doing));
  };
  /** Waits without the event loop, for people who look for the kernel that fails. */
  const settle = (doing: string): void => {
    const mark = streams.mark(compute);
    launches = [];
    const began = performance.now();
    while (!streams.reached(mark, doing))
      if (performance.now() - began > timeoutMs)
        fail("timeout", `${doing} on ${name} does not end`, "use smaller dimensions");
    mark.drop();
  };

  /** On the stream of the direction, so that it runs beside the kernels of both. */
  const copyDirectly: Direct["copy"] = async ({ stream: label, bytes, ...c }) => {
    alive();
    const marks = [c.after as Mark, c.receiverAfter as Mark];
    const source = range(c.from, 0, bytes, "send");
    const target = c.to as CudaBuffer;
    if (bytes === 0) return;
    const stream = streams.ring(label);
    const doing = `copying '${source.label}' to ${c.receiver.info.name}`;
    const done = noted(() => {
      for (const mark of marks) streams.after(stream, mark);
      const [to, from] = [target.address, source.address];
      if (target.gpu === gpu) driver.call(about(doing), "cuMemcpyDtoD", to, from, bytes, stream);
      else {
        gpu.reaches(target.gpu);
        gpu.use();
        driver.call(about(doing), "cuMemcpyPeer", to, target.gpu.context, from, gpu.context, bytes, stream);
      }
      return streams.mark(stream);
    });
    try {
      await streams.wait(done, doing);
    } catch (error) {
      throw note(error);
    } finally {
      for (const mark of [...marks, done]) mark.drop();
    }
  };

  return {
    info,
    memory: owner,
    direct: {
      among: driver,
      mark() {
        alive();
        return noted(() => streams.mark(compute));
      },
      come: (mark) =>
        streams.wait(mark as Mark, "waiting for a transfer").catch((error) => Promise.reject(note(error))),
      copy: copyDirectly,
    },
    streams: {
      gpu: gpu.busId,
      use: alive,
      stream(name) {
        alive();
        return noted(() => streams.ring(name));
      },
      address: (buffer, bytes, use) => range(buffer, 0, bytes, use).address,
      mark(stream = compute) {
        alive();
        return noted(() => streams.mark(stream));
      },
      drop: (mark) => (mark as Mark).drop(),
      after(stream = compute, mark) {
        alive();
        noted(() => streams.after(stream, mark as Mark));
      },
      reached: (mark, doing) => noted(() => streams.reached(mark as Mark, doing)),
    },
    alloc,
    free(buffer) {
      const mine = buffer as CudaBuffer;
      if (mine.owner !== owner || mine.freed || closed) return;
      mine.freed = true;
      buffers.delete(mine);
      // Whoever gets it next works on the same stream, after all that was launched before.
      if (sizeClass(mine.block.bytes) === mine.block.bytes && !failure) blocks.give(mine.block);
      else {
        driver.status("cuCtxSetCurrent", gpu.context);
        driver.status("cuMemFree", mine.address);
      }
    },
    write(buffer, offset, data) {
      alive();
      const target = range(buffer, offset, data.byteLength, "write");
      if (data.byteLength === 0) return;
      const doing = about(`writing '${buffer.label}'`);
      noted(() => driver.call(doing, "cuMemcpyHtoD", at(target, offset), view(data), data.byteLength, compute));
    },
    async read(buffer, offset, bytes) {
      let out = new ArrayBuffer(0);
      await readInto(buffer, offset, bytes, (mapped) => {
        out = mapped.slice(0);
      });
      return out;
    },
    readInto,
    copy(from, fromOffset, to, toOffset, bytes) {
      alive();
      const [source, target] = [range(from, fromOffset, bytes, "copy"), range(to, toOffset, bytes, "copy")];
      if (source === target) bug(`copy on ${name}: '${from.label}' to itself`);
      if (bytes === 0) return;
      const doing = about(`copying '${from.label}'`);
      noted(() => driver.call(doing, "cuMemcpyDtoD", at(target, toOffset), at(source, fromOffset), bytes, compute));
    },
    compile(source) {
      const key = `${source.entry} ${source.access.join(" ")} ${source.uniformWords}\n${source.text}`;
      return once(kernels, key, () => {
        const made = compileNew(source);
        made.catch(note);
        return made;
      });
    },
    launch,
    flush: alive,
    async idle() {
      alive();
      await waitFor("waiting for the kernels");
    },
    trace(next) {
      alive();
      sink = next;
      if (sink) timing ??= noted(() => startTiming(streams));
    },
    lost,
    close() {
      if (closed) return;
      closed = true;
      streams.close();
      for (const buffer of buffers) {
        buffer.freed = true;
        driver.status("cuMemFree", buffer.address);
      }
      buffers.clear();
      blocks.clear();
      pinned.clear();
      kernels.clear();
      gpu.release();
    },
  };
}

/** Pinned memory while it is lent. The driver reads pinned memory after the call, and all other memory in the call. */
const lent = new WeakSet<ArrayBufferLike>();

function view(data: HostBytes): ArrayBufferView {
  const bytes = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  if (!lent.has(bytes.buffer)) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice();
}
