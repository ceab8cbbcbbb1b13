/**
 * Which loop of a kernel is gone through in parts, and in how many: where a kernel has fewer workgroups than fill a device, it
 * takes as much longer as they are fewer. Parts are as many as fill it; what they cost is a second launch, and what they come to,
 * written and read again.
 */
import type { Axis, Kernel } from "../ir.ts";
import { type Cut, countOf, cut, type Parts } from "./cut.ts";
import { elementsOf, type Loop, loopsOf, waitsFor } from "./loops.ts";

/** What is known of a target and its device. */
export type Filling = {
  /** Workgroups that fill the device, and those that a kernel has. */
  readonly groups: number;
  readonly groupsOf: (k: Kernel) => number;
  /** Seconds of a kernel that fills it, those of the launch included. */
  readonly secondsOf: (k: Kernel) => number;
  readonly launch: number;
};
/** For tests: every loop that can be, in about so many parts. */
export type Forced = { readonly parts: number };

/** `saves`: seconds of a launch. */
export type Chosen = { readonly loop: Loop; readonly parts: Parts; readonly cut: Cut; readonly saves: number };

/** Elements of a sum, or blocks of a fold, that a part has at least. */
const LEAST = { sums: 128, blocks: 2 };
/** How many times as fast it has to be: what is estimated is not known that well. */
const WORTH = 1.5;

/** What is best for a kernel, one loop at a time; undefined where it stays as it is. */
export function chooseLoop(kernel: Kernel, how: Filling | Forced, maxBuffers: number): Chosen | undefined {
  if (kernel.grid.some((a) => a.extent === 0)) return undefined;
  const all = loopsOf(kernel);
  const loops = all.filter((l) => !all.some((o) => mayBeLong(o) && waitsFor(l, o)));
  if ("parts" in how) {
    const more = loops.filter((l) => elementsOf(l.axes) > 2 * how.parts);
    return first(more, (l) => tried(kernel, l, partsFor(l, how.parts, 1, 1), maxBuffers));
  }
  const long = loops.filter(mayBeLong);
  if (long.length === 0 || leastGroups(kernel) >= how.groups) return undefined;
  const work = how.secondsOf(kernel) - how.launch;
  // However few workgroups it has.
  if (work * how.groups < WORTH * how.launch) return undefined;
  const groups = how.groupsOf(kernel);
  const before = how.launch + work * Math.max(1, how.groups / groups);
  const filled = (k: Kernel, n: number): number =>
    how.launch + (how.secondsOf(k) - how.launch) * Math.max(1, how.groups / n);
  const best = first(long, (loop) => {
    let found: { readonly made: Chosen; readonly after: number } | undefined;
    // With more workgroups, tiles may be larger, and then there are fewer of them.
    for (const more of [1, 2, 4]) {
      const least = loop.kind === "sums" ? LEAST.sums : LEAST.blocks * blockOf(loop.axes[0]!);
      const want = Math.ceil((more * how.groups) / groups);
      const made = tried(kernel, loop, partsFor(loop, want, least, blockOf(loop.axes.at(-1)!)), maxBuffers);
      if (!made) break;
      const { first: one, second } = made.cut;
      const now = how.groupsOf(one.kernel);
      // The second has a thread for each element of the results, about.
      const spread = Math.max(groups, Math.ceil(elementsOf(second.kernel.grid) / 256));
      const after = filled(one.kernel, now) + filled(second.kernel, spread);
      if (found && after > 0.9 * found.after) break;
      found = { made, after };
      if (now >= how.groups) break;
    }
    return found;
  });
  if (!best || before < WORTH * best.after) return undefined;
  return { ...best.made, saves: before - best.after };
}
const mayBeLong = (l: Loop): boolean => elementsOf(l.axes) >= 2 * LEAST.sums;
function first<T, R>(xs: readonly T[], f: (x: T) => R | undefined): R | undefined {
  for (const x of xs) {
    const found = f(x);
    if (found !== undefined) return found;
  }
  return undefined;
}

function tried(kernel: Kernel, loop: Loop, parts: Parts | undefined, maxBuffers: number): Chosen | undefined {
  if (!parts || countOf(parts) < 2) return undefined;
  const made = cut(kernel, loop, parts);
  const fits = [made.first, made.second].every((p) => p.kernel.buffers.length <= maxBuffers);
  return fits ? { loop, parts, cut: made, saves: 0 } : undefined;
}

/** Workgroups that a kernel has at least: what a mapping may choose is no larger tile than this. */
const leastGroups = (k: Kernel): number =>
  k.grid.reduce((n, a) => n * Math.ceil(a.extent / (a.block === "auto" ? 256 : a.block)), 1);
/** Elements that parts are multiples of where they can be: tensor cores and copies go in steps of that. */
const blockOf = (a: Axis): number => (a.role === "fold" && a.block !== "auto" ? a.block : 64);

/** About `want` parts of at least `least` elements: of outer axes first, and of equal length where a length has such divisors. */
export function partsFor(loop: Loop, want: number, least: number, block: number): Parts | undefined {
  const { axes } = loop;
  const most = Math.floor(elementsOf(axes) / Math.max(1, least));
  if (most < 2) return undefined;
  let need = Math.min(want, most);
  const parts = axes.slice(0, -1).map(({ extent }) => {
    const n = need >= extent ? extent : (divisorsOf(extent).find((d) => d >= need && d <= 2 * need) ?? 1);
    need = Math.ceil(need / n);
    return { parts: n, piece: extent / n };
  });
  const { extent } = axes.at(-1)!;
  const fits = divisorsOf(extent).filter((d) => d >= need && d <= Math.min(2 * need, Math.max(need, most)));
  const whole = fits.find((d) => (extent / d) % block === 0) ?? fits.find((d) => (extent / d) % 8 === 0) ?? fits[0];
  if (whole !== undefined) return [...parts, { parts: whole, piece: extent / whole }];
  if (axes.length > 1) {
    const fewer = divisorsOf(extent).filter((d) => d <= need);
    const n = fewer.at(-1) ?? 1;
    return [...parts, { parts: n, piece: extent / n }];
  }
  const piece = Math.floor(extent / need);
  return [{ parts: need, piece: piece >= block ? piece - (piece % block) : piece }];
}
function divisorsOf(n: number): readonly number[] {
  const found: number[] = [];
  for (let d = 1; d * d <= n; d++) if (n % d === 0) found.push(d, ...(d * d < n ? [n / d] : []));
  return found.sort((x, y) => x - y);
}
