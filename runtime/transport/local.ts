/**
 * Transfers between the devices of this process. What was read from the source is written straight into the receiver's
 * buffer as soon as the receiver has reached its `receive`: before that the buffer may be in use.
 */
import type { DeviceBuffer } from "../device.ts";
import type { LinkModel } from "./link.ts";
import type { Carrier, TransferEnd } from "./transfers.ts";

/** The meeting of a send's bytes with a receive's buffer. */
type Box = {
  /** Writes what arrived into the target. */
  arrive?: (target: DeviceBuffer) => void;
  target?: DeviceBuffer;
  /** Both ends wait for it: the sender only where there is a model of links. */
  readonly there: Promise<void>;
  readonly met: () => void;
  readonly failed: (error: unknown) => void;
};

/** With a model of links, transfers between two devices take as long as they would there. */
export const inProcess =
  (link?: LinkModel): Carrier =>
  ({ deviceAt, stopped }) => {
    const boxes = new Map<string, Box>();
    const boxOf = (key: string): Box => {
      const known = boxes.get(key);
      if (known) return known;
      const { promise, resolve, reject } = deferred();
      const box: Box = { there: promise, met: resolve, failed: reject };
      boxes.set(key, box);
      return box;
    };
    const meet = (box: Box, from: number, to: number, end: TransferEnd): void => {
      const { arrive, target } = box;
      if (!arrive || !target) return;
      boxes.delete(keyOf(from, to, end));
      const handOver = () => {
        if (!stopped()) arrive(target);
        box.met();
      };
      if (!link || from === to) handOver();
      else link.carry(from, to, end.stream, end.bytes).then(handOver).catch(box.failed);
    };

    return {
      async send(end) {
        const { position: from, peer: to, buffer, bytes } = end;
        const device = deviceAt(from);
        const receiver = deviceAt(to);
        const box = boxOf(keyOf(from, to, end));
        if (from === to || (device === receiver && !link)) {
          box.arrive = (target) => device.copy(buffer, 0, target, 0, bytes);
          return meet(box, from, to, end);
        }
        await device.readInto(buffer, 0, bytes, (mapped) => {
          if (stopped()) return;
          // What is mapped is lent until this function returns.
          const lent = box.target && !link ? mapped : mapped.slice(0);
          box.arrive = (target) => receiver.write(target, 0, lent);
          meet(box, from, to, end);
        });
        if (link) await box.there;
      },
      receive(end) {
        const box = boxOf(keyOf(end.peer, end.position, end));
        box.target = end.buffer;
        meet(box, end.peer, end.position, end);
        return box.there;
      },
    };
  };

const keyOf = (from: number, to: number, { token, turn }: TransferEnd): string => `${from} ${to} ${token} ${turn}`;

function deferred() {
  let resolve: () => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // whoever waits sees it
  return { promise, resolve, reject };
}
