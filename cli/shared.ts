/** The flags that mean the same in every command that compiles. */
import type { Command } from "commander";
import { backend, type Sizes, sizes } from "./flags.ts";

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
};

/** Adds `--machine` for the commands in which it may be left out. */
export const machineFlag = (command: Command): Command =>
  command.option(
    "--machine <name>",
    "what overlap is weighed by: a machine by name, or a machine file by path (default: h100-nvlink8)",
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
