/** Devices on this processor: mesh positions whose kernels are WebAssembly, run by a pool of threads over shared memory. */
import type {
  Access,
  Device,
  DeviceBuffer,
  DeviceInfo,
  HostBytes,
  Kernel,
  KernelSource,
  LaunchSink,
} from "../device.ts";
import { fail, formatBytes, GyreRuntimeError, withLimit } from "../errors.ts";
import { once } from "../once.ts";
import { bound, type Owned, owned, ownedRange, wholeWords } from "../owned.ts";
import { bug, OUT_OF_MEMORY_HELP } from "../refusals.ts";
import { control } from "./control.ts";
import { createPool, type PoolOptions, type Spawn } from "./pool.ts";

type CpuBuffer = Owned & {
  readonly arena: number;
  readonly at: number;
  /** How many commands there were with the last that writes it, and with the last that reads or writes it. */
  written: number;
  used: number;
};
type CpuKernel = Kernel & { readonly owner: object; readonly number: number };

/** Resolves when a device has come to a mark. */
type Reached = (what: string) => Promise<void>;

/** Bytes for the arguments of one launch. */
const ARGUMENTS = 512;
/** A thread is given an eighth of its share of a launch at a time, and less near the end (worker.ts). */
const CHUNKS = 8;

export type CpuOptions = Pick<PoolOptions, "threads" | "arenas" | "pages"> & {
  readonly spawn: Spawn;
  readonly info: Omit<DeviceInfo, "name">;
  readonly timeoutMs: number;
};

let nextBufferId = 1;

