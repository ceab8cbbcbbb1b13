import { expect, test } from "vitest";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { planned, runFake } from "../runtime/run-fake.ts";
import { evalProgram, randomFrom, randomProgram } from "./random.ts";

const SEEDS = 150;

test("random programs: planned, proved right, and run with random delays, give what they mean", async () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const program = randomProgram(seed);
    const random = randomFrom(seed + 1e6);
    const donate = program.inputs.map((i) => i.port.path).filter(() => random(3) === 0);
    const schedule = planned(program, donate);
    expect(checkSchedule(schedule), `seed ${seed}`).toEqual([]);
    expect(JSON.parse(JSON.stringify(schedule))).toEqual(schedule);
    const delays = seed % 10 === 0 ? () => ({ delay: () => (random(4) === 0 ? 1 : 0) }) : () => ({});
    const got = await runFake(schedule, delays);
    expect(got, `seed ${seed}`).toEqual(evalProgram(program));
  }
});
