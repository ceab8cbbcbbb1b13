/**
 * Messages over sockets: for processes that were started without MPI. A rank opens one socket to each rank that it sends
 * to, when it first does. On it goes a greeting (the run's key and the rank), then messages:
 *
 *     tag    4 bytes, little endian
 *     bytes  8 bytes, little endian
 *     the message
 */
import { randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { GyreRuntimeError, withLimit } from "../errors.ts";
import { ringCollectives } from "./collectives.ts";
import { mailbox } from "./mailbox.ts";
import type { Roster } from "./roster.ts";
import { LIMIT_MS, type PointToPoint, type Transport } from "./transport.ts";

const HEADER = 12;
const KEY_BYTES = 16;
const GREETING = KEY_BYTES + 4;

/** The transport of the processes on `roster`, which all call this. `limitMs`: how long nothing may move. */
export async function tcpTransport(roster: Roster, limitMs = LIMIT_MS): Promise<Transport> {
  const { rank, size } = roster;
  const box = mailbox();
  let moved = performance.now();
  const incoming = new Set<Socket>();
  const server = createServer((socket) => {
    incoming.add(socket);
    read(socket);
  });
  // The loopback serves those of this host only, where rank 0 was reached by it too.
  const local = roster.host.startsWith("127.") || roster.host === "::1";
  await new Promise<void>((resolve) => server.listen(0, local ? roster.host : undefined, resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const everyone = await roster.exchange({ host: roster.host, port, key: randomBytes(KEY_BYTES).toString("hex") });
  const key = Buffer.from(everyone[0]!.key, "hex");

  /** What comes in on a socket, piece by piece. */
  const read = (socket: Socket): void => {
    socket.setNoDelay(true);
    let from = -1;
    let head: Buffer = Buffer.alloc(0);
    let message: { readonly into: Uint8Array; readonly arrived: () => void } | undefined;
    let filled = 0;
    socket.on("data", (data: Buffer) => {
      moved = performance.now();
      let rest = data;
      const takeHead = (bytes: number): Buffer | undefined => {
        const taken = rest.subarray(0, bytes - head.length);
        head = head.length === 0 ? taken : Buffer.concat([head, taken]);
        rest = rest.subarray(taken.length);
        if (head.length < bytes) return undefined;
        const whole = head;
        head = Buffer.alloc(0);
        return whole;
      };
      for (;;) {
        if (message) {
          const taken = rest.subarray(0, message.into.length - filled);
          message.into.set(taken, filled);
          filled += taken.length;
          rest = rest.subarray(taken.length);
          if (filled < message.into.length) return;
          message.arrived();
          message = undefined;
        } else if (from < 0) {
          const greeting = takeHead(GREETING);
          if (!greeting) return;
          from = greeting.readUInt32LE(KEY_BYTES);
          if (!greeting.subarray(0, KEY_BYTES).equals(key) || from >= size) return void socket.destroy();
        } else {
          const header = takeHead(HEADER);
          if (!header) return;
          message = box.open(from, header.readUInt32LE(0), Number(header.readBigUInt64LE(4)));
          filled = 0;
        }
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (from >= 0) later(() => box.fail(from, lost(from)));
    });
  };
  /** That a process is gone, the roster says better; this is for the case that only the socket broke. */
  const later = (say: () => void): void => void setTimeout(say, 1000).unref();
  const lost = (other: number, cause?: unknown) =>
    new GyreRuntimeError(
      "peer",
      `rank ${rank} lost its connection with rank ${other}`,
      "see whether that host and the network still answer",
      {
        cause,
      },
    );

  const outgoing = new Map<number, Promise<Socket>>();
  const socketTo = (to: number): Promise<Socket> => {
    const known = outgoing.get(to);
    if (known) return known;
    const { host: bound, port: theirs } = everyone[to]!;
    const host = to === 0 ? roster.master : bound;
    const made = new Promise<Socket>((resolve, reject) => {
      const socket = connect(theirs, host);
      socket.setNoDelay(true);
      socket.on("error", (error) => later(() => reject(lost(to, error))));
      socket.once("connect", () => {
        const greeting = Buffer.alloc(GREETING);
        key.copy(greeting);
        greeting.writeUInt32LE(rank, KEY_BYTES);
        socket.write(greeting);
        resolve(socket);
      });
    });
    outgoing.set(to, made);
    return made;
  };

  const limited = <T>(promise: Promise<T>, what: string): Promise<T> => withLimit(promise, limitMs, what, () => moved);
  const messages: PointToPoint = {
    name: "TCP",
    rank,
    size,
    async send(to, tag, bytes) {
      const socket = await socketTo(to);
      const header = Buffer.alloc(HEADER);
      header.writeUInt32LE(tag, 0);
      header.writeBigUInt64LE(BigInt(bytes.length), 4);
      const sent = new Promise<void>((resolve, reject) => {
        socket.write(header);
        socket.write(bytes, (error) => {
          moved = performance.now();
          if (error) later(() => reject(lost(to, error)));
          else resolve();
        });
      });
      await limited(sent, `sending ${bytes.length} bytes to rank ${to}`);
    },
    receive: (from, tag, into) =>
      limited(box.receive(from, tag, into), `receiving ${into.length} bytes from rank ${from}`),
    async close() {
      for (const socket of await Promise.all(outgoing.values())) socket.end();
      for (const socket of incoming) socket.destroy();
      server.close();
    },
  };
  return { ...messages, ...ringCollectives(messages) };
}