/** One device for each of `names`. Their threads end when all of them are closed. */
export function cpuDevices(names: readonly string[], options: CpuOptions): readonly Device[] {
  const owner = {};
  let failure: GyreRuntimeError | undefined;
  const lost: ((error: Error) => void)[] = [];
  const pool = createPool(options.spawn, {
    threads: options.threads,
    queues: names.length,
    arenas: Math.min(options.arenas, names.length),
    pages: options.pages,
    failed(reason) {
      failure ??= new GyreRuntimeError(
        "device-lost",
        `${options.info.adapter} stopped: ${reason}`,
        "run it again; where it happens again, please report it with the program",
      );
      for (const report of lost) report(failure);
    },
  });

  // ---- kernels: compiled once, known to all threads ---------------------------------------------------------------
  const kernels = new Map<string, Promise<Kernel>>();
  const compile = (source: KernelSource): Promise<Kernel> => {
    const key = `${source.dialect} ${source.name} ${new TextDecoder("latin1").decode(source.code)}`;
    return once(kernels, key, () => compileNew(source));
  };
  const compileNew = async (source: KernelSource): Promise<Kernel> => {
    if (source.dialect !== "wasm" || !source.code)
      fail(
        "shader",
        `kernel '${source.name}' is ${source.dialect}, and ${options.info.adapter} runs WebAssembly`,
        "compile the program for the target `cpu`",
      );
    try {
      const module = await WebAssembly.compile(source.code);
      reserveScratch(source.sharedBytes);
      return { source, owner, number: pool.add(module, source.entry) } as CpuKernel;
    } catch (cause) {
      const words = cause instanceof Error ? cause.message : String(cause);
      return fail(
        "shader",
        `the WebAssembly engine refused kernel '${source.name}': ${words}`,
        "please report it with the program",
        cause,
      );
    }
  };

  /** Memory for the arrays of each thread, one region in every arena, as large as the largest kernel wants. */
  let scratch = { stride: 0, at: pool.arenas.map(() => 0) };
  const reserveScratch = (bytes: number): void => {
    // Threads do not share cache lines.
    const stride = Math.ceil(bytes / 128) * 128;
    if (stride <= scratch.stride) return;
    // The old region may be in use, and stays.
    scratch = { stride, at: pool.arenas.map((_, arena) => take(arena, pool.threads * stride, "arrays of kernels")) };
  };
  const take = (arena: number, bytes: number, label: string): number =>
    pool.arenas[arena]!.take(bytes) ??
    fail(
      "out-of-memory",
      `there is no memory for '${label}' (${formatBytes(bytes)}) in this process`,
      OUT_OF_MEMORY_HELP,
    );

  let open = names.length;
  return names.map((name, position): Device => {
    const info: DeviceInfo = { ...options.info, name };
    const queue = pool.queues[position]!;
    const arenaNumber = position % pool.arenas.length;
    const arena = pool.arenas[arenaNumber]!;
    const args = take(arenaNumber, control.ring * ARGUMENTS, "arguments");
    let closed = false;
    let sink: LaunchSink | undefined;
    let reject: (error: Error) => void = () => {};
    const closing = new Promise<never>((_, no) => {
      reject = no;
    });
    closing.catch(() => {});
    const alive = (): void => {
      if (failure) throw failure;
      if (closed) fail("device-lost", `${name} was closed`, "open the devices again");
    };

    /** Waits for the first `count` commands, however long they take while something moves. */
    const settled = async (what: string, count = queue.issued()): Promise<void> => {
      if (failure) throw failure;
      if (queue.done() >= count) return queue.reach(count);
      let seen = queue.moved();
      let moved = performance.now();
      const lastMoved = (): number => {
        const here = queue.moved();
        if (here !== seen) {
          seen = here;
          moved = performance.now();
        }
        return moved;
      };
      const reached = Promise.race([queue.reach(count), closing]);
      await withLimit(reached, options.timeoutMs, `${what} on ${name}`, lastMoved);
      if (failure) throw failure;
    };
    const idle = (): boolean => queue.done() === queue.issued();

    /** What is given back while work that may use it is under way, and how much work that was. */
    let doomed: { readonly after: number; readonly at: number; readonly bytes: number }[] = [];
    const reclaim = (): void => {
      const done = queue.done();
      for (const d of doomed) if (d.after <= done) arena.give(d.at, d.bytes);
      doomed = doomed.filter((d) => d.after > done);
    };
    const giveLater = (at: number, bytes: number): void => {
      doomed.push({ after: queue.issued(), at, bytes });
    };

    const by = { name, owner };
    const span = (buffer: DeviceBuffer, offset: number, bytes: number, use: string): CpuBuffer =>
      ownedRange(by, buffer, offset, bytes, use);
    /** The command that was just put in reads or writes it. */
    const touched = (b: CpuBuffer, to: Access): void => {
      b.used = queue.issued();
      if (to === "read_write") b.written = b.used;
    };
    const bytesOf = (b: CpuBuffer, offset: number, bytes: number): Uint8Array =>
      pool.arenas[b.arena]!.bytes(b.at + offset, bytes);

    const read = async (buffer: DeviceBuffer, offset: number, bytes: number): Promise<ArrayBuffer> => {
      alive();
      const b = span(buffer, offset, bytes, "read");
      if (idle()) return copyOut(bytesOf(b, offset, bytes));
      // Later work may change it: the queue itself sets it aside.
      const at = take(arenaNumber, bytes, "a copy for reading");
      queue.copy({ fromArena: b.arena, from: b.at + offset, toArena: arenaNumber, to: at, bytes });
      touched(b, "read");
      try {
        await settled(`reading '${buffer.label}'`);
        return copyOut(arena.bytes(at, bytes));
      } finally {
        if (!closed) giveLater(at, bytes);
      }
    };

    return {
      info,
      memory: {},
      alloc(asked, label) {
        alive();
        const bytes = wholeWords(info, asked, label);
        reclaim();
        const at = take(arenaNumber, bytes, label);
        const place = { owner, arena: arenaNumber, at, freed: false, written: 0, used: 0 };
        const buffer: CpuBuffer = { id: nextBufferId++, bytes, label, ...place };
        return buffer;
      },
      free(buffer) {
        const b = buffer as CpuBuffer;
        if (b.freed || closed) return;
        b.freed = true;
        giveLater(b.at, b.bytes);
        reclaim();
      },
      write(buffer, offset, data) {
        alive();
        const given = hostBytes(data);
        const b = span(buffer, offset, given.length, "write");
        if (idle()) return bytesOf(b, offset, given.length).set(given);
        const at = take(arenaNumber, given.length, "a copy for writing");
        arena.bytes(at, given.length).set(given);
        queue.copy({ fromArena: arenaNumber, from: at, toArena: b.arena, to: b.at + offset, bytes: given.length });
        touched(b, "read_write");
        giveLater(at, given.length);
      },
      read,
      async readInto(buffer, offset, bytes, use) {
        use(await read(buffer, offset, bytes));
      },
      copy(from, fromOffset, to, toOffset, bytes) {
        alive();
        const [a, b] = [span(from, fromOffset, bytes, "copy"), span(to, toOffset, bytes, "copy")];
        queue.copy({ fromArena: a.arena, from: a.at + fromOffset, toArena: b.arena, to: b.at + toOffset, bytes });
        touched(a, "read");
        touched(b, "read_write");
      },
      // A copy in this process's memory, by this thread, while the others compute.
      direct: {
        among: owner,
        mark: (buffer, to) => {
          const b = owned<CpuBuffer>(by, buffer, "transfer");
          const count = to === "read" ? b.written : b.used;
          return { event: (what: string) => settled(what, count) };
        },
        come: ({ event }) => (event as Reached)("a transfer"),
        view: (buffer, bytes) => {
          alive();
          return bytesOf(span(buffer, 0, bytes, "transfer"), 0, bytes);
        },
        async copy({ from, after, to, receiverAfter, bytes }) {
          alive();
          const [a, b] = [span(from, 0, bytes, "transfer"), span(to, 0, bytes, "transfer")];
          const what = `sending '${from.label}'`;
          await (after.event as Reached)(what);
          await (receiverAfter.event as Reached)(what);
          bytesOf(b, 0, bytes).set(bytesOf(a, 0, bytes));
        },
      },
      compile(source) {
        alive();
        return compile(source);
      },
      launch(kernel, bindings, words, groups) {
        alive();
        const k = kernel as CpuKernel;
        if (k.owner !== owner) bug(`kernel '${kernel.source.name}' is of another device than ${name}`);
        const { access } = k.source;
        const places = bound<CpuBuffer>(by, kernel, bindings, words);
        const total = groups[0] * groups[1] * groups[2];
        if (total === 0) return;
        for (const b of places) if (b.arena !== arenaNumber) bug(`'${b.label}' lies in another memory than ${name}'s`);
        const values = [...places.map((b) => b.at), ...words];
        const chunk = Math.max(1, Math.ceil(total / (CHUNKS * pool.threads)));
        const { stride } = scratch;
        const report = sink;
        queue.launch(
          (place) => {
            const at = args + place * ARGUMENTS;
            new Int32Array(arena.memory.buffer, at, values.length).set(values);
            return {
              kernel: k.number,
              arena: arenaNumber,
              args: at,
              groups: total,
              chunk,
              scratch: scratch.at[arenaNumber]!,
              stride,
            };
          },
          report && ((start, end) => report(k.source.name, start, end)),
        );
        for (const [i, b] of places.entries()) touched(b, access[i]!);
      },
      flush() {},
      async idle() {
        alive();
        await settled("work");
        reclaim();
      },
      trace(next) {
        sink = next;
      },
      lost: new Promise((resolve) => {
        lost.push(resolve);
      }),
      close() {
        if (closed) return;
        closed = true;
        reject(new GyreRuntimeError("device-lost", `${name} was closed`, "open the devices again"));
        if (--open === 0) pool.close();
      },
    };
  });
}

const copyOut = (shared: Uint8Array): ArrayBuffer => {
  const own = new Uint8Array(shared.length);
  own.set(shared);
  return own.buffer;
};
const hostBytes = (data: HostBytes): Uint8Array =>
  ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
