/**
 * Gradients of gyre/attention against finite differences of its loss, in float64 on the reference interpreter; against
 * each other on other meshes, layouts and chunks; and on WebGPU against the reference.
 */
import { describe, expect, test } from "vitest";
import { compileProgram } from "../../compiler/compile.ts";
import { printSchedule } from "../../compiler/schedule/print.ts";
import type { Choices } from "../support/backends.ts";
import * as gradients from "./gradients.ts";
import { inputsOf, opened, run } from "./gradients.ts";

const path = new URL("attention-gradients.gyre", import.meta.url).pathname;

type Trial = Choices & {
  /** How the sequence is split: `sp` in every spec is replaced by it. */
  readonly layout?: string;
};
const of = ({ layout = "sp", ...choices }: Trial): gradients.Trial => ({
  ...choices,
  path,
  edits: { "P(_, sp, _, _)": `P(_, ${layout}, _, _)` },
});
const expectFiniteDifferences = (t: Trial) => gradients.expectFiniteDifferences(of(t));
const expectSame = (t: Trial, like: Trial) => gradients.expectSame(of(t), of(like));
const expectOnDevices = (t: Trial) => gradients.expectOnDevices(of(t));

const grouped = { B: 2, S: 16, H: 4, G: 2, D: 3, E: 2 };
const learned = { ...grouped, A: 1, N: 4, I: 16 };

describe("finite differences", () => {
  const trials: Readonly<Record<string, Trial>> = {
    "learned temperatures, a bias for each head, a scale": { entry: "learned", dims: learned },
    "a bias of the reference's shape": { entry: "learned", dims: { ...learned, A: 2, N: 1, I: 1 } },
    "one bias for all": { entry: "learned", dims: { ...learned, A: 1, N: 1, I: 16 } },
    "a bias with every dimension": { entry: "learned", dims: { ...learned, A: 2 } },
    "one key head for all": { entry: "learned", dims: { ...learned, G: 1 } },
    "on one device": { entry: "learned_alone", dims: learned, mesh: { sp: 1 } },
    "by exchange of heads": { entry: "learned_by_heads", dims: learned },
    "queries and keys of different lengths": { entry: "crossed", dims: { B: 2, Q: 8, K: 14, H: 4, G: 2, D: 3, E: 2 } },
    "a window": { entry: "windowed", dims: { ...grouped, W: 5 }, mesh: { sp: 4 } },
    "groups, a prefix, a window on both sides, a soft cap, blind rows": { entry: "masked", dims: grouped },
    dropout: { entry: "dropped", dims: grouped },
    "learned slopes; batch, sequence and heads split": { entry: "sloped", dims: grouped },
    "a table of distances, on a ring beside an exchange": { entry: "relative", dims: { ...grouped, R: 6 } },
    "the reference's names, and its bias": { entry: "by_reference", dims: { B: 2, S: 16, H: 2, D: 3 } },
  };
  for (const [title, t] of Object.entries(trials)) test(title, () => expectFiniteDifferences(t));
});

describe("the same gradients", () => {
  const one: Trial = { entry: "learned", dims: learned, mesh: { sp: 1 } };
  for (const sp of [2, 4, 8])
    for (const layout of ["sp", "striped(sp)", "zigzag(sp)"])
      test(`on sp = ${sp}, ${layout}`, () => expectSame({ ...one, mesh: { sp }, layout }, one));
  test("by exchange of heads", () => expectSame({ ...one, entry: "learned_by_heads", mesh: { sp: 2 } }, one));
  test("on one device", () => expectSame({ ...one, entry: "learned_alone" }, one));
  for (const sp of [1, 2, 4])
    test(`with dropout, on sp = ${sp}`, () =>
      expectSame(
        { entry: "dropped", dims: grouped, mesh: { sp }, layout: "zigzag(sp)" },
        { entry: "dropped", dims: grouped, mesh: { sp: 1 } },
      ));
});

describe("on devices", () => {
  const trials: readonly Trial[] = [
    { entry: "learned", dims: learned, mesh: { sp: 2 } },
    { entry: "by_reference", dims: { B: 2, S: 16, H: 2, D: 3 }, mesh: { sp: 4 }, layout: "zigzag(sp)" },
    { entry: "masked", dims: grouped },
    { entry: "dropped", dims: grouped, layout: "striped(sp)" },
    { entry: "relative", dims: { ...grouped, R: 6 } },
    { entry: "sloped", dims: grouped },
  ];
  for (const t of trials) test(`${t.entry}, ${t.layout ?? "contiguous"}`, () => expectOnDevices(t));
});

test("queries that see nothing get no gradient, and give none", async () => {
  const program = await opened(of({ entry: "masked", dims: grouped }));
  const { data, shape } = run(program, inputsOf(program)).get("gradient.q")!;
  const row = shape[2]! * shape[3]!;
  expect(data.subarray(0, 3 * row).every((x) => x === 0)).toBe(true);
  expect(data.subarray(3 * row, 4 * row).some((x) => x !== 0)).toBe(true);
});

describe("the backward pass of a ring", () => {
  const compiled = async (t: Trial) => compileProgram((await opened(of(t))).core).compiled!;
  const masked: Trial = { entry: "windowed", dims: { ...grouped, W: 1000 }, mesh: { sp: 4 } };

  test("skips blocks in which nothing is seen, as the forward pass does", async () => {
    const { kernels, lanes } = await compiled(masked);
    for (const name of ["out_lse", "dq", "dk_dv"]) {
      const notes = lanes.flatMap((lane, i) => (kernels[i]!.name.startsWith(name) ? lane.notes : []));
      expect(notes.join("\n"), name).toMatch(/blocks of . run only where/);
    }
  });

  test("sends what keys have gathered while the queries' gradients are computed", async () => {
    const text = printSchedule((await compiled(masked)).schedule);
    const loop = text.slice(text.indexOf("loop 1"));
    const places = [/ dk_dv /, /send dk/, /send dv/, / dq(_\d)? /, /wait for moved/].map((line) => loop.search(line));
    expect(
      places.every((at) => at >= 0),
      text,
    ).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });
});
