/** The mappings worth measuring for a processor with SIMD: the chosen one, and those for more or fewer registers, larger or smaller blocks. */
import type { Kernel } from "../tile/ir.ts";
import { type Allowed, allowedOf, choiceOf, mappingOf } from "./allowed.ts";
import { checkMapping } from "./checkMapping.ts";
import type { SimdTarget } from "./chooseSimd.ts";
import type { Mapping, MappingChoice } from "./map.ts";

/** What `choose` takes for the target first. */
export function rankSimd(
  kernel: Kernel,
  target: SimdTarget,
  choose: (kernel: Kernel, target: SimdTarget) => Mapping,
): readonly Mapping[] {
  const allowed = allowedOf(kernel);
  const found = new Map<string, Mapping>();
  const add = (choice: MappingChoice): void => {
    const mapping = mappingOf(allowed, choice);
    if (checkMapping(allowed, mapping).length === 0) found.set(JSON.stringify(choice), mapping);
  };
  for (const sums of [target.sums, 4, 12, 16])
    for (const chunk of [target.chunk, 16, 256]) {
      const choice = choiceOf(choose(kernel, { ...target, sums, chunk }));
      add(choice);
      for (const block of [16, 32, 64, 128]) add(withBlocks(allowed, choice, block));
    }
  return [...found.values()];
}

/** The same with other blocks for the folds that may have any. */
const withBlocks = (allowed: Allowed, choice: MappingChoice, block: number): MappingChoice => ({
  ...choice,
  axes: choice.axes.map((c, k) => {
    const a = allowed.axes[k]!;
    const size = Math.min(block, a.extent);
    return a.role === "fold" && allowed.free.has(a.id) && size % c.unroll === 0 ? { ...c, block: size } : c;
  }),
});

/** The mapping that a choice makes; undefined where there is none, or where it is not legal for this kernel. */
export function givenSimd(kernel: Kernel, choice: MappingChoice | undefined): Mapping | undefined {
  const allowed = allowedOf(kernel);
  if (choice?.simd === undefined || choice.axes.length !== allowed.axes.length) return undefined;
  const mapping = mappingOf(allowed, choice);
  return checkMapping(allowed, mapping).length === 0 ? mapping : undefined;
}
