/** Arrays that live on the devices of a session, in parts, until they are read. */
import type { SpecEntry } from "../compiler/schedule/schedule.ts";
import type { Device, DeviceBuffer } from "./device.ts";
import { type Dtype, deviceBytes, elementCount, fromDevice, type HostArray, type Tensor, toDevice } from "./dtype.ts";
import { fail } from "./errors.ts";
import { holders, localShape, type MeshAxis, unshard } from "./layout.ts";
import type { Transport } from "./transport/transport.ts";

/** A result, or an input that was put on the devices. Give it to `run` as it is: where the sharding agrees it does not move. */
export type DeviceArray = {
  readonly dtype: Dtype;
  /** The global shape. */
  readonly shape: readonly number[];
  readonly spec: readonly SpecEntry[];
  /** The whole array on the host, in global order; where several processes hold it, all call this. Errors: freed, donated, device lost. */
  read(): Promise<Tensor>;
  /** The parts that this process holds, each once over all processes. Errors as in `read`. */
  readParts(): Promise<readonly Part[]>;
  /** Gives its memory back at once; the garbage collector does it in the end. */
  free(): void;
};

/** What the device at `position` holds. */
export type Part = { readonly position: number; readonly data: HostArray };

/** What stands behind a DeviceArray. `parts[i]` holds the part of `devices[i]` at its beginning. */
export type ArrayState = {
  readonly owner: object;
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly spec: readonly SpecEntry[];
  readonly mesh: readonly MeshAxis[];
  readonly devices: readonly Device[];
  /** The mesh positions of the devices; where there is a transport, other processes hold the others. */
  readonly positions: readonly number[];
  readonly transport: Transport | undefined;
  readonly parts: readonly DeviceBuffer[];
  /** Why it cannot be used any more: `was freed`. */
  dead: string | undefined;
};

const states = new WeakMap<DeviceArray, ArrayState>();

/** The state behind `thing`, if it is a DeviceArray. */
export const stateOf = (thing: object): ArrayState | undefined => states.get(thing as DeviceArray);

/** Wraps a state; `giveBack` is called once with its memory, unless it was donated before. */
export function deviceArray(state: ArrayState, giveBack: (state: ArrayState) => void): DeviceArray {
  const free = () => {
    if (state.dead !== undefined) return;
    state.dead = "was freed";
    giveBack(state);
  };
  const array: DeviceArray = {
    dtype: state.dtype,
    shape: state.shape,
    spec: state.spec,
    read: async () => {
      alive(state, "read");
      return readArray(state);
    },
    readParts: async () => {
      alive(state, "read");
      return readParts(state);
    },
    free,
  };
  states.set(array, state);
  collected.register(array, free);
  return array;
}

const collected = new FinalizationRegistry<() => void>((free) => free());

/** Throws when the array is dead. `use`: what was about to be done with it. */
export function alive(state: ArrayState, use: string): void {
  if (state.dead === undefined) return;
  fail(
    "input",
    `cannot ${use} '${state.name || "result"}' (${state.dtype}[${state.shape.join(", ")}]): it ${state.dead}`,
    "use the result that took its place, or leave it out of `donate`",
  );
}

async function readParts({
  dtype,
  shape,
  spec,
  mesh,
  devices,
  positions,
  parts,
}: ArrayState): Promise<readonly Part[]> {
  const count = elementCount(localShape(shape, spec, mesh));
  const wanted = holders(spec, mesh).flatMap((position) => {
    const i = positions.indexOf(position);
    return i < 0 ? [] : [{ position, i }];
  });
  return Promise.all(
    wanted.map(async ({ position, i }) => {
      const bytes = await devices[i]!.read(parts[i]!, 0, Math.max(0, deviceBytes(dtype, count)));
      return { position, data: fromDevice(bytes, dtype, count) };
    }),
  );
}

async function readArray(state: ArrayState): Promise<Tensor> {
  const { dtype, shape, spec, mesh, transport } = state;
  const here = await readParts(state);
  const parts: HostArray[] = [];
  for (const { position, data } of transport ? await gathered(transport, state, here) : here) parts[position] = data;
  return { dtype, shape, data: unshard(parts, shape, spec, mesh) };
}

/** The parts of all processes: every rank's in a stretch of the same size, each after its position. */
async function gathered(transport: Transport, state: ArrayState, here: readonly Part[]): Promise<readonly Part[]> {
  const { dtype, shape, spec, mesh } = state;
  const count = elementCount(localShape(shape, spec, mesh));
  const bytes = deviceBytes(dtype, count);
  const each = 4 + bytes;
  const counts = new Uint8Array(4 * transport.size);
  await transport.allGather(new Uint8Array(Uint32Array.of(here.length).buffer), counts);
  const slots = Math.max(...new Uint32Array(counts.buffer));
  const mine = new Uint8Array(slots * each);
  here.forEach(({ position, data }, k) => {
    new DataView(mine.buffer).setUint32(k * each, position + 1, true);
    mine.set(toDevice(data, dtype), k * each + 4);
  });
  const all = new Uint8Array(mine.length * transport.size);
  await transport.allGather(mine, all);
  const view = new DataView(all.buffer);
  return Array.from({ length: slots * transport.size }, (_, k) => k * each).flatMap((at) => {
    const position = view.getUint32(at, true) - 1;
    return position < 0 ? [] : [{ position, data: fromDevice(all.slice(at + 4, at + each), dtype, count) }];
  });
}
