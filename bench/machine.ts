/** What the numbers were measured on, in words; no names of hosts, people or paths. */
import { cpus, totalmem } from "node:os";

export const machine = (): string => {
  const all = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${all.length} × ${(all[0]?.model ?? "unknown CPU").trim().replace(/\s+/g, " ")}, ${memory} GiB, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
};

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Milliseconds of `times` calls, after `warm` that do not count. */
export async function timed(times: number, warm: number, action: () => unknown): Promise<readonly number[]> {
  const spent: number[] = [];
  for (let i = 0; i < warm + times; i++) {
    const began = performance.now();
    await action();
    if (i >= warm) spent.push(performance.now() - began);
  }
  return spent;
}
