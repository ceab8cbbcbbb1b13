/**
 * Transfers between the devices of this process. Where they can, the devices copy to each other; otherwise what was read
 * from the source is written straight into the receiver's buffer. Either begins as soon as the receiver has reached its
 * `receive`: before that the buffer may be in use.
 */
import type { Device, DeviceBuffer, Direct, Mark } from "../device.ts";
import type { LinkModel } from "./link.ts";
import type { Carried, TransferEnd, Transfers } from "./transfers.ts";

/** The meeting of a send's bytes with a receive's buffer. */
type Box = {
  /** Writes what arrived into the target; a direct copy is there when it resolves. */
  arrive?: (target: DeviceBuffer, mark: Mark | undefined) => void | Promise<void>;
  target?: DeviceBuffer;
  /** Where the receiver was when it gave its buffer. */
  mark?: Mark | undefined;
  /** Both ends wait for it: the sender only where there is a model of links. */
  readonly there: Promise<void>;
  readonly met: () => void;
  readonly failed: (error: unknown) => void;
};

/** With a model of links, transfers between two devices take as long as they would there. */
export const inProcess =
  (link?: LinkModel) =>
  ({ deviceAt, stopped }: Carried): Transfers => {
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
      const copying = stopped() ? undefined : arrive(target, box.mark);
      if (copying) copying.then(box.met, box.failed);
      else box.met();
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
        const { stream } = end;
        const direct = directTo(device, receiver);
        if (direct) {
          const after = direct.mark(buffer, "read");
          box.arrive = async (target, mark) => {
            const receiverAfter = mark!;
            if (link) {
              await Promise.all([direct.come(after), receiver.direct!.come(receiverAfter)]);
              await link.carry(from, to, stream, bytes);
              if (stopped()) return;
            }
            await direct.copy({ stream, from: buffer, after, receiver, to: target, receiverAfter, bytes });
          };
          meet(box, from, to, end);
          return box.there;
        }
        await device.readInto(buffer, 0, bytes, (mapped) => {
          if (stopped()) return;
          // What is mapped is lent until this function returns.
          const lent = box.target && !link ? mapped : mapped.slice(0);
          box.arrive = (target) => {
            if (!link) return receiver.write(target, 0, lent);
            return link.carry(from, to, stream, bytes).then(() => {
              if (!stopped()) receiver.write(target, 0, lent);
            });
          };
          meet(box, from, to, end);
        });
        if (link) await box.there;
      },
      receive(end) {
        const box = boxOf(keyOf(end.peer, end.position, end));
        box.target = end.buffer;
        if (directTo(deviceAt(end.peer), deviceAt(end.position)))
          box.mark = deviceAt(end.position).direct?.mark(end.buffer, "read_write");
        meet(box, end.peer, end.position, end);
        return box.there;
      },
    };
  };

const directTo = (from: Device, to: Device): Direct | undefined =>
  from !== to && from.direct?.among === to.direct?.among ? from.direct : undefined;

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
