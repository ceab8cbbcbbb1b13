/**
 * The transfers of one device in a run: begun end by end as the steps come, waited for by token.
 *
 * Where a carrier queues transfers on the devices (`QueuedTransfers`), a transfer is handed to it when both its ends have
 * been reached, and those that become so between two other steps go together. When that is hangs on the schedule alone,
 * so every device begins the same transfers in the same order, also those in which it has only one end or none.
 */
import type { Transfer } from "../compiler/schedule/schedule.ts";
import type { Device, DeviceBuffer } from "./device.ts";
import { nowMicros } from "./trace.ts";
import type { Exchange, QueuedTransfers, TransferEnd, Transfers } from "./transport/transfers.ts";

/**
 * Told, of a transfer that travelled in a message, when that was asked for and when it was there, in microseconds, and which
 * share of the time between was this transfer's: from 0 to 1, by bytes.
 */
type Done = (part?: {
  readonly asked: number;
  readonly there: number;
  readonly from: number;
  readonly to: number;
}) => void;

export type Flights = {
  /** Begins an end; `peer` is at its other side, if anybody is. `done` is told when it is done, unless nobody is. */
  readonly begin: (step: Transfer, peer: number | undefined, buffer: DeviceBuffer, done: Done) => void;
  /** Before every step that is no transfer: what makes one message is complete. */
  readonly depart: () => void;
  /** Resolves when all later work comes after the transfer; undefined where there is nothing to wait for. */
  readonly wait: (token: number) => Promise<unknown> | undefined;
  /** Resolves when all transfers are done. */
  readonly all: () => Promise<unknown>;
};

export type Travelling = {
  readonly position: number;
  readonly device: Device;
  readonly transfers: Transfers | QueuedTransfers;
  /** What went wrong in a step, as it is told. */
  readonly explained: (error: unknown, label: string) => unknown;
  readonly stop: (reason: unknown) => void;
};

export const flightsOf = (travelling: Travelling): Flights =>
  "queue" in travelling.transfers
    ? queued(travelling, travelling.transfers)
    : endByEnd(travelling, travelling.transfers);

type Part = {
  readonly step: Transfer;
  readonly peer: number;
  readonly buffer: DeviceBuffer;
  readonly done: Done;
};

function endByEnd({ position, device, explained }: Travelling, transfers: Transfers): Flights {
  const flying = new Map<number, { readonly ends: Promise<void>[]; readonly done: Promise<unknown> }>();
  const turns = new Map<string, number>();
  /** Messages of which more parts may come. */
  let open = new Map<string, Part[]>();
  const go = (parts: readonly Part[]): void => {
    const { step, peer } = parts[0]!;
    const { kind, token, stream, label } = step;
    const key = `${kind} ${token}`;
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    const end: TransferEnd = {
      ...{ position, peer, token, turn, stream },
      parts: parts.map(({ buffer, step: { bytes } }) => ({ buffer, bytes })),
      bytes: parts.reduce((sum, part) => sum + part.step.bytes, 0),
    };
    const asked = nowMicros();
    const ended = (kind === "send" ? transfers.send(end) : transfers.receive(end)).then(
      () => {
        const there = nowMicros();
        let to = 0;
        for (const part of parts) {
          const from = to;
          to = part === parts.at(-1) ? 1 : from + part.step.bytes / end.bytes;
          part.done({ asked, there, from, to });
        }
      },
      (error) => {
        throw explained(error, label);
      },
    );
    for (const part of parts) {
      const ends = [...(flying.get(part.step.token)?.ends ?? []), ended];
      const all = Promise.all(ends);
      all.catch(() => {}); // whoever waits for the token sees it
      flying.set(part.step.token, { ends, done: all });
    }
  };
  return {
    begin(step, peer, buffer, done) {
      if (peer === undefined) {
        if (step.kind === "receive") device.write(buffer, 0, new Uint8Array(step.bytes));
        return;
      }
      const part: Part = { step, peer, buffer, done };
      if (step.message === undefined) return go([part]);
      const key = `${step.kind} ${step.message}`;
      open.set(key, [...(open.get(key) ?? []), part]);
    },
    depart() {
      const going = [...open.values()];
      open = new Map();
      for (const parts of going) go(parts);
    },
    wait(token) {
      const flight = flying.get(token)?.done;
      flying.delete(token);
      return flight;
    },
    all: () => Promise.all([...flying.values()].map((flight) => flight.done)),
  };
}

type End = { readonly peer: number | undefined; readonly buffer: DeviceBuffer; readonly done: () => void };

function queued({ position, device, explained, stop }: Travelling, transfers: QueuedTransfers): Flights {
  /** Transfers of which one end has been reached. */
  const half = new Map<number, End>();
  let batch: (Exchange & { readonly done: readonly (() => void)[] })[] = [];
  const flying = new Set<Promise<void>>();
  const last = new Set<number>();
  return {
    begin({ kind, token, bytes, label, axes }, peer, buffer, done) {
      if (peer === undefined && kind === "receive") device.write(buffer, 0, new Uint8Array(bytes));
      const end: End = { peer, buffer, done };
      const other = half.get(token);
      if (!other) return void half.set(token, end);
      half.delete(token);
      const [sent, got] = kind === "send" ? [end, other] : [other, end];
      if (sent.peer === position) {
        device.copy(sent.buffer, 0, got.buffer, 0, bytes);
        sent.done();
        got.done();
        // Between others it is a transfer.
        batch.push({ token, label, axes, bytes, done: [] });
        return;
      }
      const present = [sent, got].filter((e) => e.peer !== undefined);
      batch.push({
        ...{ token, label, axes, bytes, done: present.map((e) => e.done) },
        ...(sent.peer === undefined ? {} : { to: { position: sent.peer, buffer: sent.buffer } }),
        ...(got.peer === undefined ? {} : { from: { position: got.peer, buffer: got.buffer } }),
      });
    },
    depart() {
      if (batch.length === 0) return;
      const going = batch;
      batch = [];
      for (const [i, done] of transfers.queue(position, going).entries()) {
        const { token, label, done: told } = going[i]!;
        last.add(token);
        const flight = done.then(
          () => {
            for (const tell of told) tell();
          },
          (error) => stop(explained(error, label)),
        );
        flying.add(flight);
        void flight.finally(() => flying.delete(flight));
      }
    },
    wait: (token) => (last.delete(token) ? transfers.join(position, token) : undefined),
    all: () => Promise.all(flying),
  };
}
