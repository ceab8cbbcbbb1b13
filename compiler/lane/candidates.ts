/**
 * The mappings worth weighing for a kernel: registers along the axes of its products, blocks of folds that may have any,
 * and the axis that threads are dealt to first. All of them are legal; cost.ts says which is best.
 */
import type { Axis } from "../tile/ir.ts";
import { type Allowed, blockAsked, reuses } from "./allowed.ts";
import type { AxisChoice, MappingChoice, MapTarget } from "./map.ts";

type Registers = { readonly block: number; readonly unroll: number };

export function candidatesOf(kernel: Allowed, target: MapTarget): readonly MappingChoice[] {
  const inProduct = (a: Axis): boolean =>
    kernel.products.some((p) => p.over.id === a.id || p.axes.some((x) => x.id === a.id));
  const options = kernel.axes.map((a) =>
    a.role === "grid" && kernel.free.has(a.id)
      ? gridOptions(kernel, a, target)
      : innerOptions(kernel, a, target, inProduct(a)),
  );
  const dealt = kernel.axes.filter((a) => a.role === "grid" && kernel.free.has(a.id));
  const first = target.spread && kernel.products.length > 0 ? dealt.filter(inProduct) : [];
  const threads =
    kernel.products.length > 0 || !target.spread ? [target.threads] : [target.threads, 16 * target.threads];
  const found = new Map<string, MappingChoice>();
  const together = kernel.axes.map((a) => a.role === "inner");
  for (const registers of combinations(options, together))
    for (const wanted of threads)
      for (const before of [undefined, ...first]) {
        const lanes = dealLanes(kernel, dealt, registers, target, wanted, before);
        const axes = kernel.axes.map((a, k): AxisChoice => {
          const { block, unroll } = registers[k]!;
          const l = lanes.get(a.id) ?? 1;
          return { axis: a.name, block: dealt.includes(a) ? unroll * l : block, lanes: l, unroll };
        });
        const count = axes.reduce((n, a) => n * a.lanes, 1);
        const rolled = { axes, spread: target.spread && count % 4 === 0 };
        for (const choice of canBeWritten(kernel, axes, target)
          ? [rolled, { ...rolled, written: true as const }]
          : [rolled])
          found.set(JSON.stringify(choice), choice);
      }
  return [...found.values()];
}

/** Whether inner axes of products have rounds in the body of a loop over few elements. */
function canBeWritten(kernel: Allowed, axes: readonly AxisChoice[], target: MapTarget): boolean {
  const maps = kernel.axes.map((a, k) => ({ ...axes[k]!, role: a.role }));
  return (
    target.written > 0 &&
    kernel.products.length > 0 &&
    maps.some((m) => m.role === "inner" && m.block > m.unroll) &&
    maps.every((m) => m.role !== "inner" || m.unroll <= 4) &&
    maps.some((m) => m.role === "fold") &&
    maps.every((m) => m.role !== "fold" || (m.unroll <= 8 && m.block === m.unroll))
  );
}

/** One of each list, in all ways; inner axes go together, for there is little to choose between them. */
function combinations(
  options: readonly (readonly Registers[])[],
  together: readonly boolean[],
): readonly (readonly Registers[])[] {
  const most = options.reduce((n, list, k) => (together[k] ? Math.max(n, list.length) : n), 1);
  return Array.from({ length: most }, (_, i) => {
    let all: (readonly Registers[])[] = [[]];
    options.forEach((list, k) => {
      const taken = together[k] ? [list[Math.min(i, list.length - 1)]!] : list;
      all = all.flatMap((c) => taken.map((r) => [...c, r]));
    });
    return all;
  }).flat();
}

const powers = (from: number, most: number): readonly number[] => {
  const found: number[] = [];
  for (let n = from; n <= most; n *= 2) found.push(n);
  return found;
};

/** The largest block of up to `most` elements, a multiple of `step`, that divides `n`: no block is then partial. */
function whole(n: number, most: number, step: number): readonly number[] {
  for (let u = Math.floor(most / step) * step; u >= step; u -= step) if (n % u === 0) return [u];
  return [];
}

