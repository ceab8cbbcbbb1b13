/**
 * How the bytes of a schedule's sends and receives travel, apart from when: the walk over the steps (`../run.ts`) knows
 * nothing else of other devices. The two ends of a transfer meet by sender, receiver, token and turn.
 */
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import type { Device, DeviceBuffer } from "../device.ts";

/** What the device at `position` sends to the one at `peer`, or receives from it. */
export type TransferEnd = {
  readonly position: number;
  readonly peer: number;
  readonly token: number;
  /** How often this end of the token was begun before. */
  readonly turn: number;
  readonly stream: string;
  /** The arrays of one message. */
  readonly parts: readonly Part[];
  /** Of all parts. */
  readonly bytes: number;
};
export type Part = { readonly buffer: DeviceBuffer; readonly bytes: number };

export type Transfers = {
  /** Reads the parts before any later work on the device; resolves when the bytes have left it. */
  readonly send: (end: TransferEnd) => Promise<void>;
  /** Resolves when what was sent is in the parts for all later work on the device. */
  readonly receive: (end: TransferEnd) => Promise<void>;
};

/** A transfer as one device has it, with both its ends; at the edges of a line one of them is missing. */
export type Exchange = {
  readonly token: number;
  /** The step's label, for messages. */
  readonly label: string;
  readonly axes: readonly string[];
  readonly bytes: number;
  readonly to?: { readonly position: number; readonly buffer: DeviceBuffer };
  readonly from?: { readonly position: number; readonly buffer: DeviceBuffer };
};

/** Transfers that stand in the queues of the devices themselves, so that nothing waits for the host. */
export type QueuedTransfers = {
  /** Resolves when they can begin; all processes call it. */
  readonly ready: () => Promise<void>;
  /**
   * Begins, after all work so far of the device at `position`, the transfers whose later ends stand side by side in the
   * schedule. Every device is given the same in the same order, apart from ends that are not its own. Each promise
   * resolves when that transfer is done.
   */
  readonly queue: (position: number, batch: readonly Exchange[]) => readonly Promise<void>[];
  /** All later work of the device comes after what it last began for `token`. Resolves when the host may go on. */
  readonly join: (position: number, token: number) => Promise<void>;
  /** Ends what is under way: the run has failed. */
  readonly stop: () => void;
};

/** What a carrier is told of a run. After `stopped()`, no memory may be touched. */
export type Carried = {
  readonly schedule: Schedule;
  readonly deviceAt: (position: number) => Device;
  readonly stopped: () => boolean;
};

/** Opens the transfers of one run. */
export type Carrier = (run: Carried) => Transfers | QueuedTransfers;
