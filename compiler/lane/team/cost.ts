/**
 * What a team's kernel costs, estimated from its plan: multiply-adds, reads of workgroup memory, and what is fetched into
 * it, in cycles of a processor that has 128 multiply-adds and 128 bytes of workgroup memory in each. Meant to rank the
 * plans of one kernel; the numbers beside it are for people and for tests.
 */
import { bytesEach } from "../../core/dtype.ts";
import type { Axis, Stmt } from "../../tile/ir.ts";
import { layoutOf } from "./dealt.ts";
import { project, sizeOf } from "./layout.ts";
import { dealtOf, type Plan } from "./plan.ts";
import { elementsOf } from "./shared.ts";

export type Estimate = {
  /** All workgroups, in cycles of one processor of those there are. */
  readonly cycles: number;
  /** Of a thread: multiply-adds, and reads of workgroup memory (four elements at once where that is possible). */
  readonly multiplyAdds: number;
  readonly reads: number;
  /** Bytes that a workgroup fetches from memory. */
  readonly bytes: number;
  /** Registers that a thread needs, about. */
  readonly registers: number;
};

/** A processor of a GPU: how many threads run as one, what a cycle has for them, and how much of it waits for memory. */
const gpu = { wide: 32, multiplyAdds: 128, readCycles: 2, bytes: 16, processors: 32, registers: 128, hidden: 8 };

export function estimate(plan: Plan): Estimate {
  const dealt = dealtOf(plan);
  const times = stepsOf(plan);
  let multiplyAdds = 0;
  let reads = 0;
  let fragments = 0;
  for (const p of plan.products.values()) {
    const result = layoutOf(dealt, [p.m, p.n]);
    const side = (a: Axis): number => sizeOf(project(result, [a.id]).registers);
    const k = plan.parts.get(p.k.id)!.cover;
    const n = times.get(p.sum.id) ?? 1;
    const readsOf = (id: number, a: Axis): number => {
      const tile = plan.staged.get(id)?.tile;
      return (side(a) * k) / (tile?.width ?? 1);
    };
    multiplyAdds += n * side(p.m) * side(p.n) * k;
    reads += n * (readsOf(p.left.value.id, p.m) + readsOf(p.right.value.id, p.n));
    fragments = Math.max(fragments, 4 * (side(p.m) + side(p.n)));
  }
  let bytes = 0;
  for (const [id, { tile, how }] of plan.staged)
    if (how !== "spill") bytes += (times.get(id) ?? 1) * elementsOf(tile) * bytesEach(tile.dtype);
  const registers = plan.accumulators + fragments + 24;
  // What one workgroup keeps busy, and how well others hide what it waits for.
  const warps = plan.warps;
  const computing = (multiplyAdds * warps * gpu.wide) / gpu.multiplyAdds;
  const reading = reads * warps * gpu.readCycles;
  const fetching = bytes / gpu.bytes;
  const busy = Math.max(computing, reading, fetching) + (computing + reading + fetching) / 4;
  const spilled = Math.max(1, registers / gpu.registers) ** 2;
  const together = Math.max(1, Math.min(8, Math.floor((64 * 1024) / Math.max(1, plan.sharedBytes))));
  const waiting = Math.max(1, gpu.hidden / (together * warps)) ** 0.5;
  const waves = Math.max(1, plan.groups / gpu.processors);
  return { cycles: busy * spilled * waiting * waves, multiplyAdds, reads, bytes, registers };
}

/** How often what is let in the body of each loop is computed. */
function stepsOf(plan: Plan): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  const walk = (body: readonly Stmt[], times: number): void => {
    for (const s of body)
      if (s.kind === "let") found.set(s.value.id, times);
      else {
        const own =
          s.over.kind === "steps"
            ? s.over.count
            : Math.ceil(s.over.axis.extent / plan.parts.get(s.over.axis.id)!.block);
        walk(s.body, times * own);
      }
  };
  walk(plan.kernel.body, 1);
  return found;
}
