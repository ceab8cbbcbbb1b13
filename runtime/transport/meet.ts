/**
 * How the processes of a run find each other: rank 0 listens, the others come, and when all are there each has a roster
 * (`roster.ts`). Who does not belong to the run is told why; who does not come in time is named.
 */
import { connect, createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { GyreRuntimeError } from "../errors.ts";
import type { Address } from "./launcher.ts";
import { type Hello, type Line, lineOn, type Message } from "./line.ts";
import { broke, MOST_NAMED, type Roster, type RosterOptions, rosterOf } from "./roster.ts";

/** Ports that rank 0 may have to pass over, where another program (torchrun's own store) has the one it was given. */
const PORTS = 4;

/** How long a host has to accept a connection, and then to say something. */
const CONNECT_MS = 1000;
const WELCOME_MS = 3000;

/** Where rank 0 listens before the others know of it. */
export type Listening = Address & { readonly server: Server };

/** Opens the first free port from `port` on (0: any). */
export async function listen(host: string | undefined, port: number): Promise<Listening> {
  const ports = port === 0 ? [0] : portsFrom(port);
  for (const [tries, tried] of ports.entries()) {
    const server = createServer();
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject).listen({ port: tried, host }, resolve);
      });
      const address = server.address();
      const open = typeof address === "object" && address ? address.port : port;
      return { host: host ?? "", port: open, server };
    } catch (error) {
      const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (taken && tries < ports.length - 1) continue;
      const why = taken
        ? `on a port from ${port} to ${tried}: other programs do`
        : `on port ${tried}: ${String((error as Error).message)}`;
      throw new GyreRuntimeError("peer", `rank 0 cannot listen ${why}`, "give another one as MASTER_PORT", {
        cause: error,
      });
    }
  }
  throw new RangeError(`there is no port ${port}`);
}

const portsFrom = (port: number): readonly number[] =>
  Array.from({ length: PORTS }, (_, i) => port + i).filter((p) => p <= 65_535);

/** Joins the roster as rank 0, which the others reach at `listening`. Rejects when somebody does not come in time. */
export async function host(options: RosterOptions, { server }: Listening): Promise<Roster> {
  const { size, key, limitMs } = options;
  const lines: (Line | undefined)[] = Array.from({ length: size }, () => undefined);
  const hostNames = Array.from({ length: size }, () => options.hostName);
  /** Who was not let in, since it is of more or fewer processes. */
  const refused = new Set<string>();
  let arrived: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const against = (them: Hello): string | undefined => {
    if (them.size !== size) return `rank 0 there is one of ${size} processes, and this is one of ${them.size}`;
    if (them.key !== key) return "rank 0 there is of another run";
    if (them.rank === 0) return "there is a rank 0 already";
    return lines[them.rank] ? `another process there is rank ${them.rank} already` : undefined;
  };
  server.on("connection", (socket) => {
    const line = lineOn(socket);
    line.hear((message) => {
      if (message.kind !== "hello" || !(message.rank >= 0)) return socket.destroy();
      const why = against(message);
      if (why !== undefined) {
        if (message.size !== size) refused.add(`rank ${message.rank} of ${message.size}`);
        return void line.say({ kind: "refused", why }).then(() => socket.destroy());
      }
      line.hear(undefined);
      lines[message.rank] = line;
      hostNames[message.rank] = message.hostName;
      void line.say({ kind: "welcome" });
      if (lines.slice(1).every((l) => l !== undefined)) arrived();
    });
  });
  const missing = () => lines.flatMap((line, r) => (r > 0 && !line ? [r] : []));
  await Promise.race([all, sleep(limitMs, undefined, { ref: false })]);
  if (missing().length > 0) {
    const strangers = refused.size === 0 ? "" : `; not let in: ${[...refused].join(", ")}`;
    const message = `${ranks(missing())} did not come within ${limitMs / 1000} s: ${size} processes were announced to rank 0${strangers}`;
    await Promise.all(lines.map((line) => line?.say({ kind: "broken", message, teller: 0 })));
    throw new GyreRuntimeError(
      "peer",
      message,
      "see whether all were started, with the same port and address; --peer-timeout says how long they are waited for",
    );
  }
  await Promise.all(lines.map((line) => line?.say({ kind: "everyone", hostNames })));
  return rosterOf({ ...options, host: boundTo(server), master: boundTo(server), hostNames }, lines, server);
}

