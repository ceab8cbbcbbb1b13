/**
 * The one error that the runtime throws: something the *machine* (or an input file) could not do. A wrong program is a
 * Diagnostic of the compiler and never arrives here.
 *
 * `message` is one sentence that says what happened, `help` one that says what to do about it; the command line prints
 * both and leaves with `exitCode` (3: the machine can't; 1: an input is wrong).
 */
export type RuntimeErrorKind =
  | "no-device" // no adapter of the backend that was asked for
  | "device-lost" // a device went away while it was in use
  | "out-of-memory" // the driver could not give the memory
  | "limit" // a size beyond what the adapter allows: known before anything is tried
  | "unsupported" // a feature that this adapter lacks (f16, subgroups)
  | "shader" // the driver refused a kernel's text
  | "peer" // another process of the run is gone, has stopped, or runs something else
  | "told" // the same, and another process tells it: nothing is printed here
  | "timeout" // nothing moved for as long as a wait may last
  | "input" // an input or a file has the wrong shape, dtype or format
  | "output" // a result could not be written
  | "internal"; // the driver refused what Gyre asked of it: a bug of Gyre

const EXIT: { readonly [K in RuntimeErrorKind]: 1 | 3 } = {
  "no-device": 3,
  "device-lost": 3,
  "out-of-memory": 3,
  limit: 3,
  unsupported: 3,
  shader: 3,
  peer: 3,
  told: 3,
  timeout: 3,
  input: 1,
  output: 3,
  internal: 3,
};

export class GyreRuntimeError extends Error {
  readonly kind: RuntimeErrorKind;
  /** What the reader can do about it, one sentence. */
  readonly help: string;
  /** The exit code of the command line (see `../cli`). */
  readonly exitCode: 1 | 3;

  constructor(kind: RuntimeErrorKind, message: string, help: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "GyreRuntimeError";
    this.kind = kind;
    this.help = help;
    this.exitCode = EXIT[kind];
  }
}

/** Throws a `GyreRuntimeError`; its type `never` lets it stand where an expression is wanted. */
export function fail(kind: RuntimeErrorKind, message: string, help: string, cause?: unknown): never {
  throw new GyreRuntimeError(kind, message, help, cause === undefined ? undefined : { cause });
}

/** `1536` → `1.5 KiB`: sizes in messages. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : Number(value.toFixed(2))} ${units[unit]}`;
}

/**
 * `promise`, or a `timeout` error when it has not settled within `limitMs` milliseconds *without progress*:
 * `lastProgress`, where given, is the time (`performance.now()`) at which something last moved and restarts the wait.
 */
export function withLimit<T>(
  promise: Promise<T>,
  limitMs: number,
  what: string,
  lastProgress: () => number = () => 0,
): Promise<T> {
  if (!Number.isFinite(limitMs)) return promise;
  return new Promise<T>((resolve, reject) => {
    const began = performance.now();
    let timer: ReturnType<typeof setTimeout>;
    const look = () => {
      const left = Math.max(began, lastProgress()) + limitMs - performance.now();
      if (left > 0) timer = setTimeout(look, left);
      else {
        const seconds = Number((limitMs / 1000).toFixed(1));
        reject(
          new GyreRuntimeError(
            "timeout",
            `${what} did not finish: nothing moved for ${seconds} s`,
            "raise the time limit, use smaller dimensions, or see with `gyre devices` whether the device still answers",
          ),
        );
      }
    };
    timer = setTimeout(look, limitMs);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
