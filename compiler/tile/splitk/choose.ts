/**
 * Which loop of a kernel is gone through in parts, and in how many: where a kernel has fewer workgroups than fill a device, it
 * takes as much longer as they are fewer than its processors. Parts are as many as fill it; what they cost is a second launch, and
 * what they come to, written and read again.
 */
import type { Axis, Kernel } from "../ir.ts";
import { type Cut, cut } from "./cut.ts";
import { countOf, elementsOf, type Loop, lengthOf, loopsOf, type Parts, waitsFor } from "./loops.ts";

/** What is known of a target and its device. */
export type Filling = {
  /** Of the device: each has something to do for one workgroup, and is busy while that waits for two. */
  readonly processors: number;
  /** The workgroups of a kernel. */
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
/** Of a running sum a part is no longer, so that a team can hold it, and there are no more parts than a workgroup adds up quickly. */
const HELD = { piece: 4096, parts: 1024 };
/** How many times as fast it has to be: what is estimated is not known that well. */
const WORTH = 1.3;

/** What is best for a kernel, one loop at a time; undefined where it stays as it is. */
export function chooseLoop(kernel: Kernel, how: Filling | Forced, maxBuffers: number): Chosen | undefined {
  if (kernel.grid.some((a) => a.extent === 0)) return undefined;
  const all = loopsOf(kernel);
  const loops = all.filter((l) => !all.some((o) => mayBeLong(o) && waitsFor(l, o)));
  if ("parts" in how) {
    const more = loops.filter((l) => lengthOf(l) > 2 * how.parts);
    return first(more, (l) => tried(kernel, l, partsFor(l, how.parts, 1, 1), maxBuffers));
  }
  const long = loops.filter(mayBeLong);
  const work = how.secondsOf(kernel) - how.launch;
  // However few workgroups it has, and however well parts fill the device.
  const worthIt = (groups: number): boolean =>
    how.launch + work * Math.max(1, how.processors / groups) >= WORTH * (2 * how.launch + work);
  if (long.length === 0 || !worthIt(leastGroups(kernel)) || !worthIt(how.groupsOf(kernel))) return undefined;
  const before = takes(kernel, how);
  const best = first(long, (loop) => fewest(kernel, loop, how, maxBuffers));
  if (!best || before < WORTH * best.after) return undefined;
  return { ...best.made, saves: before - best.after };
}

/** Seconds of a kernel with the workgroups that it has. */
const takes = (k: Kernel, { launch, processors, secondsOf, groupsOf }: Filling, groups = groupsOf(k)): number =>
  launch + (secondsOf(k) - launch) * Math.max(1, processors / groups);

/** A loop in as few parts as fill the device, and the seconds of both kernels. */
function fewest(kernel: Kernel, loop: Loop, how: Filling, maxBuffers: number) {
  const least = loop.kind !== "fold" ? LEAST.sums : loop.laws === loop.fold ? LEAST.blocks * blockOf(loop.axes[0]) : 1;
  const held = loop.kind === "scans" ? Math.min(HELD.parts, Math.ceil(elementsOf(loop.axes) / HELD.piece)) : 1;
  let found: { readonly made: Chosen; readonly after: number } | undefined;
  // With more workgroups, tiles may be larger, and then there are fewer of them.
  for (const more of [1, 2, 4]) {
    const want = Math.max(Math.ceil((2 * more * how.processors) / how.groupsOf(kernel)), held);
    const made = tried(kernel, loop, partsFor(loop, want, least, blockOf(loop.axes.at(-1)!)), maxBuffers);
    if (!made) break;
    const { first, second, arrays } = made.cut;
    // Where the parts are made one, there is a thread for each element of the results, about.
    const results = Math.max(...arrays.map((a) => a.shape.reduce((n, m) => n * m, 1))) / countOf(made.parts);
    const spread = Math.max(how.groupsOf(kernel), results / 256);
    const rest = takes(second.kernel, how, loop.kind === "scans" ? how.groupsOf(second.kernel) : spread);
    const after = takes(first.kernel, how) + rest;
    if (found && after > 0.9 * found.after) break;
    found = { made, after };
    if (how.groupsOf(first.kernel) >= 2 * how.processors) break;
  }
  return found;
}
const mayBeLong = (l: Loop): boolean => lengthOf(l) >= 2 * LEAST.sums;
function first<T, R>(xs: readonly T[], f: (x: T) => R | undefined): R | undefined {
  for (const x of xs) {
    const found = f(x);
    if (found !== undefined) return found;
  }
  return undefined;
}

function tried(kernel: Kernel, loop: Loop, parts: Parts | undefined, maxBuffers: number): Chosen | undefined {
  if (!parts || countOf(parts) < 2) return undefined;
  const whole = loop.kind === "scans" || (loop.kind === "fold" && loop.laws !== loop.fold);
  if (whole && parts[0]!.parts * parts[0]!.piece !== loop.axes[0]!.extent) return undefined;
  const made = cut(kernel, loop, parts);
  const fits = [made.first, made.second].every((p) => p.kernel.buffers.length <= maxBuffers);
  return fits ? { loop, parts, cut: made, saves: 0 } : undefined;
}

/** Workgroups that a kernel has at least: no mapping chooses larger tiles. */
function leastGroups(k: Kernel): number {
  const auto = k.grid.filter((a) => a.block === "auto");
  const tiles = k.grid.reduce((n, a) => n * Math.ceil(a.extent / (a.block === "auto" ? 256 : a.block)), 1);
  const fixed = k.grid.reduce((n, a) => n * (a.block === "auto" ? 1 : Math.ceil(a.extent / a.block)), 1);
  return Math.max(tiles, (fixed * elementsOf(auto)) / (128 * 256));
}
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
  const fits = divisorsOf(extent).filter((d) => d >= 0.9 * need && d <= Math.min(1.8 * need, Math.max(need, most)));
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
