/** Source to kernels and schedule in a warm process, by the built package; the size of the mesh must not matter. */
import { fileURLToPath } from "node:url";
import { median, timed } from "../machine.ts";
import { type Cost, ms, type Row } from "./cost.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const programs = [
  ["ring", "ring attention"],
  ["ring-gradients", "ring attention, forward and backward"],
] as const;

export const compileTimes: Cost = async (samples) => {
  const { compile, readSource } = (await import(here("../../dist/index.js"))) as typeof import("../../index.ts");
  const rows: Row[] = [];
  for (const [program, what] of programs)
    for (const sp of [4, 1024]) {
      const options = { dims: { B: 1, S: 1024 * sp, H: 8, D: 64 }, meshSizes: { sp } };
      const once = () => {
        const { compiled, diagnostics } = compile(here(`../programs/${program}.gyre`), readSource, options);
        if (!compiled) throw new Error(diagnostics[0]?.message);
      };
      const spent = median(await timed(samples, 25, once));
      rows.push({ what: `compile ${what}, sp=${sp}, warm`, value: ms(spent), wanted: "< 100 ms" });
    }
  return rows;
};
