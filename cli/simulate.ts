/** A schedule on a machine: whether it fits there, and what comes of it. */
import { largestTable, type Measured } from "../compiler/schedule/durations.ts";
import type { Machine } from "../compiler/schedule/machine.ts";
import { devicesOf } from "../compiler/schedule/places.ts";
import type { Schedule } from "../compiler/schedule/schedule.ts";
import { lacking, type Simulation, simulate } from "../compiler/schedule/simulate.ts";
import { cannot, usage } from "./exit.ts";
import { plural } from "./text.ts";

export type Simulated = {
  readonly machine: Machine;
  readonly nodes: number;
  readonly simulation: Simulation;
  /** Of each device: what the program takes at most, what there is, and what is left (less than 0: it does not fit). */
  readonly memory: {
    readonly bytes: number;
    readonly of: number;
    readonly fits: boolean;
    readonly spare: number;
  };
};

/** A ring of 4096 with a mask: about 400 MB. */
const MOST_COSTS = 2 ** 24;

/**
 * Simulates `s` on `nodes` nodes of a machine (as many as it needs, where that is not given). The first and the last device
 * are watched. Errors: more devices than there are, or a link that
 * the machine file does not have (exit 2); a mesh that is too large (exit 3).
 */
export function simulateOn(
  s: Schedule,
  machine: Machine,
  nodes?: number,
  limit = machine.memory.bytes,
  measured?: Measured,
): Simulated {
  const devices = devicesOf(s.mesh);
  const per = machine.devicesPerNode;
  const needed = Math.ceil(devices / per);
  if (nodes !== undefined && nodes < needed)
    throw usage(
      `the mesh has ${plural(devices, "device")}, ${plural(nodes, "node")} of ${machine.name} ${nodes === 1 ? "has" : "have"} ${nodes * per}`,
      `give it ${plural(needed, "node")}, as in --nodes ${needed}, or a smaller mesh`,
    );
  const missing = lacking(s, machine);
  if (missing !== undefined)
    throw usage(
      `the machine ${machine.name} has no ${missing}, and the program sends over it`,
      `add it to the machine file, as in "${missing.split(".")[1]}": { "bandwidth": 5e10, "latency": 5e-6 }, or use a smaller mesh`,
    );
  if (largestTable(s) > MOST_COSTS)
    throw cannot(
      "masks on a mesh of this size are not supported: what kernels cost hangs on too many pairs of place and step",
      "use a smaller mesh; times for each step hardly change from some hundred devices on",
    );
  const watch = devices > 1 ? [0, devices - 1] : [0];
  const simulation = simulate(s, machine, { watch, ...(measured && { measured }) });
  const spare = limit - s.memory.bytes;
  return {
    machine,
    nodes: nodes ?? needed,
    simulation,
    memory: { bytes: s.memory.bytes, of: limit, fits: spare >= 0, spare },
  };
}
