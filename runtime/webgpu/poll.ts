/**
 * How long to wait between two looks at the driver.
 *
 * node-webgpu learns that work has finished by asking: while any of its promises is pending it asks again from
 * `globalThis.setImmediate`, on every turn of the event loop, and so burns a whole core. On a software adapter that
 * core is missed by the kernels themselves. `backOff` replaces `globalThis.setImmediate` for *the driver's calls only*.
 * After the last `expectSoon()` they go on
 *
 *     for EAGER_MS  as before: a small read is back in 0.1 ms
 *     for NAP_MS    with a sleep of 0.1 ms before each (the timers of Node are no finer than 1 ms)
 *     after that    as timers of 1 ms
 *
 * All other callers of `setImmediate` see what they always saw.
 */
const EAGER_MS = 0.2;
const NAP_MS = 5;
const NAP_STEP_MS = 0.1;
const PAUSE_MS = 1;

type Callback = (...args: unknown[]) => void;

const immediate = globalThis.setImmediate;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
/** The driver's calls that wait in a timer. */
const parked = new Map<Callback, NodeJS.Timeout>();
let waitingSince = Number.NEGATIVE_INFINITY;
let installed = false;

/** Says that a wait begins now, and wakes the driver's call that is in a timer. */
export function expectSoon(): void {
  waitingSince = performance.now();
  for (const [callback, timer] of parked) {
    clearTimeout(timer);
    immediate(callback);
  }
  parked.clear();
}

/** Installs the replacement, once in a process. */
export function backOff(): void {
  if (installed) return;
  installed = true;
  const replacement = (callback: Callback, ...args: unknown[]) => {
    if (args.length > 0 || !isDriverCallback(callback)) return immediate(callback, ...args);
    const waited = performance.now() - waitingSince;
    if (waited > EAGER_MS && waited <= NAP_MS) Atomics.wait(sleeper, 0, 0, NAP_STEP_MS);
    if (waited <= NAP_MS) return immediate(callback);
    const timer = setTimeout(() => {
      parked.delete(callback);
      callback();
    }, PAUSE_MS);
    parked.set(callback, timer);
    return timer;
  };
  globalThis.setImmediate = Object.assign(replacement, immediate) as unknown as typeof setImmediate;
}

/** The driver's callbacks are functions made in native code, without a name; functions of JavaScript never are. */
function isDriverCallback(callback: unknown): boolean {
  return (
    typeof callback === "function" &&
    callback.name === "" &&
    /^function \(\) \{ \[native code\] \}$/.test(Function.prototype.toString.call(callback))
  );
}
