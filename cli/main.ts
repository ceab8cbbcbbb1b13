/** From a command line to an exit code. Nothing is loaded but what the command needs, so that `gyre check` starts fast. */

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { declareCommands } from "./commands.ts";
import { type ExitCode, Stop, told } from "./exit.ts";
import { colors, type Io } from "./io.ts";
import { version } from "./version.ts";

/** Runs a command line. Never throws: whatever happens becomes a sentence and an exit code. */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = new Command("gyre")
    .description("Compiles Gyre programs and runs them on a mesh of devices.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .showHelpAfterError(false)
    .addHelpText("after", AFTER);
  declareCommands(program, io, (done) => {
    code = done;
  });
  const styles = colors(io.errColor);
  const each = (command: Command): void => {
    command.exitOverride().configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      outputError: (text, write) => write(usageText(text, command, styles.red)),
      getOutHasColors: () => io.outColor,
      getErrHasColors: () => io.errColor,
      getOutHelpWidth: () => Math.min(io.columns, 110),
    });
    command.commands.forEach(each);
  };
  each(program);
  try {
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return explain(error, argv.includes("--json"), io);
  }
}

/** Prints what was thrown: two lines on standard error, and with `--json` the same as JSON on standard output. */
function explain(error: unknown, json: boolean, io: Io): ExitCode {
  const what = error instanceof InvalidArgumentError ? told(new Stop(2, error.message)) : told(error);
  const { red, green, dim } = colors(io.errColor);
  const { exitCode, kind, message, help } = what;
  if (kind === "told") return exitCode;
  if (json) io.out(`${JSON.stringify({ error: { exitCode, kind, message, ...(help && { help }) } }, null, 2)}\n`);
  // Whole: a launcher may end this process when it has seen some of it.
  io.err(`${red("error")}: ${message}\n${help === undefined ? "" : `${green("help")}: ${help}\n`}`);
  if (io.env.GYRE_DEBUG && error instanceof Error) {
    io.err(`${dim(String(error.stack))}\n`);
    if (error.cause !== undefined) io.err(`${dim(`cause: ${String((error.cause as Error)?.stack ?? error.cause)}`)}\n`);
  }
  return exitCode;
}

/** Commander's sentence in our words: `error: …`, and where to read more. */
function usageText(text: string, command: Command, red: (text: string) => string): string {
  const sentence = text.replace(/^error: /, "").trimEnd();
  const name = command.parent ? `gyre ${command.name()}` : "gyre";
  return `${red("error")}: ${sentence}\nhelp: see \`${name} --help\`\n`;
}

const AFTER = `
Examples:
  $ gyre check model.gyre                         all errors of a file
  $ gyre run ring.gyre --dims B=1,S=1024,H=8,D=64 --mesh sp=4 --verify
  $ gyre inspect ring.gyre --dims B=1,S=1024,H=8,D=64
  $ gyre devices                                  what this machine can run on

Exit codes: 0 done, 1 the program is wrong or a check failed, 2 the command line is wrong, 3 the machine can't.`;
