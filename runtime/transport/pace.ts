/**
 * How often a library is asked how far it is, by the time since it last moved: at every turn of the event loop at first, then
 * with naps, then by timers.
 */
const EAGER_MS = 0.2;
const NAPPING_MS = 50;
const NAP_MS = 0.1;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Calls `ask` in a while. */
export function askAgain(ask: () => void, idleMs: number): void {
  if (idleMs > NAPPING_MS) return void setTimeout(ask, 1);
  if (idleMs > EAGER_MS) Atomics.wait(sleeper, 0, 0, NAP_MS);
  setImmediate(ask);
}
