/** Every workload, in the order of the report. */
import { attentionWorkloads, gradientWorkloads, ownWorkloads, ringWorkloads } from "./attention.ts";
import { blockWorkload, feedforwardWorkload, matmulWorkloads } from "./layers.ts";
import type { Workload } from "./workload.ts";

export const workloads: readonly Workload[] = [
  ...attentionWorkloads,
  ...gradientWorkloads,
  ...matmulWorkloads,
  feedforwardWorkload,
  blockWorkload,
  ...ownWorkloads,
  ...ringWorkloads,
];
