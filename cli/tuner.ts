/** The search for the fastest mapping of a kernel, by measured time; and the measuring, on a device. */
import type { Compiled, Variant, Variants } from "../compiler/compile.ts";
import type { Kernel as ScheduledKernel } from "../compiler/schedule/schedule.ts";
import type { Device, DeviceBuffer } from "../runtime/device.ts";
import { deviceBytes, elementCount, toDevice } from "../runtime/dtype.ts";
import { GyreRuntimeError } from "../runtime/errors.ts";
import { defaultInput } from "../runtime/random.ts";

export type Limits = {
  /** The most mappings to measure of one kernel. */
  readonly tries: number;
  /** Mappings without an improvement after which the search of a kernel ends. */
  readonly patience: number;
};
export type Found = {
  readonly variant: Variant;
  /** Milliseconds of a launch; `before`: of the default mapping. */
  readonly ms: number;
  readonly before: number;
  readonly tried: number;
};

/**
 * Measures the variants in their order, the default first, and gives the fastest. `measure` gives up (undefined) on one that
 * the device refuses, or that takes much longer than `best`. Undefined where the device refuses the default too.
 */
export async function search(
  { all }: Variants,
  measure: (variant: Variant, best: number) => Promise<number | undefined>,
  { tries, patience }: Limits,
  onTry: (tried: number, of: number) => void = () => {},
): Promise<Found | undefined> {
  const most = Math.min(tries, all.length);
  let best: { readonly variant: Variant; readonly ms: number } | undefined;
  let before: number | undefined;
  let tried = 0;
  let idle = 0;
  for (const variant of all.slice(0, most)) {
    onTry(tried, most);
    const ms = await measure(variant, best?.ms ?? Number.POSITIVE_INFINITY);
    if (tried === 0) before = ms;
    tried++;
    // Less than a few percent is the clock's noise, and the default needs no reason.
    const better: boolean = ms !== undefined && (!best || ms < 0.97 * best.ms);
    if (better) best = { variant, ms: ms! };
    idle = better ? 0 : idle + 1;
    if (idle >= patience) break;
  }
  return best && before !== undefined ? { ...best, before, tried } : undefined;
}

/** Measures kernels of a program alone, on arrays of their own: standard normal numbers, and zeros for integers. */
export function measurer(device: Device, compiled: Compiled) {
  return async function measure(index: number, { make }: Variant, best: number): Promise<number | undefined> {
    const { kernel: source, groups } = make();
    const scheduled = compiled.schedule.kernels[index]!;
    let buffers: readonly DeviceBuffer[] = [];
    try {
      const kernel = await device.compile(source);
      buffers = arraysOf(device, scheduled);
      const words = new Int32Array(source.uniformWords);
      const once = async (): Promise<number> => {
        const began = performance.now();
        device.launch(kernel, buffers, words, groups);
        await device.idle();
        return performance.now() - began;
      };
      const times = [await once()];
      // The first run may have waited for the driver; a second says whether the rest is worth the time.
      for (let spent = 0; times.length < 16 && (times.length < 4 || spent < 100); spent += times.at(-1)!) {
        times.push(await once());
        if (times.length === 2 && times[1]! > 2 * best) break;
      }
      return Math.min(...times.slice(1));
    } catch (error) {
      if (error instanceof GyreRuntimeError && error.kind === "shader") return undefined; // no mapping for this device
      throw error;
    } finally {
      for (const b of buffers) device.free(b);
    }
  };
}

function arraysOf(device: Device, { bindings }: ScheduledKernel): readonly DeviceBuffer[] {
  return bindings.map(({ name, dtype, shape, access }) => {
    const count = elementCount(shape);
    const buffer = device.alloc(deviceBytes(dtype, count), name);
    if (access !== "write") device.write(buffer, 0, toDevice(defaultInput(0, name, dtype, count), dtype));
    return buffer;
  });
}
