/**
 * Runs a schedule: on every device of this process a walk over the steps, all of them side by side. How bytes travel is
 * the carrier's (`transport/`).
 *
 * A walk queues launches and goes on; it stops only at a `wait`. A send starts reading at once, so the copy out of the
 * source stands in the device's queue before the kernels that follow, and the bytes travel beside the compute of both
 * ends. Work on a device takes effect in the order of the calls, so a receiver's kernels that come after its `wait` see
 * what arrived.
 *
 * If anything fails, every walk stops, and the error names the step and the device.
 */
import type { Schedule, Step, Transfer, When } from "../compiler/schedule/schedule.ts";
import type { Device, DeviceBuffer, Kernel } from "./device.ts";
import { GyreRuntimeError, withLimit } from "./errors.ts";
import { flightsOf } from "./flights.ts";
import { coordinates } from "./layout.ts";
import { peers, ringPlace } from "./route.ts";
import { nowMicros, type TraceEvent } from "./trace.ts";
import { inProcess } from "./transport/local.ts";
import type { Carrier, QueuedTransfers, Transfers } from "./transport/transfers.ts";

export type RunOptions = {
  /** Told of every launch, transfer and wait, in the schedule's own labels; receives are on a stream of their own (`sp+1 in`). */
  readonly trace?: (event: TraceEvent) => void;
  /** Told now and then how far the run is: steps done and steps in all, over the devices of this process. */
  readonly progress?: (done: number, total: number) => void;
  /** Told of every step that a device begins, by its label. */
  readonly at?: (step: string) => void;
  readonly signal?: AbortSignal;
  /** How long a wait may last while nothing moves on any device; 10 minutes when left out. */
  readonly timeoutMs?: number;
};

/**
 * The devices of this process: `devices[i]` is at mesh position `positions[i]` (at i, where they are left out);
 * `kernels[i][k]` is kernel k of the schedule on it, `memory[i][b]` what buffer b is in.
 */
export type Machine = {
  readonly positions?: readonly number[];
  readonly devices: readonly Device[];
  readonly kernels: readonly (readonly Kernel[])[];
  readonly memory: readonly (readonly DeviceBuffer[])[];
  /** How bytes travel; when left out, all devices are in this process. */
  readonly carrier?: Carrier;
};

const TIMEOUT_MS = 600_000;
/** Launches that a device may be behind. */
const AHEAD = 512;
const PROGRESS_MS = 50;

/**
 * Runs `schedule`; resolves when all devices are done. Gives where each buffer's name ended: `result[i][b]` on device i (loops
 * exchange the names of buffers). Rejects with a GyreRuntimeError, or with the signal's reason.
 */
export async function runSchedule(
  schedule: Schedule,
  machine: Machine,
  options: RunOptions = {},
): Promise<readonly (readonly DeviceBuffer[])[]> {
  const shared = startRun(schedule, machine, options);
  const abort = () => shared.stop(options.signal!.reason);
  options.signal?.throwIfAborted();
  options.signal?.addEventListener("abort", abort);
  const { trace } = options;
  if (trace) for (const [i, device] of machine.devices.entries()) device.trace(launchSink(shared, device, i, trace));
  try {
    if ("queue" in shared.transfers) await shared.transfers.ready();
    const walks = machine.devices.map((_, i) =>
      walk(shared, i).catch((error) => {
        shared.stop(error);
        throw error;
      }),
    );
    await Promise.allSettled(walks);
    if (shared.failure) throw shared.failure.reason;
    return await Promise.all(walks);
  } finally {
    options.signal?.removeEventListener("abort", abort);
    if (trace) for (const device of machine.devices) quietly(() => device.trace(undefined));
  }
}

// ---- what all walks of a run share -----------------------------------------------------------------------------------

type Shared = {
  readonly schedule: Schedule;
  readonly machine: Machine;
  readonly options: RunOptions;
  readonly transfers: Transfers | QueuedTransfers;
  readonly positions: readonly number[];
  /** The name of the device at a mesh position, of this process or another. */
  readonly nameOf: (position: number) => string;
  /** By device: launches whose times it has yet to report. */
  readonly launched: readonly { label: string; kernel: string; detail: TraceEvent["detail"] }[][];
  readonly stop: (reason: unknown) => void;
  readonly stepsDone: (n: number) => void;
  readonly moved: () => void;
  readonly lastMoved: () => number;
  /** As `promise`, but ends when the run is stopped. */
  readonly orStop: <T>(promise: Promise<T>) => Promise<T>;
  failure: { readonly reason: unknown } | undefined;
};

