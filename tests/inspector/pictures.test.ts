import { describe, expect, test } from "vitest";
import type { SpecEntry } from "../../compiler/schedule/schedule.ts";
import { maskReader, workOf } from "../../inspector/model/masks.ts";
import { coordinates, deviceName, ownerOf, receiverOf, senderOf } from "../../inspector/model/mesh.ts";
import { pictureOf, rangeText, stretches } from "../../inspector/model/sharding.ts";
import { globalIndex } from "../../runtime/layout.ts";
import { pageOf, ring } from "./programs.ts";

const mesh = {
  name: "pod",
  axes: [
    { name: "dp", size: 2 },
    { name: "sp", size: 4 },
  ],
};

describe("devices", () => {
  test("have coordinates and names", () => {
    expect(coordinates(mesh, 6)).toEqual([1, 2]);
    expect(deviceName(mesh, 6)).toBe("dp 1 · sp 2");
  });
  test("who receives is who was sent to", () => {
    const route = { kind: "shift", offset: 1, loop: 7, perStep: 2 } as const;
    for (let d = 0; d < 8; d++) {
      const to = receiverOf(mesh, ["sp"], route, d, () => 1)!;
      expect(coordinates(mesh, to)).toEqual([coordinates(mesh, d)[0], (coordinates(mesh, d)[1]! + 3) % 4]);
      expect(senderOf(mesh, ["sp"], route, to, () => 1)).toBe(d);
    }
    const pairs = { kind: "pairs", pairs: [[0, 3]] } as const;
    expect(receiverOf(mesh, ["sp"], pairs, 4, () => 0)).toBe(7);
    expect(receiverOf(mesh, ["sp"], pairs, 5, () => 0)).toBeUndefined();
  });
});

describe("who holds what", () => {
  test.each(["contiguous", "striped", "zigzag"] as const)("%s is what the runtime does", (layout) => {
    const entry: SpecEntry = { axes: ["sp"], layout };
    for (let d = 0; d < 4; d++)
      for (let r = 0; r < 8; r++) expect(ownerOf(entry, 4, 32, globalIndex(layout, r, d, 4, 8))).toBe(d);
  });
  const port = {
    path: "q",
    dtype: "f32",
    shape: [2, 64, 3],
    spec: [
      { axes: ["dp"], layout: "contiguous" },
      { axes: ["sp"], layout: "zigzag" },
      { axes: [], layout: "contiguous" },
    ],
    written: ["B", "S", "D"],
    value: 0,
    buffer: 0,
  } as const;
  test("the picture shows the two dimensions that are split", () => {
    const { across, down, copies } = pictureOf(port, mesh);
    expect([across?.written, down?.written, copies]).toEqual(["S", "B", []]);
    expect(stretches(across!).map((s) => s.place)).toEqual([0, 1, 2, 3, 3, 2, 1, 0]);
    expect(rangeText(across!, 1)).toBe("8 to 15 and 48 to 55");
  });
  test("what is not split over an axis has copies along it", () => {
    expect(pictureOf({ ...port, spec: port.spec.slice(0, 1) }, mesh).copies).toEqual(["sp"]);
  });
});

describe("masks of a causal ring", () => {
  const data = ring(4);
  const reader = maskReader(data.masks[0]!, data.schedule.mesh);

  test("its own block is masked, earlier ones are full, later ones skipped", () => {
    const all = Array.from({ length: 4 }, (_, d) => Array.from({ length: 4 }, (_, step) => reader.whole(d, step)));
    expect(all).toEqual([
      [1, 0, 0, 0],
      [1, 2, 0, 0],
      [1, 2, 2, 0],
      [1, 2, 2, 2],
    ]);
  });
  test("the last device does the most: contiguous rings are not balanced", () => {
    const done = [0, 1, 2, 3].map((d) => workOf(reader, d, 4)).map(([, masked, full]) => masked + full);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    // Four shards against one, of whose own blocks those above the diagonal are skipped.
    expect(done[3]! / done[0]!).toBeGreaterThanOrEqual(4);
  });
  test("zigzag nearly is, as far as its blocks are small enough", () => {
    const zigzag = pageOf("examples/06-own-mask-zigzag.gyre", { dims: { B: 2, S: 256, H: 4, G: 2, D: 32 } });
    for (const mask of zigzag.masks) {
      const r = maskReader(mask, zigzag.schedule.mesh);
      const n = zigzag.schedule.mesh.axes.reduce((size, a) => size * a.size, 1);
      const steps = zigzag.schedule.mesh.axes.at(-1)!.size;
      const done = Array.from({ length: n }, (_, d) => workOf(r, d, steps)).map(([, a, b]) => a + b);
      expect(Math.max(...done)).toBeLessThanOrEqual(2 * Math.min(...done));
    }
  });
});
