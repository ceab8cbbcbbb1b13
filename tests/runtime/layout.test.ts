import fc from "fast-check";
import { expect, test } from "vitest";
import { GyreRuntimeError } from "../../runtime/errors.ts";
import {
  coordinates,
  globalIndex,
  holders,
  type Layout,
  localShape,
  type Mesh,
  meshSize,
  type PartitionSpec,
  shard,
  unshard,
} from "../../runtime/layout.ts";

const entry = (layout: Layout, ...axes: string[]) => ({ axes, layout });
const none = entry("contiguous");
const iota = (n: number) => Float32Array.from({ length: n }, (_, i) => i);
const allParts = (array: Float32Array, shape: number[], spec: PartitionSpec, mesh: Mesh) =>
  Array.from({ length: meshSize(mesh) }, (_, device) => shard(array, shape, spec, mesh, device));

test("the three layouts of eight rows on two devices", () => {
  const mesh = [{ name: "sp", size: 2 }];
  const rows = (layout: Layout) => allParts(iota(8), [8], [entry(layout, "sp")], mesh).map((part) => [...part]);
  expect(rows("contiguous")).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ]);
  expect(rows("striped")).toEqual([
    [0, 2, 4, 6],
    [1, 3, 5, 7],
  ]);
  expect(rows("zigzag")).toEqual([
    [0, 1, 6, 7],
    [2, 3, 4, 5],
  ]);
});

test("a tuple of axes counts major first, in the order of the spec and not of the mesh", () => {
  const mesh = [
    { name: "a", size: 2 },
    { name: "b", size: 2 },
  ];
  expect(coordinates(mesh, 2)).toEqual([1, 0]);
  const parts = (spec: PartitionSpec) => allParts(iota(4), [4], spec, mesh).map((part) => part[0]);
  expect(parts([entry("contiguous", "a", "b")])).toEqual([0, 1, 2, 3]);
  expect(parts([entry("contiguous", "b", "a")])).toEqual([0, 2, 1, 3]);
});

test("what is replicated is taken from the first holder", () => {
  const mesh = [
    { name: "dp", size: 2 },
    { name: "sp", size: 2 },
  ];
  const spec = [entry("contiguous", "sp")];
  expect(holders(spec, mesh)).toEqual([0, 1]);
  expect(unshard([iota(1), iota(1), undefined, undefined], [2], spec, mesh)).toEqual(Float32Array.of(0, 0));
});

test("a part that is one stretch of the whole is no copy", () => {
  const whole = iota(12);
  const mesh = [{ name: "sp", size: 3 }];
  expect(shard(whole, [3, 4], [entry("contiguous", "sp"), none], mesh, 1).buffer).toBe(whole.buffer);
  expect(shard(whole, [3, 4], [none, none], mesh, 1)).toEqual(whole);
  expect(shard(Float32Array.of(7), [], [], mesh, 2)).toEqual(Float32Array.of(7));
});

test("a dimension that does not divide is an error with a size that would", () => {
  const mesh = [{ name: "sp", size: 4 }];
  expect(() => localShape([10], [entry("contiguous", "sp")], mesh)).toThrow(/size 10, which does not divide into 4/);
  expect(() => localShape([12], [entry("zigzag", "sp")], mesh)).toThrow(GyreRuntimeError);
  expect(localShape([16], [entry("zigzag", "sp")], mesh)).toEqual([4]);
});

/** A mesh of up to three axes, and an array of up to four dimensions, each split by some of them in some layout. */
const cases = fc
  .record({
    sizes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
    dims: fc.array(
      fc.record({
        rows: fc.integer({ min: 1, max: 3 }),
        layout: fc.constantFrom<Layout>("contiguous", "striped", "zigzag"),
      }),
      { maxLength: 4 },
    ),
    owner: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 3, maxLength: 3 }),
    flip: fc.boolean(),
  })
  .map(({ sizes, dims, owner, flip }) => {
    const mesh = sizes.map((size, i) => ({ name: `a${i}`, size }));
    const axes = flip ? mesh.toReversed() : mesh;
    const spec = dims.map(({ layout }, dim) =>
      entry(layout, ...axes.filter((axis) => owner[mesh.indexOf(axis)] === dim).map((axis) => axis.name)),
    );
    const shape = dims.map(({ rows }, dim) =>
      mesh.reduce((size, axis) => size * (spec[dim]!.axes.includes(axis.name) ? axis.size : 1), 2 * rows),
    );
    return { mesh, spec, shape };
  });

test("law: unshard after shard is nothing", () => {
  fc.assert(
    fc.property(cases, ({ mesh, spec, shape }) => {
      const whole = iota(shape.reduce((product, size) => product * size, 1));
      expect(unshard(allParts(whole, shape, spec, mesh), shape, spec, mesh)).toEqual(whole);
    }),
  );
});

test("law: every element of a part stands where the formula says", () => {
  fc.assert(
    fc.property(cases, ({ mesh, spec, shape }) => {
      const whole = iota(shape.reduce((product, size) => product * size, 1));
      const local = localShape(shape, spec, mesh);
      for (let device = 0; device < meshSize(mesh); device++) {
        const at = coordinates(mesh, device);
        const part = shard(whole, shape, spec, mesh, device);
        part.forEach((value, i) => {
          let rest = i;
          let stride = 1;
          let expected = 0;
          for (let dim = shape.length - 1; dim >= 0; dim--) {
            const r = rest % local[dim]!;
            rest = Math.floor(rest / local[dim]!);
            let d = 0;
            let n = 1;
            for (const name of spec[dim]!.axes) {
              const a = mesh.findIndex((axis) => axis.name === name);
              d = d * mesh[a]!.size + at[a]!;
              n *= mesh[a]!.size;
            }
            expected += stride * globalIndex(spec[dim]!.layout, r, d, n, local[dim]!);
            stride *= shape[dim]!;
          }
          expect(value).toBe(expected);
        });
      }
    }),
    { numRuns: 60 },
  );
});
