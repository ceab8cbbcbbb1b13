/** Small transfers travel as one message where that saves more than it costs; what is computed stays the same. */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import { compile } from "../../compiler/compile.ts";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { plan } from "../../compiler/schedule/plan.ts";
import type { Schedule, Transfer } from "../../compiler/schedule/schedule.ts";
import { simulate } from "../../compiler/schedule/simulate.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import { runSchedule } from "../../runtime/run.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { linkModel } from "../../runtime/transport/link.ts";
import { inProcess } from "../../runtime/transport/local.ts";
import { memoryTransports } from "../../runtime/transport/memory.ts";
import { acrossProcesses, dealt } from "../../runtime/transport/remote.ts";
import type { Transport } from "../../runtime/transport/transport.ts";
import { fakeMachine, outputsOf } from "../runtime/run-fake.ts";
import { allSteps, type MutableSchedule } from "./mutate.ts";
import { launch, metaOf, permute, programBuilder } from "./programs.ts";
import { evalProgram } from "./random.ts";

const sends = (s: Schedule): readonly Transfer[] =>
  allSteps(s as unknown as MutableSchedule).flatMap((x) => (x.kind === "send" ? [x as Transfer] : []));
const messages = (s: Schedule): number => new Set(sends(s).map((x) => x.message ?? `${x.token} alone`)).size;
const withMessage = (message: number): Machine => {
  const inside = { bandwidth: 1e9, latency: 0, message, duplex: true, shared: true };
  return { ...usualMachine, efficiency: { compute: 1, memory: 1, links: 1 }, devicesPerNode: 8, links: { inside } };
};
function attention(S: number, message: number): Schedule {
  const { compiled, diagnostics } = compile("examples/05-ring-attention.gyre", readSource, {
    dims: { B: 1, S, H: 1, D: 64 },
    meshSizes: { sp: 4 },
    machine: withMessage(message),
  });
  if (!compiled) throw new Error(diagnostics[0]?.message);
  return compiled.schedule;
}

test("keys and values of a ring travel as one message where they are small, and messages cost something", () => {
  const small = attention(256, 1e-5);
  expect(sends(small).length).toBe(2);
  expect(messages(small)).toBe(1);
  expect(small.decisions!.made.map((d) => d.what)).toContain("in one message with send v_1 on sp+1");
  expect(checkSchedule(small)).toEqual([]);
  expect(messages(attention(256, 0))).toBe(2);
  // 4 MiB on each device are two passes of 5 µs over memory.
  expect(messages(attention(65536, 1e-6))).toBe(2);
});

test("a message costs once what each of its transfers would", () => {
  const joined = attention(256, 1e-2);
  const apart = JSON.parse(JSON.stringify(joined), (key, value) => (key === "message" ? undefined : value)) as Schedule;
  const [one, two] = [joined, apart].map((s) => simulate(s, withMessage(1e-2)).seconds);
  // Three steps on links that hold up everything.
  expect(two! - one!).toBeCloseTo(3e-2, 4);
});

/** Three arrays go one device on, and a kernel makes something of them. */
function three(n: number): DeviceProgram {
  const b = programBuilder("three", { sp: n });
  const ins = ["x", "y", "z"].map((name) => b.input(name, [8], "sp"));
  const moved = ["x'", "y'", "z'"].map((name) => b.array(name, [8]));
  const out = b.array("out", [8]);
  const join = b.kernel("join", ["read", "read", "read", "write"], [8]);
  b.output(out, "sum", "sp");
  return b.finish([...ins.map((x, i) => permute(x, moved[i]!)), launch(join, ...moved, out)]);
}
const joinedThree = (n: number): Schedule =>
  plan(three(n), metaOf(three(n)), { machine: { ...withMessage(1), launch: 0 } });

test("what travels as one message arrives as ever, and the links carry it once", async () => {
  const schedule = joinedThree(4);
  expect([sends(schedule).length, messages(schedule)]).toEqual([3, 1]);
  const carried: number[] = [];
  const model = linkModel({ devicesPerNode: 4, links: withMessage(1e-3).links });
  const counted = {
    carry: (from: number, to: number, stream: string, bytes: number) => {
      carried.push(bytes);
      return model.carry(from, to, stream, bytes);
    },
  };
  const machine = { ...(await fakeMachine(schedule)), carrier: inProcess(counted) };
  const events: TraceEvent[] = [];
  const after = await runSchedule(schedule, machine, { trace: (event) => events.push(event) });
  expect(await outputsOf(schedule, machine.devices, after)).toEqual(evalProgram(three(4)));
  expect(carried).toEqual(Array(4).fill(3 * 8 * 4));
  // In the trace, each has its share of the time.
  const sent = events.filter((e) => e.name.startsWith("send") && e.device === "fake:0");
  expect(sent.length).toBe(3);
  for (const [i, e] of sent.entries()) expect(e.start).toBeCloseTo(i === 0 ? e.start : sent[i - 1]!.end, 3);
});

test("between processes too", async () => {
  const schedule = joinedThree(3);
  const places = dealt(3, 3);
  const bytes: number[] = [];
  const counted = (t: Transport): Transport => ({
    ...t,
    send: (to, tag, data) => {
      bytes.push(data.length);
      return t.send(to, tag, data);
    },
  });
  const all = await fakeMachine(schedule);
  const results = await Promise.all(
    memoryTransports(3).map(async (transport) => {
      const { rank } = transport;
      const machine = {
        positions: [rank],
        devices: [all.devices[rank]!],
        kernels: [all.kernels[rank]!],
        memory: [all.memory[rank]!],
        carrier: acrossProcesses(counted(transport), places),
      };
      return (await runSchedule(schedule, machine))[0]!;
    }),
  );
  expect(await outputsOf(schedule, all.devices, results)).toEqual(evalProgram(three(3)));
  expect(bytes).toEqual(Array(3).fill(3 * 8 * 4));
});
