/** Arrays that live on the devices of a session, in parts, until they are read. */
import type { SpecEntry } from "../compiler/schedule/schedule.ts";
import type { Device, DeviceBuffer } from "./device.ts";
import { type Dtype, deviceBytes, elementCount, fromDevice, type HostArray, type Tensor } from "./dtype.ts";
import { fail } from "./errors.ts";
import { holders, localShape, type MeshAxis, unshard } from "./layout.ts";

/** A result, or an input that was put on the devices. Give it to `run` as it is: where the sharding agrees it does not move. */
export type DeviceArray = {
  readonly dtype: Dtype;
  /** The global shape. */
  readonly shape: readonly number[];
  readonly spec: readonly SpecEntry[];
  /** The whole array on the host, in global order. Errors: freed, donated, device lost. */
  read(): Promise<Tensor>;
  /** Gives its memory back at once; the garbage collector does it in the end. */
  free(): void;
};

/** What stands behind a DeviceArray. `parts[position]` holds the local part at its beginning. */
export type ArrayState = {
  readonly owner: object;
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly spec: readonly SpecEntry[];
  readonly mesh: readonly MeshAxis[];
  readonly devices: readonly Device[];
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

async function readArray(state: ArrayState): Promise<Tensor> {
  const { dtype, shape, spec, mesh, devices } = state;
  const count = elementCount(localShape(shape, spec, mesh));
  const parts: HostArray[] = [];
  await Promise.all(
    holders(spec, mesh).map(async (position) => {
      const bytes = await devices[position]!.read(state.parts[position]!, 0, Math.max(0, deviceBytes(dtype, count)));
      parts[position] = fromDevice(bytes, dtype, count);
    }),
  );
  return { dtype, shape, data: unshard(parts, shape, spec, mesh) };
}
