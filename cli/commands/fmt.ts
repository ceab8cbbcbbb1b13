import type { Declare } from "../command.ts";
import { readText, writeAtomic } from "../files.ts";

type Options = { readonly check?: true; readonly json?: true };

/** `gyre fmt`: formats files in place, or with `--check` names those that are not. */
export const fmtCommand: Declare = (program, io, done) => {
  program
    .command("fmt")
    .description("format sources in place")
    .argument("<file...>", "Gyre programs; `-` formats standard input to standard output")
    .option("--check", "change nothing; exit 1 when a file is not formatted")
    .option("--json", "machine-readable output on standard output")
    .addHelpText(
      "after",
      "\nExamples:\n  $ gyre fmt examples/*.gyre\n  $ gyre fmt --check src/*.gyre     in CI\n  $ gyre fmt - < draft.gyre",
    )
    .action(async (files: readonly string[], options: Options) => {
      const [{ parse }, { print }, { tell }] = await Promise.all([
        import("../../compiler/syntax/parse.ts"),
        import("../../compiler/syntax/print.ts"),
        import("../diagnostics.ts"),
      ]);
      const changed: string[] = [];
      const diagnostics = [];
      for (const path of files) {
        const text = path === "-" ? await standardInput() : readText(path);
        const source = { path: path === "-" ? "<stdin>" : path, text };
        const parsed = parse(source);
        diagnostics.push(...parsed.diagnostics);
        if (parsed.diagnostics.length > 0) continue; // what cannot be read stays as it is
        const formatted = print(parsed.module);
        if (path === "-" && !options.check) io.out(formatted);
        else if (formatted !== text) {
          changed.push(path);
          if (!options.check) writeAtomic(path, formatted);
        }
      }
      if (options.json) tell(io, diagnostics, { json: true, more: { changed } });
      else {
        tell(io, diagnostics, {});
        for (const path of changed) io.err(`${path}: ${options.check ? "not formatted" : "formatted"}\n`);
        if (options.check && changed.length > 0)
          io.err(`help: \`gyre fmt\` formats ${changed.length === 1 ? "this file" : "these files"}\n`);
      }
      done(diagnostics.length > 0 || (options.check && changed.length > 0) ? 1 : 0);
    });
};

async function standardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
