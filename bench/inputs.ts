/** The inputs of a workload: the same numbers for every contender. */
import { randomNormal } from "../runtime/random.ts";
import { type Arrays, count, type Workload } from "./workloads/workload.ts";

export const inputsOf = ({ inputs }: Workload): Arrays =>
  Object.fromEntries(
    inputs.map(({ name, shape, scale = 1, mean = 0 }) => [
      name,
      randomNormal(0, name, count(shape)).map((x) => x * scale + mean),
    ]),
  );
