/** Where a command reads from and writes to: the terminal, or a test's two strings. */
import picocolors from "picocolors";

export type Io = {
  /** Results: standard output. */
  readonly out: (text: string) => void;
  /** Diagnostics, progress and everything else: standard error. */
  readonly err: (text: string) => void;
  /** Whether a person looks on: progress lines make sense. */
  readonly live: boolean;
  readonly outColor: boolean;
  readonly errColor: boolean;
  /** The terminal's width in columns, for pictures. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
};

export type Colors = ReturnType<typeof picocolors.createColors>;
/** Styles that do nothing where colours are off. */
export const colors = (on: boolean): Colors => picocolors.createColors(on);

/** The process's own streams. Colours only on a terminal; NO_COLOR and FORCE_COLOR are respected. */
export function terminal(): Io {
  const { env, stdout, stderr } = process;
  const color = (stream: NodeJS.WriteStream): boolean => {
    if (env.NO_COLOR) return false;
    if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0";
    return stream.isTTY === true && env.TERM !== "dumb";
  };
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    live: stderr.isTTY === true && !env.CI,
    outColor: color(stdout),
    errColor: color(stderr),
    columns: stdout.columns ?? 100,
    env,
  };
}