/** Registers along a grid axis that is dealt out: many where a product reuses what it loads, four neighbours where nothing does. */
function gridOptions(kernel: Allowed, a: Axis, target: MapTarget): readonly Registers[] {
  const size = a.block === "auto" || a.block === 1 ? a.extent : blockAsked(a);
  const vector = kernel.vector.has(a.id);
  const grid = kernel.axes.filter((x) => x.role === "grid" && kernel.free.has(x.id));
  const innermost = [...grid].reverse().find((x) => kernel.vector.has(x.id)) ?? grid.at(-1);
  const reused = a.block !== 1 && kernel.products.some((p) => reuses(p, a));
  // Several axes of one product share its registers: that along which memory lies side by side may have more.
  const most = vector ? Math.max(target.rows, target.columns) : target.rows;
  const least = vector && (target.columns >= 4 || kernel.groups.has(a.id)) ? 4 : 1;
  const few = reused
    ? [
        ...powers(least, Math.min(Math.max(most, least), size)),
        ...whole(a.extent / target.threads, Math.min(16, most, size), least),
      ]
    : kernel.groups.has(a.id) || (kernel.products.length === 0 && a === innermost && vector && size >= 4)
      ? [4]
      : [1];
  return distinct((few.length > 0 ? few : [1]).map((unroll) => ({ block: unroll, unroll })));
}

/** Blocks and registers along an axis whose blocks belong to one thread. */
function innerOptions(kernel: Allowed, a: Axis, target: MapTarget, inProduct: boolean): readonly Registers[] {
  const vector = kernel.vector.has(a.id);
  const { columns } = target;
  if (a.role === "inner") {
    const usual = vector ? 4 : a.extent <= 8 ? a.extent : 4;
    const more = inProduct && vector && columns > 8 ? [8] : [];
    return distinct(
      [usual, ...more].map((u) => ({ block: a.extent, unroll: divisor(a.extent, Math.min(u, columns), vector) })),
    );
  }
  if (a.role === "grid") {
    const block = blockAsked(a);
    return distinct([vector ? 4 : block <= 8 ? block : 4].map((u) => ({ block, unroll: divisor(block, u, vector) })));
  }
  const wanted = inProduct ? powers(Math.min(4, columns), columns) : [Math.min(8, columns)];
  if (kernel.free.has(a.id) && inProduct)
    return distinct(
      [...wanted, ...whole(a.extent, columns, 4)]
        .map((u) => Math.min(u, a.extent))
        .map((u) => ({ block: u, unroll: divisor(u, u, vector) })),
    );
  const block = a.block === "auto" ? Math.min(a.extent, 64) : blockAsked(a);
  return distinct(wanted.map((u) => ({ block, unroll: divisor(block, u, vector) })));
}
const distinct = (all: readonly Registers[]): readonly Registers[] => [
  ...new Map(all.map((r) => [`${r.block} ${r.unroll}`, r])).values(),
];

/** The largest divisor of `n` up to `most`, a multiple of four when `fours` and there is one. */
function divisor(n: number, most: number, fours: boolean): number {
  let best = 1;
  for (let d = 1; d <= Math.min(n, most); d++) {
    if (n % d !== 0) continue;
    if (fours && n % 4 === 0 && d % 4 !== 0 && d > 1) continue;
    best = d;
  }
  return best;
}

/**
 * Deals threads to grid axes: to `before`, then innermost first up to the program's own blocks, then over single elements.
 * Threads along one axis load alike what does not depend on it, and can hand it round: worth more than the block asked for.
 */
function dealLanes(
  kernel: Allowed,
  dealt: readonly Axis[],
  registers: readonly Registers[],
  target: MapTarget,
  threads: number,
  before: Axis | undefined,
): ReadonlyMap<number, number> {
  const lanes = new Map<number, number>();
  let left = threads;
  const deal = (a: Axis, most: number): void => {
    const l = 2 ** Math.floor(Math.log2(Math.min(left, Math.max(1, most))));
    lanes.set(a.id, (lanes.get(a.id) ?? 1) * l);
    left = Math.floor(left / l);
  };
  const inner = [...dealt].reverse();
  for (const a of before ? [before, ...inner.filter((x) => x !== before)] : inner) {
    const { unroll } = registers[kernel.axes.indexOf(a)]!;
    if (a.block === "auto" || (a.block > 1 && target.spread)) deal(a, Math.ceil(a.extent / unroll));
    else if (a.block > 1) deal(a, Math.ceil(Math.min(a.block, a.extent) / unroll));
  }
  for (const a of inner)
    if (a.block === 1 && left > 1) deal(a, Math.ceil(a.extent / registers[kernel.axes.indexOf(a)]!.unroll));
  return lanes;
}
