import { describe, expect, test } from "vitest";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { plan } from "../../compiler/schedule/plan.ts";
import { printSchedule } from "../../compiler/schedule/print.ts";
import type { Loop, Schedule, Step } from "../../compiler/schedule/schedule.ts";
import { estimate, printTimeline, timeline } from "../../compiler/schedule/timeline.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import { planned } from "../runtime/run-fake.ts";
import { launch, loop, metaOf, permute, programBuilder, ringSum, update } from "./programs.ts";

const kinds = (steps: readonly Step[]) => steps.map((s) => s.kind);
const labels = (steps: readonly Step[]): string[] =>
  steps.flatMap((s) => (s.kind === "loop" ? [s.label, ...labels(s.body)] : [s.label]));
const onlyLoop = (s: Schedule): Loop => s.steps.find((step): step is Loop => step.kind === "loop")!;

/** Asserts that the schedule is right. */
function proved(s: Schedule): Schedule {
  expect(checkSchedule(s)).toEqual([]);
  return s;
}

describe("a ring", () => {
  const s = proved(planned(ringSum(4)));

  test("moves the next block while it computes on this one, and not in the last step", () => {
    expect(onlyLoop(s).body.map((step) => [step.label, step.when])).toEqual([
      ["receive cur' on sp+1", "not-last"],
      ["send cur on sp+1", "not-last"],
      ["add", undefined],
      ["wait for cur'", "not-last"],
    ]);
  });

  test("has two buffers for what goes round, exchanged at the end of a step; the input is read where it is", () => {
    const { rotate, carry } = onlyLoop(s);
    expect(rotate.map((cycle) => cycle.map((b) => s.buffers[b]!.name))).toEqual([
      ["zero", "acc'"],
      ["cur", "cur'"],
    ]);
    expect(carry.map((c) => c.first)).toEqual([undefined, s.inputs[0]!.buffer]);
    expect(kinds(s.steps)).toEqual(["launch", "loop"]);
  });

  test("prints", () => {
    expect(`${printSchedule(s)}\n\n${printTimeline(s)}`).toMatchInlineSnapshot(`
      "schedule ring_sum on m(sp: 4)   160 bytes on each device
        input x                 x                                      f32[8]
        fill                    → zero                                 1×1×1 groups
        loop 0 × 4              acc[zero] = zero, cur = x[x at first]
          receive cur' on sp+1  → cur'                                 32 bytes, not in the last step
          send cur on sp+1      cur                                    32 bytes, not in the last step
          add                   acc[zero], cur → acc'                  1×1×1 groups
          wait for cur'                                                not in the last step
          rotate                zero ⇄ acc', cur ⇄ cur'
        output                  sum[zero]                              f32[8]

      memory 160 bytes in 5 buffers
          32 bytes  x (input)
          32 bytes  zero (output), then acc, sum
          32 bytes  cur
          32 bytes  cur'
          32 bytes  acc'

      compute  │ fill            │ add 0           │ add 1           │ add 2           │ add 3           │
      sp+1     │ send cur 0      │ send cur 1      │ send cur 2      │"
    `);
  });

  test("has a schedule of one size, and takes one time to plan and prove, for 4 and for 1024 devices", () => {
    const size = (n: number) => JSON.stringify({ ...planned(ringSum(n)), mesh: 0, inputs: 0, outputs: 0 }).length;
    expect(Math.abs(size(1024) - size(4))).toBeLessThan(8);
    const began = performance.now();
    proved(planned(ringSum(1 << 20)));
    expect(performance.now() - began).toBeLessThan(100);
  });

  test("of one device has no transfer and no loop-carried block", () => {
    const one = proved(planned(ringSum(1)));
    expect(labels(one.steps)).toEqual(["fill", "loop 0", "add"]);
    expect(one.streams).toEqual(["compute"]);
  });
});

