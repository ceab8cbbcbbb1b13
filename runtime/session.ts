/** A session: devices, the programs loaded on them, and the memory that passes from run to run. */
import type { Buffer, Input, Schedule } from "../compiler/schedule/schedule.ts";
import { alive, type DeviceArray, stateOf } from "./array.ts";
import type { Device, DeviceBuffer, Kernel, KernelSource } from "./device.ts";
import type { Tensor } from "./dtype.ts";
import { fail } from "./errors.ts";
import { asArray, giveIdle, type Home, takeIdle, upload, writeParts } from "./home.ts";
import {
  checkComplete,
  checkDeviceArray,
  checkKnown,
  type InputValue,
  type PartialTensor,
  tensorFor,
} from "./inputs.ts";
import { checkLimits } from "./limits.ts";
import { deviceCount } from "./route.ts";
import { runSchedule, type RunOptions as StepOptions } from "./run.ts";
import { dialects, type Target, targetFor } from "./target.ts";
import { inProcess } from "./transport/local.ts";
import { acrossProcesses, type Places } from "./transport/remote.ts";
import type { Carrier } from "./transport/transfers.ts";
import type { Transport } from "./transport/transport.ts";

/** What the compiler made. `kernels[k]` is the text of the schedule's kernel k. */
export type Executable = {
  readonly schedule: Schedule;
  readonly kernels: readonly KernelSource[];
  /** The same program planned so that the inputs `donate` may be overwritten; left out, donated inputs are only freed. */
  readonly replan?: (donate: readonly string[]) => Schedule;
  /** The same program for other devices: where `kernels` are in a dialect that the session's devices do not run. */
  readonly retarget?: (target: Target) => Executable;
};

/** `donate`: paths of inputs whose arrays on the devices the run may overwrite; they cannot be used afterwards. */
export type RunOptions = StepOptions & { readonly donate?: readonly string[] };

/** A program on the devices, its kernels compiled. */
export type LoadedProgram = {
  readonly schedule: Schedule;
  /**
   * Runs it; resolves when the devices are done. Results stay there until they are read: by path, `` for a sole result.
   * Runs of a session follow each other. Errors: an input that does not fit, the machine's (GyreRuntimeError), an abort.
   */
  run(inputs: Readonly<Record<string, InputValue>>, options?: RunOptions): Promise<Record<string, DeviceArray>>;
  /** Puts an input on the devices, in the sharding that the program wants: for many runs with the same weights. */
  put(path: string, value: InputValue): Promise<DeviceArray>;
};

export type Session = {
  readonly devices: readonly Device[];
  /** What connects the devices, where it is not the process itself: `NCCL 2.21.5 and Open MPI v4.1.4`. */
  readonly way: string | undefined;
  /** Compiles the kernels for each device, each text once. The same executable again is the same program. */
  load(executable: Executable): Promise<LoadedProgram>;
  /** Closes the devices; arrays that were not read are gone. */
  close(): void;
};

export type SessionOptions = {
  /** How bytes travel between the devices; when left out, directly within the process, and by `shared.transport` beyond. */
  readonly carrier?: Carrier;
  /** How messages call the way between the devices, where it is not the process's own. */
  readonly way?: string;
  /** What else ends with the session, before its devices are closed. */
  readonly onClose?: () => void;
  /**
   * The session is one of several processes that all do the same: `places[rank]` are the mesh positions of this one's
   * devices. Loading, running and reading are collective then: all processes call them in the same order.
   */
  readonly shared?: { readonly transport: Transport; readonly places: Places };
};

/** A session on devices that are open; `close` closes them. */
export function sessionOn(devices: readonly Device[], options: SessionOptions = {}): Session {
  const { shared } = options;
  const direct: Carrier = shared ? acrossProcesses(shared.transport, shared.places) : inProcess();
  const positions = shared ? shared.places[shared.transport.rank]! : devices.map((_, i) => i);
  const home: Home = {
    devices,
    positions,
    count: shared ? shared.places.flat().length : devices.length,
    transport: shared?.transport,
    carrier: options.carrier ?? direct,
    idle: devices.map(() => new Map()),
    owner: {},
    last: Promise.resolve(),
    closed: false,
  };
  const loaded = new WeakMap<Executable, Promise<LoadedProgram>>();
  return {
    devices,
    way: options.way,
    load(executable) {
      const known = loaded.get(executable);
      if (known) return known;
      const made = load(home, executable);
      loaded.set(executable, made);
      made.catch(() => loaded.delete(executable));
      return made;
    },
    close() {
      if (!home.closed) options.onClose?.();
      home.closed = true;
      for (const device of devices) device.close();
    },
  };
}

