/**
 * Transfers between the devices of this process. Where they can, the devices copy to each other; otherwise what was read
 * from the source is written straight into the receiver's buffer. Either begins as soon as the receiver has reached its
 * `receive`: before that the buffer may be in use.
 */
import type { Device, DeviceBuffer, Direct, Mark } from "../device.ts";
import type { LinkModel } from "./link.ts";
import type { Carried, Part, TransferEnd, Transfers } from "./transfers.ts";

/** The meeting of a send's bytes with a receive's buffer. */
type Box = {
  /** Writes what arrived into the targets; a direct copy is there when it resolves. */
  arrive?: (targets: readonly Target[]) => void | Promise<void>;
  targets?: readonly Target[];
  /** Both ends wait for it: the sender only where there is a model of links. */
  readonly there: Promise<void>;
  readonly met: () => void;
  readonly failed: (error: unknown) => void;
};

/** A buffer, and where its device was when it gave it. */
type Target = { readonly buffer: DeviceBuffer; readonly mark: Mark | undefined };

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
      const { arrive, targets } = box;
      if (!arrive || !targets) return;
      boxes.delete(keyOf(from, to, end));
      const copying = stopped() ? undefined : arrive(targets);
      if (copying) copying.then(box.met, box.failed);
      else box.met();
    };

    return {
      async send(end) {
        const { position: from, peer: to, parts, stream } = end;
        const device = deviceAt(from);
        const receiver = deviceAt(to);
        const box = boxOf(keyOf(from, to, end));
        if (from === to || (device === receiver && !link)) {
          box.arrive = (targets) => {
            for (const [i, { buffer, bytes }] of parts.entries()) device.copy(buffer, 0, targets[i]!.buffer, 0, bytes);
          };
          return meet(box, from, to, end);
        }
        const direct = directTo(device, receiver);
        if (direct) {
          const marked = parts.map((part) => ({ ...part, after: direct.mark(part.buffer, "read") }));
          box.arrive = async (targets) => {
            if (link) {
              await Promise.all([
                ...marked.map(({ after }) => direct.come(after)),
                ...targets.map(({ mark }) => receiver.direct!.come(mark!)),
              ]);
              await link.carry(from, to, stream, end.bytes);
              if (stopped()) return;
            }
            await Promise.all(
              marked.map(({ buffer, bytes, after }, i) => {
                const { buffer: target, mark } = targets[i]!;
                return direct.copy({ stream, from: buffer, after, receiver, to: target, receiverAfter: mark!, bytes });
              }),
            );
          };
          meet(box, from, to, end);
          return box.there;
        }
        const read: ArrayBuffer[] = [];
        let left = parts.length;
        const readPart = ({ buffer, bytes }: Part, i: number): Promise<void> =>
          device.readInto(buffer, 0, bytes, (mapped) => {
            if (stopped()) return;
            // What is mapped is lent until this function returns.
            const lent = parts.length === 1 && box.targets && !link;
            read[i] = lent ? mapped : mapped.slice(0);
            if (--left > 0) return;
            box.arrive = async (targets) => {
              const write = () => {
                for (const [k, { buffer: target }] of targets.entries()) receiver.write(target, 0, read[k]!);
              };
              if (!link) return write();
              await link.carry(from, to, stream, end.bytes);
              if (!stopped()) write();
            };
            meet(box, from, to, end);
          });
        await Promise.all(parts.map(readPart));
        if (link) await box.there;
      },
      receive(end) {
        const box = boxOf(keyOf(end.peer, end.position, end));
        const device = deviceAt(end.position);
        const direct = directTo(deviceAt(end.peer), device) && device.direct;
        box.targets = end.parts.map(({ buffer }) => ({ buffer, mark: direct?.mark(buffer, "read_write") }));
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