test("transfers start as soon as their operand is there and are waited for just before they are needed", () => {
  const b = programBuilder("halo", { sp: 4 });
  const x = b.input("x", [8], "sp");
  const [left, right, inner, out] = ["left", "right", "inner", "out"].map((n) => b.array(n, [8])) as [
    number,
    number,
    number,
    number,
  ];
  const edge = b.kernel("edge", ["read", "read", "read", "write"], [8]);
  const middle = b.kernel("middle", ["read", "write"], [8]);
  b.output(out, "", "sp");
  const s = proved(
    planned(
      b.finish([
        permute(x, left, 1),
        permute(x, right, -1),
        launch(middle, x, inner),
        launch(edge, left, right, inner, out),
      ]),
    ),
  );
  expect(labels(s.steps).filter((l) => !l.startsWith("receive"))).toEqual([
    "send x on sp+1",
    "send x on sp-1",
    "middle",
    "wait for left",
    "wait for right",
    "edge",
  ]);
  expect(s.streams).toEqual(["compute", "sp+1", "sp-1"]);
  const spans = timeline(s).spans.map(({ label, start }) => [label, start]);
  expect(spans).toEqual([
    ["send x on sp+1", 0],
    ["send x on sp-1", 0],
    ["middle", 0],
    ["edge", 1],
  ]);
});

test("a ring whose transfers take as long as its kernels takes as long as its kernels alone", () => {
  const s = planned(ringSum(8, 1000));
  const ends = (link: number) =>
    Math.max(...timeline(s, estimate(s, { flops: 1, memory: 12, link }), 100).spans.map((p) => p.end));
  expect(ends(4)).toBeCloseTo(ends(1e9));
  expect(ends(2)).toBeGreaterThan(1.7 * ends(4));
});

test("what does not need a transfer goes before what does", () => {
  const b = programBuilder("p", { sp: 2 });
  const x = b.input("x", [8], "sp");
  const [y, z, w, out] = ["y", "z", "w", "out"].map((n) => b.array(n, [8])) as [number, number, number, number];
  const one = b.kernel("one", ["read", "write"], [8]);
  const other = b.kernel("other", ["read", "write"], [8]);
  const both = b.kernel("both", ["read", "read", "write"], [8]);
  b.output(out, "", "sp");
  const s = proved(planned(b.finish([permute(x, y), launch(one, y, z), launch(other, x, w), launch(both, z, w, out)])));
  expect(labels(s.steps).slice(2)).toEqual(["other", "wait for y", "one", "both"]);
});

