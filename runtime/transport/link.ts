/**
 * A model of links, so that overlap can be measured where devices have no links: transfers take the time that they would.
 * It is the model of the simulator (compiler/schedule/play.ts):
 *
 *     begins   when both ends are there and the ports of both are free
 *     leaves   bytes / bandwidth and what a message costs later: until then the ports are taken
 *     arrives  latency after that
 *
 * A device has one port out and one in for each kind of link; where links are not `shared`, one for each stream. Where they
 * are not `duplex`, what goes out and what comes in have half of the bandwidth each.
 */
import type { Link, Machine } from "../../compiler/schedule/machine.ts";

/** The links of a machine (bytes per second, seconds), and which mesh positions are in one node. */
export type Links = Pick<Machine, "links" | "devicesPerNode"> & { readonly efficiency?: { readonly links: number } };

export type LinkModel = {
  /** Resolves when bytes that both ends are ready for now would have arrived. */
  readonly carry: (from: number, to: number, stream: string, bytes: number) => Promise<void>;
};

/** Milliseconds, and waiting for a time. */
export type Clock = { readonly now: () => number; readonly until: (time: number) => Promise<void> };

export function linkModel({ links, devicesPerNode, efficiency }: Links, clock: Clock = realTime): LinkModel {
  /** When each port is free. */
  const free = new Map<string, number>();
  const nodeOf = (position: number) => Math.floor(position / devicesPerNode);
  return {
    async carry(from, to, stream, bytes) {
      const kind = nodeOf(from) === nodeOf(to) ? "inside" : "between";
      const link = links[kind];
      if (!link) return;
      const name = link.shared ? kind : `${kind} ${stream}`;
      const ports = [`${name} out of ${from}`, `${name} into ${to}`];
      const begins = Math.max(clock.now(), ...ports.map((port) => free.get(port) ?? 0));
      const leaves = begins + 1000 * ((link.message ?? 0) + seconds(link, bytes, efficiency?.links ?? 1));
      for (const port of ports) free.set(port, leaves);
      await clock.until(leaves + 1000 * link.latency);
    },
  };
}

const seconds = ({ bandwidth, duplex }: Link, bytes: number, efficiency: number): number =>
  bytes / (bandwidth * efficiency * (duplex ? 1 : 0.5));

const realTime: Clock = {
  now: () => performance.now(),
  // Timers are late by up to a millisecond, so the last one is spent in turns of the event loop.
  async until(time) {
    const sleep = time - performance.now() - 1;
    if (sleep > 0) await new Promise((resolve) => setTimeout(resolve, sleep));
    while (performance.now() < time) await new Promise((resolve) => setImmediate(resolve));
  },
};
