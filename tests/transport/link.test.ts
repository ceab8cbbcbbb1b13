/** The model of links: bytes are never early, ports take one transfer at a time, and what they carry is right. */
import { expect, test } from "vitest";
import { linkFlag } from "../../cli/flags.ts";
import { linksOf } from "../../cli/machines.ts";
import { plan } from "../../compiler/schedule/plan.ts";
import { runSchedule } from "../../runtime/run.ts";
import { type Links, linkModel } from "../../runtime/transport/link.ts";
import { inProcess } from "../../runtime/transport/local.ts";
import { fakeMachine, outputsOf, planned, runFake } from "../runtime/run-fake.ts";
import { metaOf, ringSum } from "../schedule/programs.ts";
import { evalProgram } from "../schedule/random.ts";

const link = { bandwidth: 1e6, latency: 0.004, duplex: true, shared: true };
const oneLink = (change: object = {}): Links => ({ devicesPerNode: 1, links: { between: { ...link, ...change } } });

/** When each of these transfers, begun at time 0 in turn, is there: milliseconds. */
async function arrivals(links: Links, ...transfers: readonly (readonly [from: number, to: number, stream: string])[]) {
  let time = 0;
  const until = async (wanted: number) => {
    time = wanted;
  };
  const model = linkModel(links, { now: () => 0, until });
  const times: number[] = [];
  for (const [from, to, stream] of transfers) {
    time = 0;
    await model.carry(from, to, stream, 20_000);
    times.push(time);
  }
  return times;
}

test("a transfer takes bytes / bandwidth and the latency", async () => {
  expect(await arrivals(oneLink(), [0, 1, "sp+1"])).toEqual([24]);
});

test("a port carries one transfer after another; other ports don't wait for it", async () => {
  expect(await arrivals(oneLink(), [0, 1, "sp+1"], [0, 2, "sp-1"], [3, 4, "sp+1"])).toEqual([24, 44, 24]);
});

test("links that are not shared have a port for each stream; those that are not duplex, half of the rate", async () => {
  expect(await arrivals(oneLink({ shared: false }), [0, 1, "sp+1"], [0, 1, "sp-1"])).toEqual([24, 24]);
  expect(await arrivals(oneLink({ duplex: false }), [0, 1, "sp+1"])).toEqual([44]);
});

test("inside a node and between nodes there are different links, or none that hold anything back", async () => {
  expect(await arrivals({ ...oneLink(), devicesPerNode: 2 }, [0, 1, "sp+1"], [1, 2, "sp+1"])).toEqual([0, 24]);
});

test("a schedule computes the same on slow links, with overlap and without", async () => {
  for (const overlap of [true, false]) {
    const program = ringSum(4);
    const schedule = plan(program, metaOf(program), { overlap });
    const machine = { ...(await fakeMachine(schedule)), carrier: inProcess(linkModel(oneLink({ bandwidth: 1e4 }))) };
    const began = performance.now();
    const after = await runSchedule(schedule, machine);
    expect(performance.now() - began).toBeGreaterThanOrEqual(3 * (3.2 + 4));
    expect(await outputsOf(schedule, machine.devices, after)).toEqual(evalProgram(program));
  }
});

test("without overlap every transfer is waited for right after it was started", () => {
  const program = ringSum(4);
  const schedule = plan(program, metaOf(program), { overlap: false });
  const kinds = schedule.steps.flatMap((s) => (s.kind === "loop" ? s.body.map((b) => b.kind) : []));
  expect(kinds.join(" ")).toMatch(/(receive send|send receive) wait/);
  const ring = planned(program).steps.flatMap((s) => (s.kind === "loop" ? s.body.map((b) => b.kind) : []));
  expect(ring.join(" ")).toMatch(/launch wait$/);
});

test("without links, results are as ever", async () => {
  expect(await runFake(planned(ringSum(3)))).toEqual(evalProgram(ringSum(3)));
});

test("--link says a bandwidth and a latency, or names a machine", () => {
  expect(linkFlag("bandwidth=1e9,latency=5e-6")).toEqual({ bandwidth: 1e9, latency: 5e-6 });
  expect(linkFlag("latency=0.01")).toEqual({ bandwidth: Number.POSITIVE_INFINITY, latency: 0.01 });
  for (const bad of ["bandwidth=0", "speed=3", "bandwidth=fast", "latency=-1"]) expect(() => linkFlag(bad)).toThrow();
  expect(linksOf({ machine: "h100-nvlink8" }).links?.devicesPerNode).toBe(8);
  expect(() => linksOf({ machine: "h100" })).toThrow(/there is no machine called h100/);
});
