/**
 * The checker on schedules of whole programs, with all that the compiler does to hide transfers: each is right as it is, and
 * every change of one thing that could go wrong is caught, wherever it is made.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { type Machine, usualMachine } from "../../compiler/base/machine.ts";
import { compile } from "../../compiler/compile.ts";
import type { CompileOptions } from "../../compiler/options.ts";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import { differences } from "../../compiler/schedule/same.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import { allSteps, blocks, changed, type MutableSchedule, type MutableStep } from "./mutate.ts";

const link = { bandwidth: 1e6, latency: 0, duplex: true, shared: true };
/** Everything that can be hidden is worth hiding. */
const slow: Machine = {
  ...usualMachine,
  peak: { f32: 1e7 },
  vector: 1e7,
  memory: { bytes: 1e9, bandwidth: 1e9 },
  launch: 0,
  links: { inside: link },
};
const torus: Machine = { ...slow, links: { inside: { ...link, shared: false } } };
const nodes: Machine = { ...slow, devicesPerNode: 2, links: { inside: { ...link, bandwidth: 1e8 }, between: link } };
const far: Machine = { ...slow, links: { inside: { ...link, latency: 1 } } };

function scheduleOf(file: string, options: CompileOptions): Schedule {
  const path = new URL(`../programs/${file}`, import.meta.url).pathname;
  const read = (asked: string): string | undefined => (asked === path ? readFileSync(path, "utf8") : readSource(asked));
  const { compiled, diagnostics } = compile(path, read, options);
  if (!compiled) throw new Error(diagnostics.map((d) => d.message).join("; "));
  return compiled.schedule;
}
const stack = { entry: "stack", dims: { L: 3, N: 32, E: 8, F: 16 } };
const one = { entry: "one", dims: { N: 64, E: 16, F: 24 } };
const attention = { entry: "contiguous", dims: { B: 1, S: 64, G: 2, R: 2, D: 8, E: 4 } };
const schedules: Readonly<Record<string, Schedule>> = {
  "a layer and its gradients, in ring products": scheduleOf("overlap.gyre", { ...one, machine: slow }),
  "the same in both directions": scheduleOf("overlap.gyre", { ...one, machine: torus }),
  "layers, gathered ahead by nodes": scheduleOf("overlap.gyre", { ...stack, machine: nodes }),
  "layers, in few steps": scheduleOf("overlap.gyre", { ...stack, machine: far }),
  "gradients that travel": scheduleOf("attention-backward.gyre", { ...attention, machine: usualMachine }),
  "gradients that are added on arrival": scheduleOf("attention-backward.gyre", {
    ...attention,
    machine: {
      ...slow,
      peak: { f32: 1e12 },
      vector: 1e12,
      memory: { bytes: 1e9, bandwidth: 1e15 },
      efficiency: { compute: 1, memory: 1, links: 1 },
      links: { inside: { ...link, bandwidth: 2.6e10 } },
    },
  }),
};

const stepsOf = (s: Schedule): readonly MutableStep[] => allSteps(s as unknown as MutableSchedule);

/** Of every step of a kind, a change of it in place; what it gives is how many of them there were to change. */
type Mutation = (s: MutableSchedule, step: MutableStep, block: MutableStep[]) => boolean;
const takeOut: Mutation = (_, step, block) => block.splice(block.indexOf(step), 1).length > 0;
const onlyFor =
  (kinds: readonly string[], mutation: Mutation): Mutation =>
  (s, step, block) =>
    kinds.includes(step.kind) && mutation(s, step, block);