function startRun(schedule: Schedule, machine: Machine, options: RunOptions): Shared {
  const { devices, carrier = inProcess() } = machine;
  const positions = machine.positions ?? devices.map((_, i) => i);
  const total = countSteps(schedule.steps) * devices.length;
  const pending = new Set<(reason: unknown) => void>();
  let done = 0;
  let told = performance.now();
  let moved = performance.now();
  const shared: Shared = {
    schedule,
    machine,
    options,
    positions,
    transfers: carrier({
      deviceAt: (position) => devices[positions.indexOf(position)]!,
      stopped: () => shared.failure !== undefined,
      schedule,
    }),
    nameOf: (position) =>
      devices[positions.indexOf(position)]?.info.name ?? `${devices[0]?.info.backend ?? "device"}:${position}`,
    launched: devices.map(() => []),
    failure: undefined,
    stop(reason) {
      if (shared.failure) return;
      shared.failure = { reason };
      for (const reject of pending) reject(reason);
      if ("queue" in shared.transfers) shared.transfers.stop();
    },
    stepsDone(n) {
      done += n;
      const now = performance.now();
      if (options.progress && (done === total || now - told > PROGRESS_MS)) {
        told = now;
        options.progress(done, total);
      }
    },
    moved() {
      moved = performance.now();
    },
    lastMoved: () => moved,
    orStop: (promise) =>
      new Promise((resolve, reject) => {
        if (shared.failure) return reject(shared.failure.reason);
        pending.add(reject);
        promise.then(resolve, reject).finally(() => pending.delete(reject));
      }),
  };
  return shared;
}

/** How many steps one device takes, loops unrolled. */
function countSteps(steps: readonly Step[]): number {
  return steps.reduce((n, step) => n + (step.kind === "loop" ? step.count * countSteps(step.body) : 1), 0);
}

/** The device reports launches in their order, by kernel: gives each its label back. */
function launchSink(shared: Shared, device: Device, index: number, trace: (event: TraceEvent) => void) {
  const waiting = shared.launched[index]!;
  return (kernel: string, start: number, end: number) => {
    const at = waiting.findIndex((l) => l.kernel === kernel);
    const [launch] = at < 0 ? [] : waiting.splice(at, 1);
    trace({
      device: device.info.name,
      stream: "compute",
      name: launch?.label ?? kernel,
      start,
      end,
      ...(launch?.detail ? { detail: launch.detail } : {}),
    });
  };
}

// ---- one device ------------------------------------------------------------------------------------------------------

/** Tells of a span, or of the part `from` … `to` of one (0 to 1), that was asked for and was `there` (now, when left out). */
type Trace = (
  stream: string,
  name: string,
  detail: TraceEvent["detail"],
  span: { readonly asked: number; readonly there?: number; readonly from?: number; readonly to?: number },
) => void;

/** The loops around a step, by id, and the innermost of them. */
type Loops = { readonly steps: ReadonlyMap<number, number>; readonly step: number; readonly count: number };
const OUTSIDE: Loops = { steps: new Map(), step: 0, count: 1 };

