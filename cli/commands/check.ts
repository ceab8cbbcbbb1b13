import type { Declare } from "../command.ts";
import { choiceFlags, type ProgramFlags, programFlags } from "../shared.ts";
import { plural } from "../text.ts";

/** `gyre check`: every diagnostic of every file. */
export const checkCommand: Declare = (program, io, done) => {
  const command = program
    .command("check")
    .description("parse and type-check; print every diagnostic. With --dims or --mesh, check what hangs on sizes too")
    .argument("<file...>", "Gyre programs");
  choiceFlags(programFlags(command))
    .addHelpText(
      "after",
      "\nExamples:\n  $ gyre check examples/*.gyre\n  $ gyre check ring.gyre --dims B=1,S=1000 --mesh sp=3\n  $ gyre check --json model.gyre | jq '.diagnostics[].code'",
    )
    .action(async (files: readonly string[], flags: ProgramFlags) => {
      const [{ anyError, check }, { tell }] = await Promise.all([import("../program.ts"), import("../diagnostics.ts")]);
      const all = check(files, flags);
      tell(io, all, flags.json ? { json: true, more: { files } } : {});
      if (all.length === 0 && !flags.json) io.err(`${plural(files.length, "file")}: no errors\n`);
      done(anyError(all) ? 1 : 0);
    });
};
