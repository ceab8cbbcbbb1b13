/** A socket of the roster: messages as lines of JSON. */
import type { Socket } from "node:net";

export type Message =
  | Hello
  | { readonly kind: "welcome" }
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "everyone"; readonly hostNames: readonly string[] }
  | { readonly kind: "beat"; readonly doing: readonly string[] }
  | { readonly kind: "value"; readonly round: number; readonly value: unknown }
  | { readonly kind: "values"; readonly round: number; readonly values: readonly unknown[] }
  | { readonly kind: "ping"; readonly sent: number }
  | { readonly kind: "pong"; readonly sent: number; readonly here: number }
  | { readonly kind: "failed" | "left" }
  | { readonly kind: "broken"; readonly message: string; readonly teller: number };
export type Hello = {
  readonly kind: "hello";
  readonly rank: number;
  readonly size: number;
  readonly key: string;
  readonly hostName: string;
};

export type Line = {
  readonly socket: Socket;
  readonly say: (message: Message) => Promise<void>;
  /** Gives what comes from now on, and what came since it was last unset, to `listener`; undefined: it is kept. */
  readonly hear: (listener: ((message: Message) => void) | undefined) => void;
  closed: () => void;
};

/** Messages as lines of JSON. What is not JSON closes the line. */
export function lineOn(socket: Socket): Line {
  const kept: Message[] = [];
  let listener: ((message: Message) => void) | undefined;
  const line: Line = {
    socket,
    say: (message) =>
      new Promise((done) => {
        if (socket.destroyed) done();
        else socket.write(`${JSON.stringify(message)}\n`, () => done());
      }),
    hear: (next) => {
      listener = next;
      while (listener && kept.length > 0) listener(kept.shift()!);
    },
    closed: () => {},
  };
  let parts: string[] = [];
  socket.setNoDelay(true).setEncoding("utf8");
  socket.on("data", (text) => {
    const pieces = String(text).split("\n");
    for (const piece of pieces.slice(0, -1)) {
      const whole = parts.join("") + piece;
      parts = [];
      try {
        const message = JSON.parse(whole) as Message;
        if (listener) listener(message);
        else kept.push(message);
      } catch {
        socket.destroy();
      }
    }
    parts.push(pieces.at(-1)!);
  });
  socket.on("error", () => {});
  socket.on("close", () => line.closed());
  return line;
}