async function load(home: Home, given: Executable): Promise<LoadedProgram> {
  open(home);
  const executable = inDialectOf(home.devices[0]!, given);
  const { schedule } = executable;
  const count = deviceCount(schedule.mesh);
  if (count > home.count) {
    const mesh = schedule.mesh.axes.map((a) => `${a.name}: ${a.size}`).join(", ");
    fail(
      "no-device",
      `'${schedule.name}' is for a mesh of ${count} devices (${mesh}), and this session has ${home.count}`,
      `open it with { devices: ${count} }, or compile for a smaller mesh`,
    );
  }
  const devices = home.devices.filter((_, i) => home.positions[i]! < count);
  for (const device of new Set(devices)) checkLimits(schedule, device);
  const kernels = await Promise.all(
    devices.map((d) => Promise.all(executable.kernels.map((source) => d.compile(source)))),
  );
  const plans = new Map<string, Schedule>();
  const planFor = (donate: readonly string[]): Schedule => {
    if (donate.length === 0 || !executable.replan) return schedule;
    const paths = [...new Set(donate)].sort();
    const key = JSON.stringify(paths);
    const known = plans.get(key) ?? executable.replan(paths);
    plans.set(key, known);
    return known;
  };

  return {
    schedule,
    put: (path, value) =>
      inTurn(home, async () => {
        const port = schedule.inputs.find((p) => p.path === path);
        if (!port) checkKnown(schedule.inputs, [path]);
        const given = await onHostOrHere(home, schedule, port!, value);
        return (
          given.array ?? asArray(home, schedule, port!, devices, upload(home, schedule, port!, given.tensor!, devices))
        );
      }),
    run: (inputs, options = {}) =>
      inTurn(home, () => run(home, planFor(options.donate ?? []), devices, kernels, inputs, options)),
  };
}

/** What runs on a device: as it is, or made for it. */
function inDialectOf({ info }: Device, executable: Executable): Executable {
  const dialect = dialects[info.backend];
  const other = executable.kernels.find((k) => k.dialect !== dialect);
  if (!other) return executable;
  return (
    executable.retarget?.(targetFor(info)) ??
    fail(
      "input",
      `the kernels of '${executable.schedule.name}' are ${other.dialect}, and ${info.name} runs ${dialect}`,
      `build it with \`--target ${dialect}\`, or open other devices`,
    )
  );
}

/** Runs of a session follow each other, whether the one before succeeded or not. */
function inTurn<T>(home: Home, action: () => Promise<T>): Promise<T> {
  const mine = home.last.then(() => {
    open(home);
    return action();
  });
  home.last = mine.catch(() => {});
  return mine;
}

function open(home: Home): void {
  if (home.closed) fail("device-lost", "the session was closed", "open another one");
}

// ---- one run ---------------------------------------------------------------------------------------------------------

