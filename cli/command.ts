/** What a command file exports. */
import type { Command } from "commander";
import type { ExitCode } from "./exit.ts";
import type { Io } from "./io.ts";

/** Adds a command to the program; `done` takes the exit code, where it is not 0. */
export type Declare = (program: Command, io: Io, done: (code: ExitCode) => void) => void;