describe("memory", () => {
  test("a chain needs two buffers besides its input", () => {
    const b = programBuilder("chain", { sp: 2 });
    let last = b.input("x", [64], "sp");
    const k = b.kernel("k", ["read", "write"], [64]);
    const steps = Array.from({ length: 10 }, (_, i) => {
      const next = b.array(`t${i}`, [64]);
      const step = launch(k, last, next);
      last = next;
      return step;
    });
    b.output(last, "", "sp");
    const program = b.finish(steps);
    expect(proved(planned(program)).memory.bytes).toBe(3 * 256);
    expect(proved(planned(program, ["x"])).memory.bytes).toBe(2 * 256);
  });

  test("what is small leaves room for what is large: nothing more is allocated than is needed at once", () => {
    const b = programBuilder("sizes", { sp: 2 });
    const x = b.input("x", [64], "sp");
    const sizes = [1000, 4, 16, 500, 1000, 8];
    const steps = sizes.map((size, i) => {
      const from = i === 0 ? x : i;
      const k = b.kernel(`k${i}`, ["read", "write"], [size]);
      return launch(k, from, b.array(`t${i}`, [size]));
    });
    b.output(sizes.length, "", "sp");
    // 1000 and 500 numbers at once: the first in a chain, and what the chain hands on.
    expect(planned(b.finish(steps)).memory.bytes).toBe(4 * (64 + 1000 + 500));
  });

  test("an update is in place where the old array is not needed any more, and on a copy where it is", () => {
    const b = programBuilder("cache", { sp: 2 });
    const cache = b.input("cache", [64], "sp");
    const next = b.array("next", [64]);
    const put = b.kernel("put", ["update"], [64]);
    b.output(next, "cache", "sp");
    const program = b.finish([update(put, [next], 0, cache)]);
    expect(labels(proved(planned(program)).steps)).toEqual(["copy cache", "put"]);
    const donated = proved(planned(program, ["cache"]));
    expect(labels(donated.steps)).toEqual(["put"]);
    expect(donated.outputs[0]!.buffer).toBe(donated.inputs[0]!.buffer);
  });

  test("a carry that is updated in place has one buffer; an input that starts it is copied once", () => {
    const b = programBuilder("collect", { sp: 2 });
    const x = b.input("x", [64], "sp");
    const [inside, next, out] = ["inside", "next", "out"].map((n) => b.array(n, [64])) as [number, number, number];
    const put = b.kernel("put", ["update"], [64], [{ kind: "step", loop: 0 }]);
    b.output(out, "", "sp");
    const s = proved(planned(b.finish([loop(0, 100, [[x, inside, next, out]], [update(put, [next], 0, inside)])])));
    expect(labels(s.steps)).toEqual(["copy x", "loop 0", "put"]);
    expect(onlyLoop(s).rotate).toEqual([]);
    expect(s.memory.bytes).toBe(2 * 256);
  });

  test("carries that change places do so by name", () => {
    const b = programBuilder("swap", { sp: 2 });
    const fill = b.kernel("fill", ["write"], [64]);
    const [p0, q0, p, q, r, outP, outQ] = ["p0", "q0", "p", "q", "r", "outP", "outQ"].map((n) =>
      b.array(n, [64]),
    ) as number[] as [number, number, number, number, number, number, number];
    const sum = b.kernel("sum", ["read", "read", "write"], [64]);
    b.output(outP, "p", "sp");
    b.output(outQ, "q", "sp");
    const s = proved(
      planned(
        b.finish([
          launch(fill, p0),
          launch(fill, q0),
          loop(
            0,
            9,
            [
              [p0, p, q, outP],
              [q0, q, r, outQ],
            ],
            [launch(sum, p, q, r)],
          ),
        ]),
      ),
    );
    expect(labels(s.steps).some((l) => l.startsWith("copy"))).toBe(false);
    expect(onlyLoop(s).rotate.map((c) => c.length)).toEqual([3]);
    expect(s.memory.bytes).toBe(3 * 256);
  });
});

describe("outputs", () => {
  test("an input that is an output, or an array that is two, is copied", () => {
    const b = programBuilder("same", { sp: 2 });
    const x = b.input("x", [64], "sp");
    const y = b.array("y", [64]);
    const k = b.kernel("k", ["read", "write"], [64]);
    b.output(x, "0", "sp");
    b.output(y, "1", "sp");
    b.output(y, "2", "sp");
    const s = proved(planned(b.finish([launch(k, x, y)])));
    expect(kinds(s.steps).filter((kind) => kind === "copy").length).toBe(2);
    expect(new Set([...s.outputs, ...s.inputs].map((p) => p.buffer)).size).toBe(4);
  });

  test("of a loop with no steps are what it began with", () => {
    const b = programBuilder("none", { sp: 2 });
    const x = b.input("x", [64], "sp");
    const [inside, next, out] = ["inside", "next", "out"].map((n) => b.array(n, [64])) as [number, number, number];
    const k = b.kernel("k", ["read", "write"], [64]);
    b.output(out, "", "sp");
    const s = proved(planned(b.finish([loop(0, 0, [[x, inside, next, out]], [launch(k, inside, next)])])));
    expect(labels(s.steps)).toEqual(["copy x"]);
  });
});

test("what nobody reads is not done: a launch, a transfer, a carry", () => {
  const b = programBuilder("dead", { sp: 2 });
  const x = b.input("x", [64], "sp");
  const [y, unread, sent, a, a2, u, u2, out] = ["y", "unread", "sent", "a", "a2", "u", "u2", "out"].map((n) =>
    b.array(n, [64]),
  ) as number[] as [number, number, number, number, number, number, number, number];
  const k = b.kernel("k", ["read", "write"], [64]);
  const dead = b.kernel("dead", ["read", "write"], [64]);
  b.output(out, "", "sp");
  const s = proved(
    planned(
      b.finish([
        launch(k, x, y),
        launch(dead, y, unread),
        permute(unread, sent),
        loop(
          0,
          3,
          [
            [y, a, a2, out],
            [x, u, u2, null],
          ],
          [launch(k, a, a2), permute(u, u2)],
        ),
      ]),
    ),
  );
  expect(labels(s.steps)).toEqual(["k", "loop 0", "k 2"]);
});