async function run(
  home: Home,
  schedule: Schedule,
  devices: readonly Device[],
  kernels: readonly (readonly Kernel[])[],
  inputs: Readonly<Record<string, InputValue>>,
  options: RunOptions,
): Promise<Record<string, DeviceArray>> {
  const donated = new Set(options.donate);
  checkKnown(schedule.inputs, [...Object.keys(inputs), ...donated]);
  checkComplete(schedule.inputs, inputs);
  const given = new Map<Input, Given>();
  for (const port of schedule.inputs) {
    const value = inputs[port.path]!;
    given.set(port, await onHostOrHere(home, schedule, port, value));
  }
  checkDonations(schedule, given, inputs, donated);

  // Everything that this run may keep: what it allocates, and what it was given for good.
  const own = new Set<DeviceBuffer>();
  const take = (position: number, { bytes, name }: Buffer): DeviceBuffer => {
    const buffer = takeIdle(home, position, bytes) ?? devices[position]!.alloc(bytes, name);
    own.add(buffer);
    return buffer;
  };
  try {
    const placed = new Map<number, readonly DeviceBuffer[]>();
    for (const [port, { array, tensor }] of given) {
      const state = array && stateOf(array)!;
      if (donated.has(port.path)) {
        const gone = stateOf(inputs[port.path] as object);
        if (gone) gone.dead = `was donated to '${schedule.name}'`;
        for (const part of gone?.owner === home.owner ? gone.parts : []) own.add(part);
      }
      if (state) placed.set(port.buffer, state.parts);
      else {
        const parts = devices.map((_, p) => take(p, schedule.buffers[port.buffer]!));
        writeParts(home, schedule, port, tensor!, devices, parts);
        placed.set(port.buffer, parts);
      }
    }
    const memory = devices.map((_, p) => schedule.buffers.map((b) => placed.get(b.id)?.[p] ?? take(p, b)));
    const after = await runSchedule(
      schedule,
      { devices, kernels, memory, positions: home.positions, carrier: home.carrier },
      options,
    );
    const results: Record<string, DeviceArray> = {};
    for (const output of schedule.outputs) {
      const parts = after.map((names) => names[output.buffer]!);
      for (const part of parts) own.delete(part);
      results[output.path] = asArray(home, schedule, output, devices, parts);
    }
    for (const [p, names] of after.entries()) {
      for (const buffer of new Set([...names, ...memory[p]!])) if (own.delete(buffer)) giveIdle(home, p, buffer);
    }
    for (const [port] of given) leftOver(home, own, inputs[port.path]);
    return results;
  } catch (error) {
    // Transfers may still be under way into this memory: it goes back to the driver, not to the next run.
    for (const device of devices) for (const buffer of own) quietly(() => device.free(buffer));
    throw error;
  }
}

/** A donated array that had to be brought into another sharding: its own memory is free now. */
function leftOver(home: Home, own: Set<DeviceBuffer>, value: InputValue | undefined): void {
  const state = typeof value === "object" ? stateOf(value) : undefined;
  state?.parts.forEach((part, p) => {
    if (own.delete(part)) giveIdle(home, p, part);
  });
}

type Given = { readonly array?: DeviceArray; readonly tensor?: Tensor | PartialTensor };

/** The array as it is where it can be used so; else its elements on the host. */
async function onHostOrHere(home: Home, schedule: Schedule, port: Input, value: InputValue): Promise<Given> {
  const state = typeof value === "object" ? stateOf(value) : undefined;
  if (!state) return { tensor: tensorFor(port, value as Exclude<InputValue, DeviceArray>) };
  const array = value as DeviceArray;
  checkDeviceArray(port, array);
  alive(state, `use as input '${port.path}'`);
  const { bytes } = schedule.buffers[port.buffer]!;
  const here =
    state.owner === home.owner &&
    JSON.stringify([state.spec, state.mesh]) === JSON.stringify([port.spec, schedule.mesh.axes]) &&
    state.parts.every((part) => part.bytes >= bytes);
  return here ? { array } : { tensor: await array.read() };
}

/** An array must not be donated and be used as another input of the same run. */
function checkDonations(
  schedule: Schedule,
  given: ReadonlyMap<Input, Given>,
  inputs: Readonly<Record<string, InputValue>>,
  donated: ReadonlySet<string>,
): void {
  for (const port of given.keys()) {
    if (!donated.has(port.path)) continue;
    const twin = schedule.inputs.find((p) => p !== port && inputs[p.path] === inputs[port.path]);
    if (twin && typeof inputs[port.path] === "object" && stateOf(inputs[port.path] as DeviceArray)) {
      fail(
        "input",
        `'${port.path}' is donated and is also input '${twin.path}'`,
        "leave it out of `donate`, or give another array",
      );
    }
  }
}

function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // a lost device frees everything by itself
  }
}
