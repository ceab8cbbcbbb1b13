/**
 * How the bytes of a schedule's sends and receives travel, apart from when: the walk over the steps (`../run.ts`) knows
 * nothing else of other devices. The two ends of a transfer meet by sender, receiver, token and turn.
 */
import type { Device, DeviceBuffer } from "../device.ts";

/** What the device at `position` sends to the one at `peer`, or receives from it. */
export type TransferEnd = {
  readonly position: number;
  readonly peer: number;
  readonly token: number;
  /** How often this end of the token was begun before. */
  readonly turn: number;
  readonly stream: string;
  readonly buffer: DeviceBuffer;
  readonly bytes: number;
};

export type Transfers = {
  /** Reads `end.buffer` before any later work on the device; resolves when the bytes have left it. */
  readonly send: (end: TransferEnd) => Promise<void>;
  /** Resolves when what was sent is in `end.buffer` for all later work on the device. */
  readonly receive: (end: TransferEnd) => Promise<void>;
};

/** What a carrier is told of a run, whose tokens are less than `tokens`. After `stopped()`, no memory may be touched. */
export type Carried = {
  readonly deviceAt: (position: number) => Device;
  readonly stopped: () => boolean;
  readonly tokens: number;
};

/** Opens the transfers of one run. */
export type Carrier = (run: Carried) => Transfers;
