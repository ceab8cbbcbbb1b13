/** What a launch costs where, and when: tables over scalars, looked up for every device at the step at hand. */
import { type LaunchCost, stridesOf } from "./durations.ts";
import { devicesOf, indexAlong } from "./places.ts";
import type { Schedule } from "./schedule.ts";

/** Of each of the positions, in seconds and flops. The arrays are used again by the next call with the same kernel. */
export type Costs = { readonly seconds: Float64Array; readonly flops: Float64Array };
/** `turns`: the step that each loop is in, by its id. */
export type LaunchAt = (kernel: number, turns: ReadonlyMap<number, number>) => Costs;

/** The costs of every kernel at `positions`. */
export function launchesAt(s: Schedule, costs: readonly LaunchCost[], positions: readonly number[]): LaunchAt {
  const placed = costs.map((cost) => {
    const base = new Float64Array(positions.length);
    const steps: { readonly loop: number; readonly stride: number }[] = [];
    for (const [i, stride] of stridesOf(cost.coordinates).entries()) {
      const x = cost.coordinates[i]!;
      if (x.kind === "step") steps.push({ loop: x.loop, stride });
      else {
        const along = indexAlong(s.mesh, x.axes);
        positions.forEach((p, c) => {
          base[c] = base[c]! + along[p]! * stride;
        });
      }
    }
    const made = { seconds: new Float64Array(positions.length), flops: new Float64Array(positions.length) };
    return { cost, base, steps, made, last: -1 };
  });
  return (kernel, turns) => {
    const p = placed[kernel]!;
    const offset = p.steps.reduce((sum, x) => sum + (turns.get(x.loop) ?? 0) * x.stride, 0);
    if (offset === p.last) return p.made;
    p.last = offset;
    for (let c = 0; c < positions.length; c++) {
      p.made.seconds[c] = p.cost.seconds[p.base[c]! + offset]!;
      p.made.flops[c] = p.cost.flops[p.base[c]! + offset]!;
    }
    return p.made;
  };
}

/** Of every position, a key: equal where all launches cost the same in all steps. */
export function workKeys(s: Schedule, costs: readonly LaunchCost[]): readonly string[] {
  const keys = Array<string>(devicesOf(s.mesh)).fill("");
  costs.forEach((cost) => {
    if (!cost.coordinates.some((x) => x.kind === "place")) return;
    const base = new Int32Array(keys.length);
    let offsets: readonly number[] = [0];
    for (const [i, stride] of stridesOf(cost.coordinates).entries()) {
      const x = cost.coordinates[i]!;
      if (x.kind === "step") {
        offsets = offsets.flatMap((o) => Array.from({ length: x.size }, (_, t) => o + t * stride));
        continue;
      }
      const along = indexAlong(s.mesh, x.axes);
      for (let p = 0; p < base.length; p++) base[p] = base[p]! + along[p]! * stride;
    }
    const rows = new Map<number, string>();
    base.forEach((at, p) => {
      let row = rows.get(at);
      if (row === undefined) {
        row = `${digest(cost.seconds, at, offsets)} ${digest(cost.flops, at, offsets)}`;
        rows.set(at, row);
      }
      keys[p] += `${row} `;
    });
  });
  return keys;
}

/** Two 32-bit hashes of some cells. */
function digest(table: Float64Array, at: number, offsets: readonly number[]): string {
  const words = new Uint32Array(2);
  const number = new Float64Array(words.buffer);
  let [a, b] = [0x811c9dc5, 0x9e3779b9];
  for (const o of offsets) {
    number[0] = table[at + o]!;
    a = Math.imul(a ^ words[0]!, 0x01000193) ^ words[1]!;
    b = Math.imul(b ^ words[1]!, 0x85ebca6b) + words[0]!;
    b ^= b >>> 13;
  }
  return `${a >>> 0}.${b >>> 0}`;
}
