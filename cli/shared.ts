/** The flags that mean the same in every command that compiles. */
import type { Command } from "commander";
import {
  backend,
  byteCount,
  type Layouts,
  layouts,
  type POLICIES,
  policy,
  type Sizes,
  type Splits,
  sizes,
  splits,
  type Uses,
  uses,
} from "./flags.ts";

export type ProgramFlags = {
  readonly entry?: string;
  readonly dims?: Sizes;
  readonly mesh?: Sizes;
  readonly backend: string;
  /** False with `--no-overlap`. */
  readonly overlap?: boolean;
  readonly json?: true;
  /** What is weighed by where transfers can be hidden. */
  readonly machine?: string;
  /** Bytes of one device that a schedule may take. */
  readonly memory?: number;
} & ChoiceFlags;

/** What may be chosen about a program without a change of its text. */
export type ChoiceFlags = {
  readonly split?: Splits;
  readonly layout?: Layouts;
  readonly use?: Uses;
  readonly remat?: (typeof POLICIES)[number];
};

/** Adds `--machine` for the commands in which it may be left out. */
export const machineFlag = (command: Command): Command =>
  command.option(
    "--machine <name>",
    "what overlap is weighed by: a machine by name, or a machine file by path (default: h100-nvlink8)",
  );

/** Adds `--split --layout --use --remat`, which `gyre plan` finds values for. */
export const choiceFlags = (command: Command): Command =>
  command
    .option("--split <sizes>", "mesh axes in parts, major first, as in sp=2x8: the program sees one axis", splits)
    .option("--layout <layouts>", "how split dimensions lie: S=contiguous, S=striped or S=zigzag", layouts)
    .option("--use <names>", "an exchangeable function in the place of another, as in a=b (see gyre plan)", uses)
    .option("--remat <policy>", "the policy of checkpoints that name one: nothing_saveable, …", policy);

/** Adds `--memory`. */
export const memoryFlag = (command: Command): Command =>
  command.option(
    "--memory <bytes>",
    "what a schedule may take on each device, as in 80GB or 74.5GiB: overlap gives way to it",
    byteCount,
  );

/** Adds `--entry --dims --mesh --backend --json`. */
export const programFlags = (command: Command): Command =>
  command
    .option("--entry <name>", "which exported shard_map; may be left out where the file exports one")
    .option("--dims <sizes>", "dimension variables, as in B=1,S=1024", sizes)
    .option("--mesh <sizes>", "sizes of mesh axes, as in sp=4,tp=2, over those in the source", sizes)
    .option("--backend <name>", "auto, cuda, webgpu (webgpu:0-3 picks adapters), cpu or reference", backend, "auto")
    .option("--json", "machine-readable output on standard output");

/** Adds `--no-overlap`, to commands that plan a schedule. */
export const planFlags = (command: Command): Command =>
  command.option("--no-overlap", "wait for every transfer as soon as it was started, to see what overlap is worth");
