/** Running a pass: time it, hold its result to what must be true of it, and blame it by name. */
import { InvariantError } from "./base/invariant.ts";

/** What was done, in order, and how long it took in milliseconds. */
export type PassTimes = { readonly name: string; readonly ms: number }[];

/** Runs one pass. `check` says what is wrong with its result; throws {@link InvariantError} with the pass's name when something is. */
export function runPass<T>(
  times: PassTimes,
  name: string,
  run: () => T,
  check: (result: T) => readonly string[] = () => [],
): T {
  const began = performance.now();
  const result = run();
  times.push({ name, ms: performance.now() - began });
  const wrong = check(result);
  if (wrong.length > 0)
    throw new InvariantError(`compiler bug: ill-formed after '${name}':\n  ${wrong.slice(0, 5).join("\n  ")}`);
  return result;
}
