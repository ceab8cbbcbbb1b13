/** What the bench and the process of one contender say to each other. */
import type { Values } from "./workloads/workload.ts";

/** Prepare, once; then run, any number of times; `times` runs in one go give their mean. */
export type Request = { readonly ask: "prepare" } | { readonly ask: "run"; readonly times: number };

/** Milliseconds of one run: by the clock, and of all processors together. */
export type Spent = { readonly wall: number; readonly processor: number };

export type Answer =
  | { readonly answer: "not offered" }
  /** `values` are those that the workload samples, from the first run. */
  | { readonly answer: "ready"; readonly ms: number; readonly values: Values }
  | { readonly answer: "ran"; readonly spent: Spent }
  | { readonly answer: "failed"; readonly why: string };