function boundTo(server: Server): string {
  const address = server.address();
  return typeof address === "object" && address ? address.address : "";
}

/** Joins it as another rank; resolves when all are there. */
export async function join(options: RosterOptions): Promise<Roster> {
  const { rank, size, key, hosts, port, limitMs, hostName } = options;
  const until = performance.now() + limitMs;
  const ports = portsFrom(port);
  let refusal: string | undefined;
  let missed = "";
  for (let turn = 0; performance.now() < until; turn++) {
    for (const name of hosts) {
      const hello: Hello = { kind: "hello", rank, size, key, hostName };
      const line = await greet({ host: name, port: ports[turn % ports.length]! }, hello);
      if (typeof line === "string") {
        if (turn % ports.length === 0) missed = line;
        continue;
      }
      if ("why" in line) {
        refusal = line.why;
        continue;
      }
      const { localAddress: host = name, remoteAddress: master = name } = line.socket;
      const { hostNames } = await everyone(line, options);
      return rosterOf({ ...options, host, master, hostNames }, [line]);
    }
    await sleep(50);
  }
  throw new GyreRuntimeError(
    "timeout",
    `rank ${rank} finds no rank 0 at ${hosts.join(", ")}, port ${port}, within ${limitMs / 1000} s: ${refusal ?? missed}`,
    "see whether rank 0 was started, whether MASTER_ADDR and MASTER_PORT are the same for all, and whether the network lets them connect",
  );
}

type Refused = { readonly why: string };

/** A line to rank 0 at this address; why it does not let this process in; or why there is none. */
function greet(address: Address, hello: Message): Promise<Line | Refused | string> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const line = lineOn(socket);
    const give = (found: Line | Refused | string) => {
      clearTimeout(timer);
      if (found !== line) socket.destroy();
      resolve(found);
    };
    const silent = () => give("nothing answers");
    let timer = setTimeout(silent, CONNECT_MS);
    socket.once("connect", () => {
      // Rank 0 may be a process that has much to do; if it is none, another port comes next.
      clearTimeout(timer);
      timer = setTimeout(silent, WELCOME_MS);
      void line.say(hello);
    });
    socket.once("error", ({ code }: NodeJS.ErrnoException) => give(MISSED[code ?? ""] ?? `${code}`));
    line.closed = () => give("what listens there is no rank 0");
    line.hear((message) => {
      line.hear(undefined);
      if (message.kind === "welcome") give(line);
      else give(message.kind === "refused" ? message : "what listens there is no rank 0");
    });
  });
}

/** Why a connection fails, by the system's names. */
const MISSED: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "what listens there is no rank 0",
  ENOTFOUND: "no host has that name",
  EAI_AGAIN: "no host has that name, or nobody says which",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that host",
};

/** What rank 0 says when all have come. Rejects when it says who has not, or is gone itself. */
function everyone(line: Line, { rank, limitMs }: RosterOptions): Promise<Message & { readonly kind: "everyone" }> {
  return new Promise((resolve, reject) => {
    const without = (message: string, teller: number): void => {
      clearTimeout(timer);
      reject(broke(message, teller, rank));
    };
    const silent = () => without(`rank 0 has not answered for ${limitMs / 1000} s: it was last at 'start'`, 1);
    // Rank 0 waits as long, and its word comes first.
    const timer = setTimeout(silent, limitMs + 1000);
    line.closed = () => without("rank 0 is gone: its process ended before all had come", 1);
    line.hear((message) => {
      line.hear(undefined);
      clearTimeout(timer);
      line.closed = () => {};
      if (message.kind === "everyone") resolve(message);
      else if (message.kind === "broken") without(message.message, message.teller);
      else line.socket.destroy();
    });
  });
}

const ranks = (list: readonly number[]): string =>
  `${list.length === 1 ? "rank" : "ranks"} ${list.slice(0, MOST_NAMED).join(", ")}${list.length > MOST_NAMED ? ", …" : ""}`;
