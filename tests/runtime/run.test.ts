/** The walk over a schedule, on devices made of nothing: order, overlap, and what happens when something goes wrong. */
import { expect, test, vi } from "vitest";
import { GyreRuntimeError } from "../../runtime/errors.ts";
import { runSchedule } from "../../runtime/run.ts";
import type { TraceEvent } from "../../runtime/trace.ts";
import { launch, loop, permute, programBuilder, ringSum } from "../schedule/programs.ts";
import { evalProgram } from "../schedule/random.ts";
import { fakeMachine, planned, runFake } from "./run-fake.ts";

const ring = planned(ringSum(4));

/** What comes of `run`, on a clock that goes on when all else waits: as on a machine that takes no time itself. */
async function timed<T>(run: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    let going = true;
    const done = run().finally(() => {
      going = false;
    });
    done.catch(() => {});
    while (going) await vi.advanceTimersByTimeAsync(5);
    return await done;
  } finally {
    vi.useRealTimers();
  }
}

test("each device reads what it sends before it queues the kernel of the step, and sends n - 1 times", async () => {
  const machine = await fakeMachine(ring);
  await runSchedule(ring, machine);
  for (const device of machine.devices) {
    const order = device.log.filter((what) => /^(read|add|fill)/.test(what)).map((what) => what.split(" ")[0]);
    expect(order).toEqual(["fill", "read", "add", "read", "add", "read", "add", "add"]);
  }
});

test("transfers run beside the kernels: the bytes of each step are on their way when its kernel starts", async () => {
  const each = 80;
  const began: Record<string, number>[] = [];
  const delay =
    (p: number, counts: Record<string, number> = {}) =>
    (what: string) => {
      const kind = what.split(" ")[0]!;
      counts[kind] = (counts[kind] ?? 0) + 1;
      began[p] = { ...began[p], [`${kind} ${counts[kind]}`]: performance.now() };
      return kind === "add" || kind === "map" ? each : 0;
    };
  const got = await timed(() => runFake(ring, (p) => ({ delay: delay(p) })));
  expect(got).toEqual(evalProgram(ringSum(4)));
  for (const times of began) {
    for (const step of [1, 2, 3]) expect(Math.abs(times[`map ${step}`]! - times[`add ${step}`]!)).toBeLessThan(each);
  }
});

test("devices of different speed give the same results", async () => {
  const got = await runFake(ring, (p) => ({
    delay: (what) => (what === "add" ? 5 * p : what.startsWith("map") ? 15 - 5 * p : 0),
  }));
  expect(got).toEqual(evalProgram(ringSum(4)));
});

test("a device to which nobody sends gets zeros, over whatever was in the buffer", async () => {
  const b = programBuilder("zeros", { sp: 3 });
  const x = b.input("x", [4], "sp");
  const [t, u, y] = [b.array("t", [4]), b.array("u", [4]), b.array("y", [4])];
  const k = b.kernel("k", ["read", "write"], [4]);
  b.output(y, "", "sp");
  const program = b.finish([launch(k, x, t), launch(k, t, u), permute(u, y, { kind: "pairs", pairs: [[2, 0]] })]);
  const got = await runFake(planned(program));
  expect(got).toEqual(evalProgram(program));
  expect([...got[0]![1]!, ...got[0]![2]!]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});

test("a lost device ends the run for all, with the step and the device in the message", async () => {
  let launches = 0;
  const before = (what: string) => {
    if (what === "add" && ++launches === 3)
      throw new GyreRuntimeError("device-lost", "fake:2 was lost: unplugged", "run it again");
  };
  const run = runFake(ring, (p) => (p === 2 ? { before } : {}));
  const error = await run.catch((e) => e);
  expect(error).toBeInstanceOf(GyreRuntimeError);
  expect(error.kind).toBe("device-lost");
  expect(error.message).toMatch(/^step '.+' on fake:2 \(sp=2\): fake:2 was lost: unplugged$/);
  expect(error.help).toBe("run it again");
});

test("a transfer that never ends is a timeout that names the step and the device", async () => {
  const stalled = (what: string) => (what.startsWith("map") ? Number.POSITIVE_INFINITY : 0);
  const run = () => runFake(ring, (p) => (p === 1 ? { delay: stalled } : {}), { timeoutMs: 60 });
  const error = await timed(run).catch((e) => e);
  expect(error.kind).toBe("timeout");
  // The others come to a stand within a step of it, and any of them may be the first to say so.
  expect(error.message).toMatch(
    /^step 'wait for cur'' on fake:(\d) \(sp=\1\) did not finish: nothing moved for 0\.1 s$/,
  );
});

test("a slow link is no timeout as long as something moves", async () => {
  const slow = (what: string) => (what.startsWith("map") ? 100 : 0);
  const run = () => runFake(ring, () => ({ delay: slow }), { timeoutMs: 250 });
  expect(await timed(run)).toEqual(evalProgram(ringSum(4)));
});

test("an abort ends the run with the signal's reason; an aborted signal starts none", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("enough")), 20);
  const slow = { delay: () => 30 };
  await expect(runFake(ring, () => slow, { signal: controller.signal })).rejects.toThrow("enough");
  await expect(runFake(ring, undefined, { signal: controller.signal })).rejects.toThrow("enough");
});

test("progress goes up to the number of steps on all devices", async () => {
  const told: [number, number][] = [];
  await runFake(ring, () => ({ delay: () => 10 }), { progress: (done, total) => told.push([done, total]) });
  const total = 4 * (1 + 4 * 4);
  expect(told.length).toBeGreaterThan(1);
  expect(told.at(-1)).toEqual([total, total]);
  expect(told.map(([done]) => done)).toEqual(told.map(([done]) => done).sort((a, b) => a - b));
});

test("a trace has every transfer, by the schedule's labels, with its step, peer and bytes", async () => {
  const events: TraceEvent[] = [];
  await runFake(ring, undefined, { trace: (e) => events.push(e) });
  const sends = events.filter((e) => e.device === "fake:1" && e.name === "send cur on sp+1");
  expect(sends.map((e) => e.detail)).toEqual([0, 1, 2].map((step) => ({ step: `${step}`, bytes: 32, to: "fake:2" })));
  expect(sends.every((e) => e.stream === "sp+1" && e.end >= e.start)).toBe(true);
});

test("a long loop without transfers does not run away from its device", async () => {
  const b = programBuilder("long", { sp: 1 });
  const x = b.input("x", [4], "sp");
  const [inside, next, out] = [b.array("inside", [4]), b.array("next", [4]), b.array("out", [4])];
  const k = b.kernel("k", ["read", "write"], [4], [{ kind: "step", loop: 0 }]);
  b.output(out, "", "sp");
  const program = b.finish([loop(0, 1500, [[x, inside, next, out]], [launch(k, inside, next)])]);
  const machine = await fakeMachine(planned(program));
  await runSchedule(planned(program), machine);
  const { log } = machine.devices[0]!;
  expect(log.filter((what) => what === "idle").length).toBe(3);
  expect(await runFake(planned(program))).toEqual(evalProgram(program));
});
