/** How long each launch took on a WebGPU device, from its timestamps. */
import type { LaunchSink } from "../device.ts";
import { createPool } from "../pool.ts";

/** The most launches in one batch. */
export const TIMED_PASSES = 64;

const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, queryResolve: 512 };
const MAP_READ = 1;

type Launch = { readonly kernel: string; readonly sink: LaunchSink };

export type Timing = {
  /** The timestamps of the next pass, which holds one launch of `kernel`; `sink` is told its times. */
  nextPass(kernel: string, sink: LaunchSink): GPUComputePassTimestampWrites;
  /** Adds the reading of the batch's timestamps to `encoder`, just before it is submitted; the function returned is called after that. */
  endBatch(encoder: GPUCommandEncoder): (() => void) | undefined;
  settled(): Promise<void>;
  stop(): void;
};

/**
 * Device clocks have an origin of their own. A pass cannot begin before it was submitted, so the offset between the
 * clocks is at least `submit time - first begin` of each batch; the largest of these is met when the device was idle.
 */
export function startTiming(gpu: GPUDevice): Timing {
  const bytes = 2 * 8 * TIMED_PASSES;
  const queries = gpu.createQuerySet({ type: "timestamp", count: 2 * TIMED_PASSES });
  const resolved = gpu.createBuffer({ size: bytes, usage: USAGE.queryResolve | USAGE.copySource });
  const staging = createPool<GPUBuffer>({
    make: (size) => gpu.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyTarget }),
    size: (buffer) => buffer.size,
    destroy: (buffer) => buffer.destroy(),
    keepBytes: 1 << 20,
  });
  let launches: Launch[] = [];
  let offset = Number.NEGATIVE_INFINITY;
  const pending = new Set<Promise<void>>();

  const report = async (stage: GPUBuffer, reported: readonly Launch[], submittedAt: number) => {
    await stage.mapAsync(MAP_READ);
    const times = new BigInt64Array(stage.getMappedRange().slice(0));
    stage.unmap();
    staging.give(stage);
    const micros = (i: number) => Number(times[i]!) / 1000;
    offset = Math.max(offset, submittedAt - micros(0));
    reported.forEach(({ kernel, sink }, i) => {
      sink(kernel, micros(2 * i) + offset, micros(2 * i + 1) + offset);
    });
  };

  return {
    nextPass(kernel, sink) {
      const at = 2 * launches.push({ kernel, sink });
      return { querySet: queries, beginningOfPassWriteIndex: at - 2, endOfPassWriteIndex: at - 1 };
    },
    endBatch(encoder) {
      if (launches.length === 0) return undefined;
      const stage = staging.take(bytes);
      encoder.resolveQuerySet(queries, 0, 2 * launches.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, stage, 0, 16 * launches.length);
      const reported = launches;
      launches = [];
      // Before it is: what was submitted may run at once.
      const submittedAt = performance.now() * 1000;
      return () => {
        // A device that is lost meanwhile says so elsewhere: its times are dropped.
        const reading = report(stage, reported, submittedAt)
          .catch(() => {})
          .finally(() => pending.delete(reading));
        pending.add(reading);
      };
    },
    async settled() {
      await Promise.all(pending);
    },
    stop() {
      const destroy = () => {
        queries.destroy();
        resolved.destroy();
        staging.clear();
      };
      Promise.all(pending).then(destroy, destroy);
    },
  };
}
