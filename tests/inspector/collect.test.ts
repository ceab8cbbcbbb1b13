import { describe, expect, test } from "vitest";
import { measuredOf } from "../../inspector/collect/measured.ts";
import type { PageData, Place } from "../../inspector/data.ts";
import { pageOf, ring } from "./programs.ts";

/** The text of the lines of a place. */
function textAt(data: PageData, place: Place | null | undefined): string {
  if (!place) return "";
  return data.sources[place[0]]!.text.split("\n")
    .slice(place[1] - 1, place[2])
    .join("\n");
}

describe("what the page is given", () => {
  const data = ring(4);
  const core = data.stages.at(-1)!;
  const lines = core.text.split("\n");

  test("is plain JSON", () => {
    expect(JSON.parse(JSON.stringify(data))).toEqual(data);
  });

  test("lines of Core know the line of the source that they come from", () => {
    const sends = lines.findIndex((l) => l.includes("= ppermute"));
    expect(textAt(data, core.places[sends])).toContain("ppermute");
    const largest = lines.findIndex((l) => l.includes("reduce [kind=max"));
    expect(textAt(data, core.places[largest])).toContain("max");
    const written = lines.filter((_, i) => core.places[i]).length;
    expect(written / lines.length).toBeGreaterThan(0.8);
  });

  test("so do kernels, lines of Tile, and transfers", () => {
    const k = data.schedule.kernels.findIndex((kernel) => kernel.bindings.length > 3);
    expect(textAt(data, data.kernels[k]!.place)).toContain("tiles");
    const tile = data.kernels[k]!.tile;
    const exp = tile.text.split("\n").findIndex((l) => / = exp /.test(l));
    expect(textAt(data, tile.places[exp])).toContain("exp");
    const places = Object.values(data.transfers);
    expect(places.length).toBe(2);
    for (const place of places) expect(textAt(data, place)).toContain("ppermute");
  });

  test("its size does not depend on the mesh", () => {
    const size = (d: PageData): number => JSON.stringify({ ...d, passes: [] }).length;
    expect(Math.abs(size(ring(256)) - size(data))).toBeLessThan(2000);
  });
});

test.each([
  ["bench/programs/ring-gradients.gyre", { dims: { B: 1, S: 64, H: 2, D: 16 }, mesh: { sp: 4 } }],
  ["examples/02-collectives.gyre", {}],
  ["tests/programs/branches.gyre", {}],
  ["tests/programs/nested-folds.gyre", {}],
  ["tests/programs/layers-backward.gyre", {}],
] as const)("%s has a place for every line of every stage", (path, sizes) => {
  let data: PageData;
  try {
    data = pageOf(path, sizes);
  } catch (error) {
    // Programs that need sizes are told apart from listings that do not fit, which throw InvariantError.
    expect(String(error)).toMatch(/GY\d+/);
    return;
  }
  for (const listing of [...data.stages, ...data.kernels.map((k) => k.tile)])
    expect(listing.text.split("\n").length).toBe(listing.places.length);
});

test("a trace becomes columns, by mesh position and from time 0", () => {
  const event = (device: string, name: string, start: number, step?: string) => ({
    device,
    stream: "compute",
    name,
    start,
    end: start + 2,
    ...(step ? { detail: { step } } : {}),
  });
  const m = measuredOf(
    [event("b", "mul", 15, "0.1"), event("a", "fill", 10), event("x", "fill", 1)],
    ["a", "b"],
    "here",
  );
  expect(m.device).toEqual([0, 1]);
  expect(m.name.map((n) => m.names[n])).toEqual(["fill", "mul"]);
  expect(m.turn.map((n) => m.turns[n])).toEqual(["", "0.1"]);
  expect(m.start).toEqual([0, 5]);
  expect(m.length).toEqual([2, 2]);
});
