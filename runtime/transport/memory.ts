/** Ranks of one process: what a message costs where there is no other process. Tests run clusters on it. */
import { ringCollectives } from "./collectives.ts";
import { mailbox } from "./mailbox.ts";
import type { PointToPoint, Transport } from "./transport.ts";

/** `size` transports that are each other's ranks. */
export function memoryTransports(size: number): readonly Transport[] {
  const boxes = Array.from({ length: size }, mailbox);
  return boxes.map((box, rank) => {
    const messages: PointToPoint = {
      name: "memory",
      rank,
      size,
      async send(to, tag, bytes) {
        const { into, arrived } = boxes[to]!.open(rank, tag, bytes.length);
        into.set(bytes);
        arrived();
      },
      receive: box.receive,
      close: async () => {},
    };
    return { ...messages, ...ringCollectives(messages) };
  });
}
