/** The list of commands, in the order of `gyre --help`. */
import type { Command } from "commander";
import type { Declare } from "./command.ts";
import { buildCommand } from "./commands/build.ts";
import { checkCommand } from "./commands/check.ts";
import { devicesCommand } from "./commands/devices.ts";
import { fmtCommand } from "./commands/fmt.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { planCommand } from "./commands/plan.ts";
import { runCommand } from "./commands/run.ts";
import { simulateCommand } from "./commands/simulate.ts";
import { tuneCommand } from "./commands/tune.ts";
import type { ExitCode } from "./exit.ts";
import type { Io } from "./io.ts";

const all: readonly Declare[] = [
  checkCommand,
  runCommand,
  inspectCommand,
  buildCommand,
  simulateCommand,
  planCommand,
  tuneCommand,
  fmtCommand,
  devicesCommand,
];

export function declareCommands(program: Command, io: Io, done: (code: ExitCode) => void): void {
  for (const declare of all) declare(program, io, done);
}
