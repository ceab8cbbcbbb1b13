/**
 * What a kernel's carried arrays hold before its first launch. A host loop that starts from constant fills and hands a
 * kernel its own results back keeps every element either as it was filled or as the kernel made it, and proofs about the
 * kernel's loops (idle.ts) may rely on that.
 */
import type { DeviceProgram, HostStep, Kernel } from "./ir.ts";

/** For each kernel: buffers that hold one number everywhere at first, and later what the kernel itself stored. */
export function initialContents(program: DeviceProgram): readonly ReadonlyMap<number, number>[] {
  const filled = new Map<number, number>();
  const found: (Map<number, number> | undefined)[] = program.kernels.map(() => undefined);
  const walk = (
    steps: readonly HostStep[],
    carried: ReadonlyMap<number, { readonly value: number; readonly next: number }>,
  ): void => {
    for (const s of steps) {
      if (s.kind === "launch") {
        const kernel = program.kernels[s.kernel]!;
        for (const [k, value] of constantStores(kernel)) filled.set(s.buffers[k]!, value);
        const here = new Map<number, number>();
        s.buffers.forEach((array, k) => {
          const begins = kernel.buffers[k]!.access === "read" ? array : s.updates.find((u) => u.buffer === k)?.from;
          const carry = begins === undefined ? undefined : carried.get(begins);
          if (carry && s.buffers.includes(carry.next)) here.set(k, carry.value);
        });
        // A kernel of several launches keeps what holds in all of them.
        const before = found[s.kernel];
        found[s.kernel] = before ? new Map([...before].filter(([k, v]) => Object.is(here.get(k), v))) : here;
      } else if (s.kind === "loop") {
        const inside = new Map<number, { readonly value: number; readonly next: number }>();
        for (const c of s.carry) {
          const value = filled.get(c.init) ?? carried.get(c.init)?.value;
          if (value !== undefined) inside.set(c.inside, { value, next: c.next });
        }
        walk(s.body, inside);
      }
    }
  };
  walk(program.steps, new Map());
  return found.map((f) => f ?? new Map());
}

/** Buffers into which a kernel stores one constant, everywhere. */
function constantStores(kernel: Kernel): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const s of kernel.stores) {
    const whole =
      kernel.buffers[s.buffer]!.access === "write" && kernel.stores.filter((t) => t.buffer === s.buffer).length === 1;
    if (whole && s.value.def.kind === "const") found.set(s.buffer, s.value.def.value);
  }
  return found;
}
