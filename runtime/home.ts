/** What the programs of a session share: its devices, and their memory, which passes from run to run. */
import type { Input, Output, Schedule } from "../compiler/schedule/schedule.ts";
import { type ArrayState, type DeviceArray, deviceArray } from "./array.ts";
import type { Device, DeviceBuffer } from "./device.ts";
import { type HostArray, type Tensor, toDevice } from "./dtype.ts";
import type { PartialTensor } from "./inputs.ts";
import { shard } from "./layout.ts";
import type { Carrier } from "./transport/transfers.ts";
import type { Transport } from "./transport/transport.ts";

export type Home = {
  readonly devices: readonly Device[];
  /** `devices[i]` is at mesh position `positions[i]`, of `count` in all. */
  readonly positions: readonly number[];
  readonly count: number;
  readonly transport: Transport | undefined;
  readonly carrier: Carrier;
  readonly idle: readonly Map<number, DeviceBuffer[]>[];
  readonly owner: object;
  last: Promise<unknown>;
  closed: boolean;
};

export function takeIdle(home: Home, position: number, bytes: number): DeviceBuffer | undefined {
  return home.idle[position]!.get(bytes)?.pop();
}

export function giveIdle(home: Home, position: number, buffer: DeviceBuffer): void {
  if (home.closed) return;
  const lists = home.idle[position]!;
  const list = lists.get(buffer.bytes);
  if (list) list.push(buffer);
  else lists.set(buffer.bytes, [buffer]);
}

export function upload(
  home: Home,
  schedule: Schedule,
  port: Input,
  tensor: Tensor | PartialTensor,
  devices: readonly Device[],
): readonly DeviceBuffer[] {
  const { bytes, name } = schedule.buffers[port.buffer]!;
  const parts = devices.map((device, p) => takeIdle(home, p, bytes) ?? device.alloc(bytes, name));
  writeParts(home, schedule, port, tensor, devices, parts);
  return parts;
}

export function writeParts(
  home: Home,
  schedule: Schedule,
  port: Input,
  tensor: Tensor | PartialTensor,
  devices: readonly Device[],
  parts: readonly DeviceBuffer[],
): void {
  for (const [i, device] of devices.entries()) {
    const part = partOf(tensor, port, schedule, home.positions[i]!);
    device.write(parts[i]!, 0, toDevice(part, port.dtype));
  }
}

/** What the device at `position` holds of an input. */
const partOf = (tensor: Tensor | PartialTensor, port: Input, { mesh }: Schedule, position: number): HostArray =>
  "part" in tensor
    ? tensor.part(port.spec, mesh.axes, position)
    : shard(tensor.data, port.shape, port.spec, mesh.axes, position);

export function asArray(
  home: Home,
  schedule: Schedule,
  port: Input | Output,
  devices: readonly Device[],
  parts: readonly DeviceBuffer[],
): DeviceArray {
  const state: ArrayState = {
    owner: home.owner,
    name: port.path,
    dtype: port.dtype,
    shape: port.shape,
    spec: port.spec,
    mesh: schedule.mesh.axes,
    devices,
    positions: home.positions,
    transport: home.transport,
    parts,
    dead: undefined,
  };
  return deviceArray(state, (s) => {
    s.parts.forEach((part, p) => {
      giveIdle(home, p, part);
    });
  });
}
