import type { Diagnostic } from "../../compiler/base/diagnostic.ts";
import type { Declare } from "../command.ts";
import { type Sizes, sizes } from "../flags.ts";
import { plural } from "../text.ts";

type Options = { readonly json?: true; readonly mesh?: Sizes };

/** `gyre check`: every diagnostic of every file. */
export const checkCommand: Declare = (program, io, done) => {
  program
    .command("check")
    .description("parse and type-check; print every diagnostic")
    .argument("<file...>", "Gyre programs")
    .option("--mesh <sizes>", "sizes of mesh axes, as in sp=4,tp=2, over those in the source", sizes)
    .option("--json", "machine-readable output on standard output")
    .addHelpText(
      "after",
      "\nExamples:\n  $ gyre check examples/*.gyre\n  $ gyre check --json model.gyre | jq '.diagnostics[].code'",
    )
    .action(async (files: readonly string[], options: Options) => {
      const [{ anyError, checkFile }, { tell }] = await Promise.all([
        import("../program.ts"),
        import("../diagnostics.ts"),
      ]);
      const all: Diagnostic[] = [];
      for (const file of files) all.push(...(await checkFile(file)));
      const unique = dropRepeated(all);
      tell(io, unique, options.json ? { json: true, more: { files } } : {});
      if (all.length === 0 && !options.json) io.err(`${plural(files.length, "file")}: no errors\n`);
      done(anyError(unique) ? 1 : 0);
    });
};

/** What two files import is checked twice, and told once. */
function dropRepeated(all: readonly Diagnostic[]): readonly Diagnostic[] {
  const seen = new Set<string>();
  return all.filter((d) => {
    const key = `${d.code} ${d.span.source.path} ${d.span.start} ${d.message}`;
    return !seen.has(key) && seen.add(key);
  });
}
