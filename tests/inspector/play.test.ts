import { describe, expect, test } from "vitest";
import { simulate } from "../../compiler/schedule/simulate.ts";
import { bands, inUse } from "../../inspector/model/memory.ts";
import {
  foundAt,
  type Machine,
  machinesOf,
  modelOf,
  predictedSummary,
  related,
  spanOf,
} from "../../inspector/model/model.ts";
import { covered, criticalPath, uncovered } from "../../inspector/model/path.ts";
import { turnText } from "../../inspector/model/run.ts";
import { pageOf, ring } from "./programs.ts";

/** Launches take `compute` microseconds, transfers `transfer`. */
const machine = (compute: number, transfer: number): Machine => ({
  name: "",
  note: "",
  cost: (step) => (step.kind === "launch" || step.kind === "copy" ? compute : transfer),
});

describe("a ring of four, played", () => {
  const data = ring(4);

  test("transfers that are shorter than kernels cost nothing", () => {
    const m = modelOf(data, machine(10, 4));
    const launches = m.lanes[0]!.length;
    expect(m.played.end).toBe(10 * launches);
    expect(predictedSummary(m).exposed).toBe(0);
    expect([...m.path].every((i) => m.played.spans[i]!.stream === 0)).toBe(true);
  });

  test("long ones decide: two arrays go three times round", () => {
    const m = modelOf(data, machine(1, 10));
    expect(m.played.end).toBe(3 * 20 + 1);
    const streams = [...m.path].map((i) => m.played.spans[i]!.stream);
    expect(streams.filter((s) => s === 1).length).toBe(6);
  });

  test("nothing begins before what it needs, and a stream does one thing after another", () => {
    const { played, lanes } = modelOf(data, machine(3, 5));
    for (const span of played.spans)
      for (const n of span.needs) expect(played.spans[n]!.end).toBeLessThanOrEqual(span.start);
    for (const lane of lanes)
      lane.forEach((span, i) => {
        if (i > 0) expect(lane[i - 1]!.end).toBeLessThanOrEqual(span.start);
      });
  });

  test("a send's other end is on the next device, and who uses it too", () => {
    const m = modelOf(data, machine(3, 5));
    const send = m.lanes[1]![0]!;
    const at = { step: send.step, turn: turnText(send.turn), device: 3, measured: false };
    const ends = related(m, at).filter((r) => r.how === "other end");
    expect(ends.map((r) => r.to.device)).toEqual([0]);
    const users = related(m, at).filter((r) => r.how === "needed by" && m.listed[r.to.step]!.step.kind === "launch");
    expect(users.length).toBeGreaterThan(0);
    expect(users.every((r) => r.to.device === 0)).toBe(true);
  });

  test("memory in use never exceeds what is allocated, and values do not overlap in a buffer", () => {
    const { schedule, played } = modelOf(data, machine(3, 5));
    const used = Math.max(...inUse(schedule, played.holds).map((p) => p.bytes));
    expect(used).toBeLessThanOrEqual(schedule.memory.bytes);
    expect(used).toBeGreaterThan(schedule.memory.bytes / 2);
    expect(bands(schedule).at(-1)!.top + bands(schedule).at(-1)!.height).toBe(schedule.memory.bytes);
    for (const a of played.holds)
      for (const b of played.holds)
        if (a !== b && a.slot === b.slot) expect(a.to <= b.from || b.to <= a.from).toBe(true);
  });
});

describe("a forecast", () => {
  const data = ring(4);
  const { simulated } = machinesOf(data)[0]!;

  test("is what `gyre simulate` says, with every span on its device", () => {
    const m = modelOf(data, machinesOf(data)[0]!);
    expect(m.forecast!.end).toBeCloseTo(1e6 * simulate(data.schedule, simulated!).seconds, 3);
    const [first, last] = [m.forecast!.lanes[0]![0]!.work, m.forecast!.lanes[3]![0]!.work];
    expect(first.length).toBe(m.lanes[0]!.length);
    expect(last.map((s) => s.turn)).toEqual(m.lanes[0]!.map((s) => turnText(s.turn)));
  });

  test("its critical path follows what was waited for, without gaps into the future", () => {
    const { forecast, forecastPath } = modelOf(data, machinesOf(data)[0]!);
    expect(forecastPath.size).toBeGreaterThan(3);
    for (const i of forecastPath)
      for (const n of forecast!.needs(i))
        expect(forecast!.spans[n]!.start).toBeLessThanOrEqual(forecast!.spans[i]!.end);
  });

  test("a send is found where it arrives", () => {
    const m = modelOf(data, machinesOf(data)[0]!);
    const send = m.lanes[1]![0]!;
    const there = foundAt(m, { step: send.step, turn: turnText(send.turn), device: 3, measured: false });
    expect(there.device).toBe(0);
    expect(m.listed[there.step]!.step.kind).toBe("receive");
    expect(spanOf(m, there)).toBeDefined();
  });
});

test("a ring of 1024 is played in full, as fast as anybody could wish", () => {
  const data = ring(1024);
  const began = performance.now();
  const m = modelOf(data, machinesOf(data)[0]!);
  expect(m.lanes[1]!.length).toBe(2 * 1023);
  expect(m.played.shortened).toEqual([]);
  expect(performance.now() - began).toBeLessThan(1000);
});

test("a machine of the run's own times comes first where there was a run", () => {
  const data = pageOf("examples/02-collectives.gyre");
  expect(machinesOf(data)[0]!.name).not.toContain("run");
  const measured = {
    where: "",
    streams: [],
    names: [],
    turns: [],
    device: [],
    stream: [],
    name: [],
    turn: [],
    start: [],
    length: [],
  };
  expect(machinesOf({ ...data, measured })[0]!.name).toContain("run");
});

describe("paths and cover", () => {
  const spans = [
    { start: 0, end: 4 },
    { start: 0, end: 6 },
    { start: 6, end: 9 },
  ];
  test("the path goes back over the later of two", () => {
    expect(criticalPath(spans, (i) => (i === 2 ? [0, 1] : []))).toEqual([2, 1]);
  });
  test("what is covered, and what others leave of it", () => {
    expect(covered([...spans, { start: 8, end: 12 }])).toBe(12);
    expect(
      uncovered(
        [{ start: 2, end: 8 }],
        [
          { start: 0, end: 3 },
          { start: 7, end: 9 },
        ],
      ),
    ).toBe(4);
  });
});
