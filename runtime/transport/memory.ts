/** Ranks of one process: what a message costs where there is no other process. Tests run clusters on it. */
import { withLimit } from "../errors.ts";
import { ringCollectives } from "./collectives.ts";
import { mailbox } from "./mailbox.ts";
import { LIMIT_MS, type PointToPoint, type Transport } from "./transport.ts";

/** `size` transports that are each other's ranks. `limitMs`: how long no message may come to a rank that waits. */
export function memoryTransports(size: number, limitMs = LIMIT_MS): readonly Transport[] {
  const boxes = Array.from({ length: size }, mailbox);
  let moved = 0;
  return boxes.map((box, rank) => {
    const messages: PointToPoint = {
      name: "memory",
      rank,
      size,
      async send(to, tag, bytes) {
        const { into, arrived } = boxes[to]!.open(rank, tag, bytes.length);
        into.set(bytes);
        arrived();
        moved = performance.now();
      },
      receive: (from, tag, into) =>
        withLimit(
          box.receive(from, tag, into),
          limitMs,
          `receiving ${into.length} bytes from rank ${from}`,
          () => moved,
        ),
      close: async () => {},
    };
    return { ...messages, ...ringCollectives(messages) };
  });
}
