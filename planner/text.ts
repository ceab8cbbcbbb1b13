/** Numbers in the planner's sentences. Four digits, so that ways that are nearly as fast can be told apart. */
const digits = (x: number, n: number): string => `${Number(x.toPrecision(n))}`;

export const percent = (share: number): string => `${digits(100 * share, 3)} %`;

export const time = (seconds: number): string =>
  seconds < 1e-3
    ? `${digits(seconds * 1e6, 4)} µs`
    : seconds < 1
      ? `${digits(seconds * 1e3, 4)} ms`
      : `${digits(seconds, 4)} s`;

export function bytes(n: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, n)) / 10)));
  return `${digits(n / 1024 ** unit, 3)} ${units[unit]}`;
}
