/** Numbers and tables for people. */

/** `1536` → `1.5 KiB`. */
export function humanBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes,
    unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} ${value === 1 ? "byte" : "bytes"}` : `${Number(value.toPrecision(3))} ${units[unit]}`;
}

/** Milliseconds with the unit that suits: `12.3 µs`, `4.56 ms`, `1.2 s`. */
export function humanTime(ms: number): string {
  if (ms < 1) return `${Number((ms * 1000).toPrecision(3))} µs`;
  if (ms < 1000) return `${Number(ms.toPrecision(3))} ms`;
  return ms < 60_000
    ? `${Number((ms / 1000).toPrecision(3))} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** `3 kernels`, `1 kernel`. */
export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Left-aligned columns, two spaces apart; the columns numbered in `right` are right-aligned. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, visible(cell));
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const space = " ".repeat(widths[i]! - visible(cell));
        return right.includes(i) ? space + cell : cell + space;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** How many columns a text takes, colours aside. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: colour sequences begin with the escape character
const visible = (text: string): number => text.replace(/\u001b\[[0-9;]*m/g, "").length;
