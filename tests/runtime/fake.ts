/**
 * Devices made of nothing: a queue that runs later, one thing after another, and kernels that mix the bits of what they
 * read. What comes out depends on every operand, scalar, element and device, so a wrong order or buffer shows.
 */
import type { Device, DeviceBuffer, DeviceInfo, Kernel, KernelSource } from "../../runtime/device.ts";
import { GyreRuntimeError } from "../../runtime/errors.ts";

export type FakeOptions = {
  /** How long each thing in the queue takes, in milliseconds; 0 is a turn of the event loop, `Infinity` for ever. */
  readonly delay?: (what: string) => number;
  /** Called before each thing in the queue is done; what it throws is what the device reports. */
  readonly before?: (what: string) => void;
  readonly maxBytes?: number;
};

export type FakeDevice = Device & { readonly log: string[]; readonly live: Set<DeviceBuffer> };

let nextId = 1;

/** FNV-like mixing of 32-bit words. */
export const mix = (h: number, word: number): number => Math.imul(h ^ word, 0x01000193) ^ (h >>> 15);
export const hashName = (name: string): number => [...name].reduce((h, c) => mix(h, c.charCodeAt(0)), 0x811c9dc5);

/** What every kernel does: each written word from the words that are read; an update leaves every third word. */
export function fakeKernel(
  name: string,
  access: readonly ("read" | "write" | "update")[],
  words: readonly number[],
  buffers: readonly Uint32Array[],
): void {
  const seed = words.reduce((h, w) => mix(h, w), hashName(name));
  const reads = buffers.filter((_, k) => access[k] === "read").map((b) => b.slice());
  buffers.forEach((out, k) => {
    if (access[k] === "read") return;
    for (let i = 0; i < out.length; i++) {
      if (access[k] === "update" && i % 3 === 0) continue;
      out[i] = reads.reduce((h, r) => mix(h, r[i % r.length]!), mix(mix(seed, k), i)) >>> 0;
    }
  });
}

/** The source of a kernel as the fake device understands it: its accesses and the words of each array. */
export const fakeSource = (
  name: string,
  access: readonly ("read" | "write" | "update")[],
  lengths: readonly number[],
  scalars: number,
): KernelSource => ({
  name,
  dialect: "wgsl",
  threads: 1,
  sharedBytes: 0,
  entry: "main",
  text: JSON.stringify({ access, lengths }),
  access: access.map((a) => (a === "read" ? "read" : "read_write")),
  uniformWords: scalars,
});

export function fakeDevice(name: string, options: FakeOptions = {}): FakeDevice {
  const data = new Map<DeviceBuffer, Uint32Array>();
  const live = new Set<DeviceBuffer>();
  const log: string[] = [];
  let queue: Promise<unknown> = Promise.resolve();
  let failure: unknown;
  let reportLost: (error: Error) => void = () => {};
  const lost = new Promise<Error>((resolve) => {
    reportLost = resolve;
  });
  const sleep = (ms: number) => new Promise((resolve) => ms < Number.POSITIVE_INFINITY && setTimeout(resolve, ms));
  const enqueue = <T>(what: string, act: () => T): Promise<T> => {
    if (failure) throw failure;
    const done = queue.then(async () => {
      const ms = options.delay?.(what) ?? 0;
      if (ms > 0) await sleep(ms);
      if (failure) throw failure;
      try {
        options.before?.(what);
      } catch (error) {
        failure = error;
        reportLost(error as Error);
        throw error;
      }
      log.push(what);
      return act();
    });
    queue = done.catch(() => {});
    done.catch(() => {});
    return done;
  };
  const words = (buffer: DeviceBuffer): Uint32Array => {
    const found = data.get(buffer);
    if (!found) throw new GyreRuntimeError("internal", `'${buffer.label}' is not on ${name}`, "");
    return found;
  };
  const info = {
    backend: "webgpu",
    name,
    adapter: "fake",
    software: true,
    limits: { maxBufferBytes: options.maxBytes ?? 1 << 20, maxBindingBytes: options.maxBytes ?? 1 << 20 },
    features: { subgroups: false, f16: false, timestamps: false },
  } as unknown as DeviceInfo;

  const device: FakeDevice = {
    info,
    log,
    live,
    lost,
    alloc(bytes, label) {
      const buffer = { id: nextId++, bytes, label };
      data.set(buffer, new Uint32Array(bytes / 4));
      live.add(buffer);
      return buffer;
    },
    free(buffer) {
      live.delete(buffer);
    },
    write(buffer, offset, bytes) {
      const view = ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : new Uint8Array(bytes);
      const copy = view.slice();
      void enqueue(`write ${buffer.label}`, () => new Uint8Array(words(buffer).buffer).set(copy, offset));
    },
    async read(buffer, offset, bytes) {
      return enqueue(`read ${buffer.label}`, () => words(buffer).buffer.slice(offset, offset + bytes) as ArrayBuffer);
    },
    async readInto(buffer, offset, bytes, use) {
      const got = await enqueue(`read ${buffer.label}`, () => words(buffer).buffer.slice(offset, offset + bytes));
      const ms = options.delay?.(`map ${buffer.label}`) ?? 0;
      if (ms > 0) await sleep(ms);
      use(got as ArrayBuffer);
    },
    copy(from, fromOffset, to, toOffset, bytes) {
      void enqueue(`copy ${from.label}`, () =>
        words(to).set(words(from).subarray(fromOffset / 4, (fromOffset + bytes) / 4), toOffset / 4),
      );
    },
    async compile(source) {
      return { source };
    },
    launch(kernel: Kernel, bindings, scalars) {
      const { access, lengths } = JSON.parse(kernel.source.text);
      const given = [...scalars];
      bindings.forEach((b, i) => {
        for (const [j, c] of bindings.entries()) {
          if (i !== j && b === c && (access[i] !== "read" || access[j] !== "read")) {
            throw new Error(`${kernel.source.name}: '${b.label}' is bound twice and written`);
          }
        }
      });
      void enqueue(kernel.source.name, () =>
        fakeKernel(
          kernel.source.name,
          access,
          given,
          bindings.map((b, i) => words(b).subarray(0, lengths[i])),
        ),
      );
    },
    flush() {
      if (failure) throw failure;
    },
    async idle() {
      await enqueue("idle", () => {});
    },
    trace() {},
    memory: data,
    close() {
      failure = new GyreRuntimeError("device-lost", `${name} was closed`, "open the devices again");
    },
  };
  return device;
}
