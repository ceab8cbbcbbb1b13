import type { Declare } from "../command.ts";
import type { ExitCode } from "../exit.ts";
import { usage } from "../exit.ts";
import { count } from "../flags.ts";
import type { Io } from "../io.ts";
import { type ProgramFlags, programFlags } from "../shared.ts";
import { columns, humanTime, plural } from "../text.ts";

type Options = ProgramFlags & { readonly tries: number; readonly patience: number; readonly fresh?: true };

const EXAMPLES = `
What is found is kept in $GYRE_CACHE/tuned (or ~/.cache/gyre/tuned), a file for each device; \`gyre run\` uses it where the
kernel, its sizes, the device and the version of Gyre are the same. Without it, mappings are chosen by a cost model.

Examples:
  $ gyre tune examples/05-ring-attention.gyre --mesh sp=8 --dims B=1,S=2048,H=8,D=64
  $ gyre tune model.gyre --dims B=1,S=1024 --tries 40 --json`;

/** `gyre tune`: measures how kernels are best mapped on the device at hand. */
export const tuneCommand: Declare = (program, io, done) => {
  const command = program
    .command("tune")
    .description("measure how each kernel is best mapped to the device at hand, and keep that for `gyre run`")
    .argument("<file>", "a Gyre program");
  programFlags(command)
    .option("--tries <n>", "the most mappings to measure of a kernel", count(1), 16)
    .option("--patience <n>", "mappings without an improvement after which a kernel is left", count(1), 6)
    .option("--fresh", "measure kernels again that were tuned before")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: Options) => done(await tune(file, options, io)));
};

/** What became of a kernel; `before` and `ms` are absent where the device refuses it. */
type Row = {
  readonly kernel: string;
  readonly key: string;
  readonly tried: number;
  readonly before?: number;
  readonly ms?: number;
  readonly known: boolean;
};

async function tune(file: string, options: Options, io: Io): Promise<ExitCode> {
  if (options.backend === "reference")
    throw usage("there is nothing to tune on the reference interpreter", "leave --backend out, or name a device");
  const [programs, { openDevices }, { progress }, tuner, kept, { targetFor }] = await Promise.all([
    import("../program.ts"),
    import("../../runtime/open.ts"),
    import("../progress.ts"),
    import("../tuner.ts"),
    import("../tuned.ts"),
    import("../../runtime/target.ts"),
  ]);
  programs.sourceOf(file);
  const [device] = await openDevices(options.backend, 1);
  const line = progress(io);
  try {
    const compiled = await programs.compileFile(file, options, io, {}, targetFor(device!.info));
    if (typeof compiled === "number") return compiled;
    const name = kept.deviceKey(device!.info);
    const tuned = { ...kept.readTuned(name, io) };
    const measure = tuner.measurer(device!, compiled);
    const all = compiled.variants();
    const rows: Row[] = [];
    for (const [index, variants] of all.entries()) {
      const { key, name: kernel } = variants;
      const known = options.fresh ? undefined : tuned[key];
      if (known) {
        rows.push({ kernel, key, tried: 0, before: known.before, ms: known.ms, known: true });
        continue;
      }
      const found = await tuner.search(
        variants,
        (variant, best) => measure(index, variant, best),
        options,
        (tried, of) =>
          line.at(`kernel ${index + 1} of ${all.length}, ${kernel}: mapping ${tried + 1} of ${of}`, index / all.length),
      );
      if (!found) {
        rows.push({ kernel, key, tried: Math.min(options.tries, variants.all.length), known: false });
        continue;
      }
      const { ms, before, tried } = found;
      tuned[key] = { name: kernel, choice: found.variant.choice, ms, before };
      rows.push({ kernel, key, tried, before, ms, known: false });
    }
    const path = kept.writeTuned(name, tuned, io);
    line.done();
    if (options.json) io.out(`${JSON.stringify({ device: name, file: path, kernels: rows }, null, 2)}\n`);
    else {
      io.out(`${columns(rows.map(rowText)).join("\n")}\n`);
      io.err(`kept ${plural(Object.keys(tuned).length, "kernel")} for ${device!.info.adapter} in ${path}\n`);
    }
    return 0;
  } finally {
    line.done();
    device!.close();
  }
}

function rowText({ kernel, tried, before, ms, known }: Row): readonly string[] {
  if (before === undefined || ms === undefined) return [kernel, "not measured: the device takes none of its mappings"];
  const gain = before / ms;
  const what = gain < 1.005 ? "as it is" : `${gain.toFixed(2)} × as fast`;
  return [
    kernel,
    `${humanTime(before)} → ${humanTime(ms)}`,
    what,
    known ? "tuned before" : `${plural(tried, "mapping")} measured`,
  ];
}
