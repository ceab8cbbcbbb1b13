/** What is measured of Gyre alone, by the names that `--only` takes. */
import { compileTimes } from "./compile.ts";
import type { Cost } from "./cost.ts";
import { checkProcess, demo } from "./processes.ts";
import { steps } from "./steps.ts";

export const costs: Readonly<Record<string, Cost>> = {
  compile: compileTimes,
  check: checkProcess,
  demo,
  "steps-webgpu": steps("webgpu"),
  "steps-cpu": steps("cpu"),
};
