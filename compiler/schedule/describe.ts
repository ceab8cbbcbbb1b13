/** A kernel of Tile as a schedule has it, and what it takes on a machine before there is a schedule. */
import type { Machine } from "../base/machine.ts";
import { costOf } from "../tile/cost.ts";
import type * as Tile from "../tile/ir.ts";
import type { Filling } from "../tile/splitk.ts";
import { kernelSeconds } from "./cost.ts";
import type { Kernel, Mesh } from "./schedule.ts";
import { workOf } from "./work.ts";

export const describe = (k: Tile.Kernel, groups: Kernel["groups"]): Kernel => ({
  name: k.name,
  groups,
  bindings: k.buffers.map(({ name, dtype, shape, access }) => ({ name, dtype, shape, access })),
  scalars: k.scalars,
  cost: costOf(k),
  work: workOf(k),
});

/** What fills a device of so many processors. */
export const fillingOf = (
  processors: number,
  groupsOf: (k: Tile.Kernel) => number,
  mesh: Mesh,
  machine: Machine,
): Filling => ({
  processors,
  groupsOf,
  launch: machine.launch,
  secondsOf: (k) => kernelSeconds([describe(k, [1, 1, 1])], mesh, [], machine)[0]!,
});
