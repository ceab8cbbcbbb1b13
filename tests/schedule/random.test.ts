import { expect, test } from "vitest";
import { usualMachine } from "../../compiler/base/machine.ts";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { plan } from "../../compiler/schedule/plan.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import { planned, runFake } from "../runtime/run-fake.ts";
import { metaOf } from "./programs.ts";
import { evalProgram, randomFrom, randomProgram } from "./random.ts";

const SEEDS = 150;

function weighed(program: DeviceProgram, donate: readonly string[], bandwidth: number): Schedule {
  const link = { bandwidth, latency: 0, message: bandwidth < 1e8 ? 1e-3 : 0, duplex: true, shared: true };
  const machine = { ...usualMachine, launch: 0, memory: { bytes: 1e9, bandwidth: 1e8 }, links: { inside: link } };
  return plan(program, metaOf(program), { donate, machine });
}

test("random programs: planned, proved right, and run with random delays, give what they mean", async () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const program = randomProgram(seed);
    const random = randomFrom(seed + 1e6);
    const donate = program.inputs.map((i) => i.port.path).filter(() => random(3) === 0);
    // Half of them are ordered by what things take: links as slow as kernels, or much slower.
    const bandwidth = [undefined, 1e8, undefined, 1e6][seed % 4];
    const schedule = bandwidth === undefined ? planned(program, donate) : weighed(program, donate, bandwidth);
    expect(checkSchedule(schedule), `seed ${seed}`).toEqual([]);
    expect(JSON.parse(JSON.stringify(schedule))).toEqual(schedule);
    const delays = seed % 10 === 0 ? () => ({ delay: () => (random(4) === 0 ? 1 : 0) }) : () => ({});
    const got = await runFake(schedule, delays);
    expect(got, `seed ${seed}`).toEqual(evalProgram(program));
  }
});
