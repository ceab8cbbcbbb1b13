/** Which stretch of time is on the screen, and where things stand in it. Pixels are CSS pixels, times microseconds. */

/** The stretch of time that is shown. */
export type Range = { readonly from: number; readonly to: number };

/** Zooms by `factor` (below 1: closer) so that the time `around` stays where it is; never beyond `all`, never below a nanosecond. */
export function zoom(range: Range, factor: number, around: number, all: Range): Range {
  const whole = all.to - all.from;
  const width = Math.min(whole, Math.max(1e-3, (range.to - range.from) * factor));
  const share = (around - range.from) / (range.to - range.from);
  return clamp({ from: around - share * width, to: around + (1 - share) * width }, all);
}

/** Moves by a time, no further than `all`. */
export const pan = (range: Range, by: number, all: Range): Range =>
  clamp({ from: range.from + by, to: range.to + by }, all);

/** The range moved into `all`; as wide as it was where that is possible. */
export function clamp(range: Range, all: Range): Range {
  const width = Math.min(range.to - range.from, all.to - all.from);
  const from = Math.min(Math.max(range.from, all.from), all.to - width);
  return { from, to: from + width };
}

/** Round times to mark, about one for every `apart` pixels. */
export function ticks(range: Range, width: number, apart = 110): readonly number[] {
  const rough = ((range.to - range.from) * apart) / Math.max(1, width);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) ?? rough;
  const first = Math.ceil(range.from / step);
  const last = Math.floor(range.to / step);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

/** The first of `spans`, which follow each other in time, that ends after `time`. */
export function firstAfter(spans: readonly { readonly end: number }[], time: number, low = 0): number {
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.end > time) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Calls `draw` for the spans in a range, which follow each other in time. Of those that fall on one pixel only the first is
 * drawn, so that the work depends on the width and not on how many there are.
 */
export function eachVisible<T extends { readonly start: number; readonly end: number }>(
  spans: readonly T[],
  range: Range,
  width: number,
  draw: (span: T, x: number, w: number) => void,
): void {
  const perUnit = width / (range.to - range.from);
  for (let i = firstAfter(spans, range.from); i < spans.length; ) {
    const span = spans[i]!;
    if (span.start > range.to) return;
    const x = (span.start - range.from) * perUnit;
    const w = (span.end - span.start) * perUnit;
    draw(span, x, w);
    i = w >= 1 ? i + 1 : Math.max(i + 1, firstAfter(spans, range.from + (x + 1) / perUnit, i));
  }
}

/** How tall a device's rows are. `half` is the height of the predicted bar where a measured one lies under it. */
export type Density = {
  readonly name: string;
  readonly bar: number;
  readonly half: number;
  readonly gap: number;
  readonly text: boolean;
};
export const DENSITIES: readonly Density[] = [
  { name: "Comfortable", bar: 18, half: 9, gap: 6, text: true },
  { name: "Compact", bar: 9, half: 5, gap: 3, text: false },
  { name: "Dense", bar: 3, half: 2, gap: 1, text: false },
];

/** Where the rows of a device lie, from its top. */
export type Rows = {
  readonly height: number;
  readonly lanes: readonly {
    readonly stream: number;
    readonly top: number;
    readonly predicted: { readonly top: number; readonly height: number };
    /** Measured bars, and under them a thin line for what arrives and what is waited for. */
    readonly measured?: { readonly top: number; readonly height: number; readonly line: number };
    readonly height: number;
  }[];
};

/** One lane for each stream; in each the prediction above the measurement. */
export function rowsOf(streams: number, measured: boolean, d: Density): Rows {
  const line = d.bar >= 9 ? 3 : 1;
  const lane = measured ? d.half + 1 + d.bar + line + 1 : d.bar;
  const between = d.bar >= 9 ? 4 : 1;
  const lanes = Array.from({ length: streams }, (_, stream) => {
    const top = d.gap + stream * (lane + between);
    const predicted = { top, height: measured ? d.half : d.bar };
    const under = { top: top + d.half + 1, height: d.bar, line };
    return { stream, top, height: lane, predicted, ...(measured ? { measured: under } : {}) };
  });
  return { lanes, height: 2 * d.gap + streams * (lane + between) - between };
}

/** The same, with bars up to {@link TALLEST} where a device has `room` pixels to itself. */
export function roomyRows(streams: number, measured: boolean, d: Density, room: number): Rows {
  if (!d.text) return rowsOf(streams, measured, d);
  let rows = rowsOf(streams, measured, d);
  for (let bar = d.bar + 1; bar <= TALLEST; bar++) {
    const taller = rowsOf(streams, measured, {
      ...d,
      bar,
      half: d.half + Math.floor((bar - d.bar) / 3),
      gap: d.gap + (bar - d.bar) / 2,
    });
    if (taller.height > room) break;
    rows = taller;
  }
  return rows;
}
const TALLEST = 28;
