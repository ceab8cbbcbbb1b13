/** What is measured of Gyre alone: rows of one table. */
export type Row = { readonly what: string; readonly value: string; readonly wanted?: string };

/** A part of the table; `samples` is how many of each number it takes. */
export type Cost = (samples: number) => Promise<readonly Row[]>;

export function ms(x: number): string {
  const [value, unit] = x < 1 ? [1000 * x, "µs"] : x < 1000 ? [x, "ms"] : [x / 1000, "s"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}
