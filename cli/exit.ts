/** How a command ends, and the errors that end one early. */

/** 0 done; 1 the program is wrong or a check failed; 2 the command line is wrong; 3 the machine can't. */
export type ExitCode = 0 | 1 | 2 | 3;

/** Ends a command with a sentence for the user. The only error that commands throw themselves. */
export class Stop extends Error {
  readonly exitCode: ExitCode;
  /** What to do about it, one sentence. */
  readonly help: string | undefined;

  constructor(exitCode: ExitCode, message: string, help?: string) {
    super(message);
    this.name = "Stop";
    this.exitCode = exitCode;
    this.help = help;
  }
}

/** The command line is wrong (exit 2). */
export const usage = (message: string, help?: string): Stop => new Stop(2, message, help);
/** The program or an input is wrong (exit 1). */
export const wrong = (message: string, help?: string): Stop => new Stop(1, message, help);
/** The machine can't (exit 3). */
export const cannot = (message: string, help?: string): Stop => new Stop(3, message, help);

/** `error: …` and `help: …`, as `main` prints them. */
export type Told = {
  readonly exitCode: ExitCode;
  readonly kind: string;
  readonly message: string;
  readonly help?: string;
};

/**
 * What to tell of anything thrown. Errors of the runtime carry a sentence, a remedy and an exit code; what the operating
 * system throws is put into words; all else is a bug of Gyre, and says what to report.
 */
export function told(error: unknown): Told {
  if (error instanceof Stop)
    return tell(error.exitCode, error.exitCode === 2 ? "usage" : "stopped", error.message, error.help);
  const e = error as {
    name?: unknown;
    message?: unknown;
    exitCode?: unknown;
    kind?: unknown;
    help?: unknown;
    code?: unknown;
  };
  const message = firstLine(e?.message ?? error);
  if (e?.name === "GyreRuntimeError" && typeof e.help === "string") {
    return tell(e.exitCode === 1 ? 1 : 3, String(e.kind), message, e.help);
  }
  if (e?.code === "ENOSPC" || e?.code === "EDQUOT")
    return tell(3, "disk", "the disk is full", "free some space and try again");
  if (/heap out of memory|Array buffer allocation failed|Invalid (typed )?array length/i.test(message)) {
    return tell(3, "out-of-memory", `this process ran out of memory (${message})`, "use smaller dimensions");
  }
  return tell(
    3,
    "internal",
    `this is a bug of Gyre, not of your program: ${message}`,
    "please report it with the program and the command; GYRE_DEBUG=1 shows where it happened",
  );
}

function tell(exitCode: ExitCode, kind: string, message: string, help?: string): Told {
  return { exitCode, kind, message, ...(help === undefined ? {} : { help }) };
}

const firstLine = (text: unknown): string => String(text).split("\n")[0] ?? "";
