/** What takes part: a row for each way to compute a workload. */
import type { Spent } from "../protocol.ts";
import type { Arrays, Workload } from "../workloads/workload.ts";

/** A workload that is ready to run: kernels compiled, inputs where they are wanted. */
export type Prepared = {
  /** Computes once, and resolves when the results are there (on the device, if it is one); what it took where another process did it. */
  readonly run: () => Promise<Spent | undefined>;
  /** The results of the last run, flat, in the workload's layout. */
  readonly results: () => Promise<Arrays>;
};

/** Prepares a workload, in a process of its own; `undefined` where the contender does not offer it. */
export type Prepare = (workload: Workload, inputs: Arrays) => Promise<Prepared | undefined>;

export type Contender = {
  readonly name: string;
  readonly title: string;
  /** Whom it is compared with: what runs on the same WebGPU adapter, or on as many threads of the processor. */
  readonly group: Group;
  /** The module that holds its `Prepare`, and the name of that; loaded in the contender's own process only. */
  readonly from: () => Promise<Prepare>;
  /** The package that has to be there, beside Gyre's own. */
  readonly needs?: string;
  /** Set in the contender's process; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
};

export type Group = "webgpu" | "1 thread" | "2 threads";
