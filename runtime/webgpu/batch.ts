/**
 * Launches and copies of a `GPUDevice`, gathered into batches: a submit costs little beside many launches, and much beside
 * one. The scalars of a batch's launches are written at once; each launch sees its own at an offset.
 */
import type { Groups, LaunchSink, UniformWords } from "../device.ts";
import { startTiming, TIMED_PASSES, type Timing } from "./timing.ts";

const USAGE = { copyTarget: 8, uniform: 64 };

/** Launches in a batch: the device should not wait long for its first work. */
const BATCH_LAUNCHES = TIMED_PASSES;
/** Bytes of uniform data in a batch; each launch takes a slot of a multiple of the device's alignment. */
export const BATCH_UNIFORM_BYTES = 32 * 1024;

export type BatchedLaunch = {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly words: UniformWords;
  readonly uniformBytes: number;
  readonly groups: Groups;
  readonly writes: readonly GPUBuffer[];
  /** Who is told how long it took, by what name. */
  readonly timed: { readonly kernel: string; readonly sink: LaunchSink } | undefined;
};

export type Batches = {
  /** What a launch's bind group has at binding 0. */
  uniforms(): GPUBuffer;
  launch(launch: BatchedLaunch): void;
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void;
  /** Copies for a read: it waits for the batch only where that writes `from`. All is handed to the driver. */
  copyOut(from: GPUBuffer, offset: number, stage: GPUBuffer, bytes: number): void;
  /** Destroys a buffer as soon as the batch that is being gathered cannot name it. */
  drop(buffer: GPUBuffer): void;
  /** Hands what was gathered to the driver. */
  flush(): void;
  /** When the driver last was seen to have done something, on the clock of `performance.now()`. */
  lastProgress(): number;
  /** Launches are timed from now on where they say so. */
  time(): void;
  /** Resolves when all times were told. */
  timed(): Promise<void>;
  close(): void;
};

export function batchesOf(gpu: GPUDevice): Batches {
  let encoder: GPUCommandEncoder | undefined;
  let pass: GPUComputePassEncoder | undefined;
  let pipelineInPass: GPUComputePipeline | undefined;
  /** A timed pass holds one launch only. */
  let timedPass = false;
  let launches = 0;
  const words = new Uint32Array(BATCH_UNIFORM_BYTES / 4);
  const slotBytes = gpu.limits.minUniformBufferOffsetAlignment;
  let uniformUsed = 0;
  let uniforms: GPUBuffer | undefined;
  /** What the batch writes. */
  const written = new Set<GPUBuffer>();
  let doomed: GPUBuffer[] = [];
  let timing: Timing | undefined;

  const uniformBuffer = (): GPUBuffer =>
    (uniforms ??= gpu.createBuffer({
      size: BATCH_UNIFORM_BYTES,
      usage: USAGE.uniform | USAGE.copyTarget,
      label: "uniforms",
    }));
  const commands = (): GPUCommandEncoder => (encoder ??= gpu.createCommandEncoder());
  const endPass = (): void => {
    pass?.end();
    pass = undefined;
    pipelineInPass = undefined;
  };

  // Progress: one outstanding question to the queue, asked again while there is work.
  let lastProgress = 0;
  let submitted = 0;
  let watching = false;
  let closed = false;
  const watch = (): void => {
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
  const submit = (from: GPUCommandEncoder): void => {
    gpu.queue.submit([from.finish()]);
    submitted++;
    watch();
  };

  const flush = (): void => {
    if (encoder === undefined) return;
    endPass();
    if (uniformUsed > 0) gpu.queue.writeBuffer(uniformBuffer(), 0, words, 0, uniformUsed / 4);
    const clock = timing?.endBatch(encoder);
    submit(encoder);
    encoder = undefined;
    launches = 0;
    uniformUsed = 0;
    written.clear();
    for (const buffer of doomed) buffer.destroy();
    doomed = [];
    clock?.();
  };

  return {
    uniforms: uniformBuffer,
    launch(l) {
      const slot = Math.ceil(l.uniformBytes / slotBytes) * slotBytes;
      if (launches >= BATCH_LAUNCHES || uniformUsed + slot > BATCH_UNIFORM_BYTES) flush();
      words.set(l.words, uniformUsed / 4);
      const timestampWrites = l.timed && timing?.nextPass(l.timed.kernel, l.timed.sink);
      if (timestampWrites) {
        endPass();
        pass = commands().beginComputePass({ timestampWrites });
      } else if (timedPass) endPass();
      timedPass = timestampWrites !== undefined;
      pass ??= commands().beginComputePass();
      if (pipelineInPass !== l.pipeline) pass.setPipeline(l.pipeline);
      pipelineInPass = l.pipeline;
      for (const buffer of l.writes) written.add(buffer);
      pass.setBindGroup(0, l.group, l.uniformBytes > 0 ? [uniformUsed] : []);
      pass.dispatchWorkgroups(l.groups[0], l.groups[1], l.groups[2]);
      uniformUsed += slot;
      launches++;
    },
    copy(from, fromOffset, to, toOffset, bytes) {
      endPass();
      commands().copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
      written.add(to);
    },
    copyOut(from, offset, stage, bytes) {
      const within = written.has(from);
      if (within) endPass();
      const copies = within ? commands() : gpu.createCommandEncoder();
      copies.copyBufferToBuffer(from, offset, stage, 0, bytes);
      if (!within) submit(copies);
      flush();
    },
    drop(buffer) {
      if (encoder === undefined) buffer.destroy();
      else doomed.push(buffer);
    },
    flush,
    lastProgress: () => lastProgress,
    time() {
      timing ??= startTiming(gpu);
    },
    async timed() {
      await timing?.settled();
    },
    close() {
      closed = true;
      encoder = undefined;
      pass = undefined;
      timing?.stop();
    },
  };
}