const mutations: Readonly<Record<string, Mutation>> = {
  "a wait dropped": onlyFor(["wait"], takeOut),
  "a send dropped": onlyFor(["send"], takeOut),
  "a receive dropped": onlyFor(["receive"], takeOut),
  "a wait before its transfer": onlyFor(["wait"], (s, step, block) => {
    takeOut(s, step, block);
    block.unshift(step);
    return true;
  }),
  "a wait for another transfer": onlyFor(["wait"], (s, step) => {
    const other = allSteps(s).find((x) => x.kind === "wait" && x !== step);
    if (other?.kind !== "wait" || step.kind !== "wait") return false;
    step.token = other.token;
    return true;
  }),
  "another slot": onlyFor(["send", "receive"], (s, step) => {
    if (step.kind !== "send" && step.kind !== "receive") return false;
    step.buffer = (step.buffer + 1) % s.buffers.length;
    return true;
  }),
  "the neighbour after": onlyFor(["send"], (_, step) => {
    if (step.kind !== "send" || step.route.kind !== "shift") return false;
    step.route.offset += 1;
    return true;
  }),
  "round the whole ring where it is in parts, or round parts": onlyFor(["receive"], (_, step) => {
    if (step.kind !== "receive" || step.route.kind !== "shift") return false;
    if (step.route.within === undefined) step.route.within = 1;
    else delete (step.route as { within?: number }).within;
    return true;
  }),
  "round other axes": onlyFor(["receive"], (s, step) => {
    if (step.kind !== "receive" || s.mesh.axes.length < 2) return false;
    step.axes = s.mesh.axes.map((a) => a.name).filter((name) => !step.axes.includes(name));
    return step.axes.length > 0;
  }),
  "fewer bytes": onlyFor(["receive"], (_, step) => {
    if (step.kind !== "receive") return false;
    step.bytes -= 4;
    return true;
  }),
  "out of its message at one end": onlyFor(["send"], (_, step) => {
    if (step.kind !== "send" || step.message === undefined) return false;
    delete (step as { message?: number }).message;
    return true;
  }),
  "a message torn apart": onlyFor(["send"], (_, step, block) => {
    const launched = block.find((x) => x.kind === "launch");
    const [, ...later] = block.filter((x) => x.kind === "send" && step.kind === "send" && x.message === step.message);
    if (step.kind !== "send" || step.message === undefined || !launched || !later.includes(step)) return false;
    block.splice(block.indexOf(launched), 1);
    block.splice(block.indexOf(step), 0, launched);
    return true;
  }),
  "a guard on one end": onlyFor(["send"], (_, step) => {
    if (step.when === undefined) return false;
    delete (step as { when?: string }).when;
    return true;
  }),
  "no rotation": onlyFor(["loop"], (_, step) => {
    if (step.kind !== "loop" || step.rotate.length === 0) return false;
    step.rotate.pop();
    return true;
  }),
};

const found = new Map<string, number>();
describe.each(Object.keys(schedules))("%s", (name) => {
  const s = schedules[name]!;
  test("is right", () => {
    expect(checkSchedule(s)).toEqual([]);
    expect(stepsOf(s).some((x) => x.kind === "send")).toBe(true);
  });
  test.each(Object.keys(mutations))("%s: caught wherever it is", (kind) => {
    const places = blocks(s.steps as MutableStep[]).flatMap((block, b) => block.map((_, i) => [b, i] as const));
    for (const [b, i] of places) {
      let did = false;
      let label = "";
      const mutant = changed(s, (m) => {
        const block = blocks(m.steps as MutableStep[])[b]!;
        label = block[i]!.label;
        did = mutations[kind]!(m, block[i]!, block);
      });
      if (!did) continue;
      found.set(kind, (found.get(kind) ?? 0) + 1);
      expect(checkSchedule(mutant).length + differences(mutant, s).length, `${kind}: ${label}`).toBeGreaterThan(0);
    }
  });
});

test("every form stands in some of them, and every change was made somewhere", () => {
  expect([...found.keys()].sort()).toEqual(Object.keys(mutations).sort());
  const sends = Object.values(schedules).flatMap((s) =>
    stepsOf(s).flatMap((x) => (x.kind === "send" && x.route.kind === "shift" ? [x.route] : [])),
  );
  expect(sends.some((r) => r.within !== undefined)).toBe(true);
  expect(sends.some((r) => r.offset < 0)).toBe(true);
  expect(sends.some((r) => r.offset > 1)).toBe(true);
  const about = Object.values(schedules).flatMap((s) => s.decisions!.made.map((d) => d.what));
  for (const what of [
    "round a ring",
    "in both directions",
    "of the next step",
    "in few steps",
    "by nodes",
    "on arrival",
    "in one message",
  ])
    expect(
      about.some((x) => x.includes(what)),
      what,
    ).toBe(true);
});
