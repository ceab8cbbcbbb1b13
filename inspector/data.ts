/**
 * What is embedded in the page: plain JSON, from which everything that it shows is derived. `schedule` is the very value
 * that the runtime runs; all else is text, where it came from, and numbers.
 */
import type { Machine } from "../compiler/schedule/machine.ts";
import type { Schedule, WorkOp } from "../compiler/schedule/schedule.ts";

export type PageData = {
  readonly version: 1;
  /** As the command line had it: `examples/05-ring-attention.gyre`. */
  readonly file: string;
  readonly schedule: Schedule;
  /** The program's own file first, then those that equations come from. */
  readonly sources: readonly { readonly path: string; readonly text: string }[];
  /** Core as it was written, without derivatives where it had some, and of one device. */
  readonly stages: readonly Listing[];
  /** `kernels[k]` is the schedule's kernel k. */
  readonly kernels: readonly KernelTexts[];
  /** Where a transfer was asked for, by its token. */
  readonly transfers: { readonly [token: number]: Place };
  readonly masks: readonly Mask[];
  /** Those on which the schedule may be predicted. */
  readonly machines: readonly Machine[];
  readonly measured?: Measured;
  /** Passes in order, milliseconds. */
  readonly passes: readonly { readonly name: string; readonly ms: number }[];
};

/** Lines of a source, from 1, both included. */
export type Place = readonly [source: number, first: number, last: number];

/** A text, and for each of its lines the place in a source that it comes from, where that is known. */
export type Listing = {
  readonly title: string;
  readonly text: string;
  readonly places: readonly (Place | null)[];
};

export type KernelTexts = {
  readonly place: Place | null;
  readonly tile: Listing;
  readonly wgsl: string;
};

/**
 * What is known of the masks in a kernel's loop over blocks. Rows are the blocks of a grid axis, columns those of the loop.
 * Where `run` is false the block is skipped; where one of `full` is true the condition holds throughout.
 */
export type Mask = {
  readonly kernel: number;
  readonly rows: MaskAxis;
  readonly columns: MaskAxis;
  readonly run: MaskExpr;
  readonly full: MaskExpr;
  /** The loop of the schedule whose step the masks depend on. */
  readonly loop: number | null;
  /** For people. */
  readonly notes: readonly string[];
};
export type MaskAxis = { readonly name: string; readonly extent: number; readonly block: number };

/** An expression over whole numbers; conditions are 0 and 1. `row` and `column` are the first or last element of a block. */
export type MaskExpr =
  | number
  | { readonly at: "row" | "column"; readonly end: "first" | "last" }
  | { readonly place: readonly string[] }
  | { readonly step: number }
  | { readonly op: WorkOp; readonly args: readonly MaskExpr[] };
/**
 * A run, in columns: `device[i]`, `stream[i]`, `name[i]` and `turn[i]` are numbers into the lists, times are microseconds
 * from the first event on. `turn`: the steps of the loops around it, `0.3`. `where`: what it ran on.
 */
export type Measured = {
  readonly where: string;
  readonly streams: readonly string[];
  readonly names: readonly string[];
  readonly turns: readonly string[];
  readonly device: readonly number[];
  readonly stream: readonly number[];
  readonly name: readonly number[];
  readonly turn: readonly number[];
  readonly start: readonly number[];
  readonly length: readonly number[];
};
