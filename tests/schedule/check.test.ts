import { describe, expect, test } from "vitest";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { planned, runFake } from "../runtime/run-fake.ts";
import { allSteps, changed, drop, loopsOf, type MutableSchedule, type MutableStep, randomMutant } from "./mutate.ts";
import { launch, permute, programBuilder, ringSum } from "./programs.ts";
import { evalProgram, randomFrom, randomProgram } from "./random.ts";

const ring = planned(ringSum(4));
/** A shift written as pairs, then a launch that reads what arrived. */
const pairs = (() => {
  const b = programBuilder("pairs", { sp: 4 });
  const x = b.input("x", [8], "sp");
  const [y, z] = [b.array("y", [8]), b.array("z", [8])];
  const k = b.kernel("k", ["read", "write"], [8]);
  b.output(z, "", "sp");
  const route = { kind: "pairs" as const, pairs: [[0, 1] as const, [1, 2] as const, [2, 3] as const] };
  return planned(b.finish([permute(x, y, route), launch(k, y, z)]));
})();

type StepOf<K> = MutableStep extends infer T
  ? T extends { kind: infer Q }
    ? K extends Q
      ? T
      : never
    : never
  : never;
const step = <K extends MutableStep["kind"]>(s: MutableSchedule, kind: K): StepOf<K> =>
  allSteps(s).find((x) => x.kind === kind) as StepOf<K>;

describe("what is broken is caught", () => {
  const cases: [name: string, s: Schedule, change: (s: MutableSchedule) => void, says: RegExp][] = [
    ["a wait left out", ring, (s) => drop(s, (x) => x.kind === "wait"), /transfer 0 has no wait/],
    ["a send left out", ring, (s) => drop(s, (x) => x.kind === "send"), /transfer 0 has no send/],
    ["a receive left out", ring, (s) => drop(s, (x) => x.kind === "receive"), /transfer 0 has no receive/],
    [
      "a transfer waited for twice",
      ring,
      (s) => void loopsOf(s)[0]!.body.push({ ...step(s, "wait"), label: "again" }),
      /transfer 0 has 2 waits/,
    ],
    [
      "a wait before the send",
      ring,
      (s) => {
        const { body } = loopsOf(s)[0]!;
        body.unshift(body.splice(3, 1)[0]!);
      },
      /would wait for ever: transfer 0 has begun no send/,
    ],
    [
      "no rotation",
      ring,
      (s) => void (loopsOf(s)[0]!.rotate = []),
      /the end of 'loop 0' reads 'acc'' from buffer 'zero', which holds 'zero'/,
    ],
    [
      "one rotation missing",
      ring,
      (s) => void loopsOf(s)[0]!.rotate.pop(),
      /the end of 'loop 0' reads 'cur'' from buffer 'cur', which has not been written/,
    ],
    [
      "the buffers of the ring swapped",
      ring,
      (s) => {
        const [send, receive] = [step(s, "send"), step(s, "receive")];
        [send.buffer, receive.buffer] = [receive.buffer, send.buffer];
      },
      /'receive cur' on sp\+1' writes buffer 'cur' while it stands for another buffer/,
    ],
    [
      "a launch that writes what is being sent",
      ring,
      (s) => {
        for (const x of allSteps(s)) if (x.kind === "launch" && x.label === "add") x.args[2]!.buffer = 3;
      },
      /'add' writes buffer 'cur'' while 'receive cur' on sp\+1' is under way/,
    ],
    [
      "a guard on one end only",
      ring,
      (s) => void delete (step(s, "send") as { when?: string }).when,
      /'loop 0' ends a step while 'send cur on sp\+1' is under way/,
    ],
    [
      "the neighbour on the other side",
      ring,
      (s) => void (step(s, "receive").route = { kind: "shift", offset: -1 }),
      /goes round sp by 1 and .* comes round sp by -1: they do not meet/,
    ],
    ["sizes that differ", ring, (s) => void (step(s, "receive").bytes = 16), /moves 16 bytes of 'cur'', which has 32/],
    [
      "pairs that send one thing to two",
      pairs,
      (s) => {
        for (const x of [step(s, "send"), step(s, "receive")])
          x.route = {
            kind: "pairs",
            pairs: [
              [0, 1],
              [0, 2],
            ],
          };
      },
      /place 0 sends twice/,
    ],
    [
      "pairs in which one receives from two",
      pairs,
      (s) => {
        for (const x of [step(s, "send"), step(s, "receive")])
          x.route = {
            kind: "pairs",
            pairs: [
              [0, 2],
              [1, 2],
            ],
          };
      },
      /place 2 receives twice/,
    ],
    [
      "pairs outside of the ring",
      pairs,
      (s) => {
        for (const x of [step(s, "send"), step(s, "receive")]) x.route = { kind: "pairs", pairs: [[0, 4]] };
      },
      /names place 4 on a ring of 4/,
    ],
    [
      "reading what has not arrived",
      pairs,
      (s) => void s.steps.push(s.steps.splice(2, 1)[0]!),
      /'k' reads 'y' from buffer 'y' while 'receive y on sp pairs' is under way/,
    ],
    [
      "an input overwritten",
      pairs,
      (s) => void (step(s, "launch").args[1]!.buffer = 0),
      /'k' writes buffer 'x', an input that was not donated/,
    ],
    [
      "a buffer too small",
      pairs,
      (s) => {
        s.buffers[1]!.bytes = 16;
        s.memory.bytes -= 16;
      },
      /writes 32 bytes to buffer 'y', which has 16/,
    ],
    [
      "an output that nobody writes",
      pairs,
      (s) => drop(s, (x) => x.kind === "launch"),
      /the output 'result' reads 'z' from buffer 'z', which has not been written/,
    ],
  ];
  for (const [name, s, change, says] of cases) {
    test(name, () => {
      expect(checkSchedule(s)).toEqual([]);
      expect(checkSchedule(changed(s, change)).join("\n")).toMatch(says);
    });
  }
});

test("what the checker lets through gives the right results, whatever was changed", async () => {
  let caught = 0;
  let harmless = 0;
  for (let seed = 0; seed < 60; seed++) {
    const program = randomProgram(seed + 5000);
    const schedule = planned(program);
    const random = randomFrom(seed);
    const expected = evalProgram(program);
    for (let n = 0; n < 10; n++) {
      const mutant = randomMutant(schedule, random);
      if (!mutant) continue;
      if (checkSchedule(mutant).length > 0) caught++;
      else {
        harmless++;
        const slow = () => ({ delay: () => (seed % 15 === 0 ? random(2) : 0) });
        expect(await runFake(mutant, slow, { timeoutMs: 2000 }), `seed ${seed}, mutant ${n}`).toEqual(expected);
      }
    }
  }
  expect(caught).toBeGreaterThan(150);
  expect(harmless).toBeGreaterThan(20);
});
