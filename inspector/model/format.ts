/** Numbers for people. */

const scaled = (value: number, base: number, units: readonly string[]): string => {
  let unit = 0;
  let v = value;
  for (; Math.abs(v) >= base && unit < units.length - 1; unit++) v /= base;
  return `${Number(v.toPrecision(3))} ${units[unit]}`;
};

/** `1.5 KiB` */
export const bytesText = (n: number): string => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
/** `2.23 Mflop` */
export const flopsText = (n: number): string => scaled(n, 1000, ["flop", "kflop", "Mflop", "Gflop", "Tflop", "Pflop"]);
/** Microseconds with the unit that suits: `12.3 µs`, `4.56 ms`. */
export function timeText(micros: number): string {
  if (micros !== 0 && Math.abs(micros) < 1) return `${Number((micros * 1000).toPrecision(3))} ns`;
  return scaled(micros, 1000, ["µs", "ms", "s"]);
}
/** `92 %` */
export const percentText = (part: number, whole: number): string =>
  whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–";
/** `3 kernels`, `1 kernel` */
export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
