/**
 * Kernels that do the same are one, launched several times: layers written out, projections alike, the same step of two
 * loops. What readers call things makes no difference; the first one's names stay.
 */
import type { DeviceProgram, HostStep, Kernel } from "./ir.ts";
import { meaningOf } from "./meaning.ts";

/** The program with each of its kernels once. Takes time linear in its size. */
export function mergeKernels(p: DeviceProgram): DeviceProgram {
  const kernels: Kernel[] = [];
  const known = new Map<string, number>();
  const to = p.kernels.map((k) => {
    const key = meaningOf(k);
    const at = known.get(key) ?? kernels.push(k) - 1;
    known.set(key, at);
    return at;
  });
  const renumbered = (s: HostStep): HostStep => {
    switch (s.kind) {
      case "launch":
        return { ...s, kernel: to[s.kernel]! };
      case "permute":
        return s.still === undefined ? s : { ...s, still: to[s.still]! };
      case "loop":
        return { ...s, body: s.body.map(renumbered) };
    }
  };
  return { ...p, kernels, steps: p.steps.map(renumbered) };
}