async function walk(shared: Shared, index: number): Promise<readonly DeviceBuffer[]> {
  const { schedule, machine, options, transfers, nameOf } = shared;
  const device = machine.devices[index]!;
  const position = shared.positions[index]!;
  const kernels = machine.kernels[index]!;
  const names = [...machine.memory[index]!];
  let behind = 0;

  /** A span of a stream begins where the one before it ended: what waits its turn is not under way yet. */
  const lastEnds = new Map<string, number>();
  const trace: Trace = (stream, name, detail, { asked, there = nowMicros(), from = 0, to = 1 }) => {
    const since = Math.max(asked, lastEnds.get(stream) ?? asked);
    if (to === 1) lastEnds.set(stream, there);
    const [start, end] = [since + from * (there - since), since + to * (there - since)];
    options.trace?.({ device: device.info.name, stream, name, start, end, ...(detail ? { detail } : {}) });
  };

  const flights = flightsOf({
    ...{ position, device, transfers, stop: shared.stop },
    explained: (error, label) => explain(error, label, shared, position),
  });
  const transfer = (step: Transfer, loops: Loops) => {
    const { to, from } = peers(schedule.mesh, step.axes, step.route, position, (id) => loops.steps.get(id) ?? 0);
    const sends = step.kind === "send";
    const peer = sends ? to : from;
    const asked = nowMicros();
    flights.begin(step, peer, names[step.buffer]!, (part) => {
      shared.moved();
      if (peer === undefined || peer === position) return;
      const detail = { ...detailOf(loops), bytes: step.bytes, [sends ? "to" : "from"]: nameOf(peer) };
      trace(sends ? step.stream : `${step.stream} in`, step.label, detail, part ?? { asked });
    });
  };

  const execute = (step: Exclude<Step, { kind: "loop" | "wait" }>, loops: Loops) => {
    switch (step.kind) {
      case "launch": {
        const { groups, scalars } = schedule.kernels[step.kernel]!;
        const kernel = kernels[step.kernel]!;
        const words = new Int32Array(kernel.source.uniformWords);
        scalars.forEach((scalar, i) => {
          words[i] =
            scalar.kind === "axis_index"
              ? ringPlace(schedule.mesh, scalar.axes, position)
              : (loops.steps.get(scalar.loop) ?? 0);
        });
        if (options.trace && Math.min(...groups) > 0) {
          const detail = detailOf(loops);
          shared.launched[index]!.push({ label: step.label, kernel: kernel.source.name, detail });
        }
        device.launch(
          kernel,
          step.args.map((arg) => names[arg.buffer]!),
          words,
          groups,
        );
        behind++;
        return;
      }
      case "copy":
        device.copy(names[step.from]!, 0, names[step.to]!, 0, step.bytes);
        return;
      case "send":
      case "receive":
        transfer(step, loops);
    }
  };

  const walkSteps = async (steps: readonly Step[], loops: Loops): Promise<void> => {
    for (const step of steps) {
      if (shared.failure) throw shared.failure.reason;
      if (!isDone(step.when, loops)) {
        shared.stepsDone(countSteps([step]));
        continue;
      }
      options.at?.(step.label);
      if (step.kind !== "send" && step.kind !== "receive") flights.depart();
      if (step.kind === "loop") {
        for (let i = 0; i < step.count; i++) {
          const own = new Map<number, DeviceBuffer>();
          if (i === 0) {
            const stands = step.carry.filter((c) => c.first !== undefined);
            for (const c of stands) own.set(c.buffer, names[c.buffer]!);
            for (const c of stands) names[c.buffer] = names[c.first!]!;
          }
          const inside = { steps: new Map(loops.steps).set(step.id, i), step: i, count: step.count };
          await walkSteps(step.body, inside);
          for (const [name, buffer] of own) names[name] = buffer;
          for (const cycle of step.rotate) rotate(names, cycle);
        }
        continue;
      }
      try {
        if (step.kind === "wait") {
          // Where devices share a processor, the kernels of one would hold up what the others are about to send.
          await undefined;
          device.flush();
          const asked = nowMicros();
          const flight = flights.wait(step.token);
          if (flight) {
            const what = `step '${step.label}' on ${placeName(shared, position)}`;
            await shared.orStop(withLimit(flight, options.timeoutMs ?? TIMEOUT_MS, what, shared.lastMoved));
          }
          behind = 0;
          trace("host", step.label, detailOf(loops), { asked });
        } else {
          if (schedule.inTurn && step.kind !== "launch" && step.kind !== "copy") await shared.orStop(device.idle());
          execute(step, loops);
          if (behind >= AHEAD) {
            behind = 0;
            await shared.orStop(device.idle());
          }
        }
      } catch (error) {
        throw isStop(shared, error) ? error : explain(error, step.label, shared, position);
      }
      shared.stepsDone(1);
    }
  };

  await walkSteps(schedule.steps, OUTSIDE);
  await shared.orStop(device.idle());
  await shared.orStop(flights.all());
  return names;
}

function isDone(when: When | undefined, { step, count }: Loops): boolean {
  switch (when) {
    case undefined:
      return true;
    case "first":
      return step === 0;
    case "not-first":
      return step > 0;
    case "last":
      return step === count - 1;
    case "not-last":
      return step < count - 1;
  }
}

/** The first name of the cycle gets what the second named, …, the last what the first did. */
function rotate(names: DeviceBuffer[], cycle: readonly number[]): void {
  const first = names[cycle[0]!]!;
  cycle.forEach((name, i) => {
    names[name] = i + 1 < cycle.length ? names[cycle[i + 1]!]! : first;
  });
}

const detailOf = (loops: Loops): TraceEvent["detail"] =>
  loops === OUTSIDE ? undefined : { step: [...loops.steps.values()].join(".") };

// ---- errors ----------------------------------------------------------------------------------------------------------

/** `webgpu:3 (sp=3, tp=0)`. */
function placeName(shared: Shared, position: number): string {
  const { mesh } = shared.schedule;
  const at = coordinates(mesh.axes, position);
  const where = mesh.axes.map((axis, i) => `${axis.name}=${at[i]}`).join(", ");
  return `${shared.nameOf(position)} (${where})`;
}

const isStop = (shared: Shared, error: unknown): boolean =>
  shared.failure !== undefined && shared.failure.reason === error;

/** The same error with the step and the device in its sentence. */
function explain(error: unknown, label: string, shared: Shared, position: number): unknown {
  if (!(error instanceof GyreRuntimeError) || error.message.includes(`step '`)) return error;
  const message = `step '${label}' on ${placeName(shared, position)}: ${error.message}`;
  return new GyreRuntimeError(error.kind, message, error.help, { cause: error });
}

function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // a lost device has nothing more to say
  }
}
