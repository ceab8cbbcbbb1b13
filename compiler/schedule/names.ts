/** What a schedule's values, buffers, steps and streams are called. */
import type { Route } from "./schedule.ts";

/** Gives each name once: the second `k` is `k 2` (with `between` " "). */
export function uniqueNames(between = "."): (wanted: string) => string {
  const taken = new Set<string>();
  const last = new Map<string, number>();
  return (wanted) => {
    let n = last.get(wanted) ?? 1;
    let name = n === 1 ? wanted : `${wanted}${between}${n}`;
    while (taken.has(name)) name = `${wanted}${between}${++n}`;
    last.set(wanted, n);
    taken.add(name);
    return name;
  };
}

/** `sp+1`, `dp,sp-1`, `sp+1+step`, `sp/8+1`, `sp pairs`: a ring, or the parts of it, and the way round. */
export function streamName(axes: readonly string[], route: Route): string {
  if (route.kind === "pairs") return `${axes.join(",")} pairs`;
  const ring = axes.join(",") + (route.within === undefined ? "" : `/${route.within}`);
  const signed = (n: number) => (n < 0 ? `${n}` : `+${n}`);
  if (route.loop === undefined) return ring + signed(route.offset);
  const step = route.perStep === 1 ? "+step" : route.perStep === -1 ? "-step" : `${signed(route.perStep ?? 1)}step`;
  return ring + (route.offset === 0 ? "" : signed(route.offset)) + step;
}
