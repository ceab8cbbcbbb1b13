/**
 * What launches, transfers and steps of a ring cost on two devices: the time of a loop of many, less that of a loop of few,
 * for each that it has more. Both loops are programs of Gyre, so the runtime's share is in it.
 */
import { fileURLToPath } from "node:url";
import { compile, open, readSource } from "../../index.ts";
import { median, timed } from "../machine.ts";
import { type Cost, ms, type Row } from "./cost.ts";

const program = fileURLToPath(new URL("../programs/costs.gyre", import.meta.url));
const DEVICES = 2;
const FEW = 8;
const FLOAT = 4;

const loops = [
  { entry: "launches", bytes: 4096, many: 512, what: "a launch of a small kernel" },
  { entry: "hops", bytes: 4096, many: 512, what: "a transfer of 4 KiB each way" },
  { entry: "hops", bytes: 1 << 20, many: 136, what: "a transfer of 1 MiB each way" },
  { entry: "hops", bytes: 1 << 24, many: 40, what: "a transfer of 16 MiB each way" },
  { entry: "both", bytes: 4096, many: 512, what: "a step of a ring: 4 KiB each way and a small kernel" },
] as const;

export const steps =
  (backend: "webgpu" | "cpu"): Cost =>
  async (samples) => {
    const rows: Row[] = [];
    const session = await open({ backend, devices: DEVICES }).catch(() => undefined);
    if (!session) return [];
    const target = backend === "cpu" ? "cpu" : session.devices[0]!.info.software ? "software" : "gpu";
    for (const { entry, bytes, many, what } of loops) {
      const N = (DEVICES * bytes) / FLOAT;
      const loop = async (STEPS: number): Promise<() => Promise<void>> => {
        const options = { entry, dims: { N, STEPS }, meshSizes: { x: DEVICES }, target } as const;
        const { compiled, diagnostics } = compile(program, readSource, options);
        if (!compiled) throw new Error(diagnostics[0]?.message);
        const loaded = await session.load(compiled);
        const v = await loaded.put("v", new Float32Array(N));
        return async () => (await loaded.run({ v }))[""]!.free();
      };
      const [short, long] = [await loop(FEW), await loop(many)];
      const spent: { readonly short: number[]; readonly long: number[] } = { short: [], long: [] };
      for (let i = 0; i < samples; i++) {
        const warm = i === 0 ? 1 : 0;
        spent.short.push(...(await timed(1, warm, short)));
        spent.long.push(...(await timed(1, warm, long)));
      }
      const each = (median(spent.long) - median(spent.short)) / (many - FEW);
      rows.push({ what: `${backend}, two devices: ${what}`, value: ms(Math.max(0, each)) });
    }
    session.close();
    return rows;
  };