describe("where it is known what things take", () => {
  /** 32 bytes take a second on links; kernels take as long as they are said to. */
  const machine: Machine = {
    ...usualMachine,
    vector: 1,
    memory: { bytes: 1e9, bandwidth: 1e12 },
    efficiency: { compute: 1, memory: 1, links: 1 },
    launch: 0,
    links: { inside: { bandwidth: 32, latency: 0, duplex: true, shared: true } },
  };
  const order = (program: DeviceProgram, seconds: Readonly<Record<string, number>>): readonly string[] => {
    const kernels = metaOf(program).map((k) => ({ ...k, cost: { flops: seconds[k.name] ?? 0, bytes: 0 } }));
    const s = plan(program, kernels, { machine });
    expect(checkSchedule(s)).toEqual([]);
    return labels(s.steps).filter((l) => !l.startsWith("receive"));
  };
  const arrays = (b: ReturnType<typeof programBuilder>, ...names: string[]) => names.map((n) => b.array(n, [8]));

  test("a kernel that takes less than the transfer that it makes ready goes first", () => {
    const b = programBuilder("p", { sp: 2 });
    const [x, w] = [b.input("x", [8], "sp"), b.input("w", [8], null)];
    const [y, c, g, out] = arrays(b, "y", "c", "g", "out") as [number, number, number, number];
    const [work, cast, both] = ["work", "cast", "both"].map((n, k) =>
      b.kernel(n, k < 2 ? ["read", "write"] : ["read", "read", "write"], [8]),
    ) as [number, number, number];
    b.output(out, "", "sp");
    const program = b.finish([launch(work, x, y), launch(cast, w, c), permute(c, g), launch(both, y, g, out)]);
    expect(order(program, { work: 5, cast: 0.5 })).toEqual(["cast", "send c on sp+1", "work", "wait for g", "both"]);
    expect(order(program, { work: 5, cast: 3 })).toEqual(["work", "cast", "send c on sp+1", "wait for g", "both"]);
  });

  test("what came meanwhile goes on to the next device between kernels, not after all of them", () => {
    const b = programBuilder("p", { sp: 4 });
    const [x, w] = [b.input("x", [8], "sp"), b.input("w", [8], "sp")];
    const [one, two, three, g, h, k, out] = arrays(b, "one", "two", "three", "g", "h", "k", "out") as number[];
    const work = ["a", "b", "c", "join"].map((n) => b.kernel(n, ["read", "write"], [8]));
    const both = b.kernel("both", ["read", "read", "write"], [8]);
    b.output(out!, "", "sp");
    const program = b.finish([
      permute(w, g!),
      launch(work[3]!, g!, h!),
      permute(h!, k!),
      launch(work[0]!, x, one!),
      launch(work[1]!, one!, two!),
      launch(work[2]!, two!, three!),
      launch(both, three!, k!, out!),
    ]);
    const taken = { a: 1, b: 1, c: 1 };
    expect(order(program, taken)).toEqual([
      "send w on sp+1",
      "a",
      "wait for g",
      "join",
      "send h on sp+1",
      "b",
      "c",
      "wait for k",
      "both",
    ]);
  });

  test("what is hidden is told, with what had to be moved", () => {
    const b = programBuilder("p", { sp: 2 });
    const x = b.input("x", [8], "sp");
    const [y, z, w, out] = arrays(b, "y", "z", "w", "out") as [number, number, number, number];
    const [slow, add] = [b.kernel("slow", ["read", "write"], [8]), b.kernel("add", ["read", "read", "write"], [8])];
    b.output(out, "", "sp");
    const program = b.finish([launch(slow, x, y), permute(x, z), launch(add, y, z, w), launch(slow, w, out)]);
    const kernels = metaOf(program).map((k) => ({ ...k, cost: { flops: k.name === "slow" ? 3 : 0, bytes: 0 } }));
    const { decisions } = plan(program, kernels, { machine });
    expect(decisions!.made).toEqual([{ about: "send x on sp+1", what: "moved before slow", hides: 1 }]);
  });
});
