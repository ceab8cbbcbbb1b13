/**
 * Derivatives of indexing: the cotangent `dz` of what was taken goes back where it was taken from.
 *
 *   x[a..b]     zeros before it and behind it
 *   x[i]        added to row i of the cotangent so far: nothing of x's size is made, which counts in loops
 *   x[table]    added to the rows that the table names, as a product: dx[r, …] = Σ_g (table[g] = r) dz[g, …]
 *
 * Places out of range are clamped as they are on the way there.
 */
import { type Dim, dimAdd, dimEqual, dimSub } from "../../base/dim.ts";
import { invariant } from "../../base/invariant.ts";
import { type Builder, emit } from "../build.ts";
import type { Atom, Selector, Type } from "../ir.ts";
import { counting, on, reshaped, wanted, withNew } from "./terms.ts";
import { type Contribution, dimLit, type Rules, zerosOf } from "./transpose.ts";

/** Rows of one dimension, from a run-time start. */
type Rows = { readonly dim: number; readonly start: Atom; readonly size: Dim };

/** `x`, with `part` added to what ranges of rows, one after the other, cut out of it. */
function addedAt(b: Builder, x: Atom, [first, ...rest]: readonly Rows[], part: Atom): Atom {
  if (!first) return on(b).add(x, part);
  const { dim, start, size } = first;
  const rows = emit(b, "dynamic_slice", { dim, size }, x, start);
  return emit(b, "dynamic_update", { dim }, x, addedAt(b, rows, rest, part), start);
}
const into = (b: Builder, rows: readonly Rows[], part: Atom): Contribution => ({
  kind: "into",
  varying: part.type.varying,
  addTo: (sum) => addedAt(b, sum, rows, part),
});

/** `x` from row `start` on of a dimension of size `n`, zeros elsewhere. */
function padded(b: Builder, x: Atom, dim: number, start: Dim, n: Dim): Atom {
  const zeros = (size: Dim): readonly Atom[] =>
    dimEqual(size, 0) ? [] : [zerosOf(b, { ...x.type, shape: x.type.shape.with(dim, size) }, [])];
  const parts = [...zeros(start), x, ...zeros(dimSub(n, dimAdd(start, x.type.shape[dim]!)))];
  return parts.length > 1 ? emit(b, "concat", { dim }, ...parts) : x;
}

/** One gathered dimension of x: its index array, without dimensions of size 1, and which dims of the group it has. */
type Gather = { readonly dim: number; readonly at: Atom; readonly labels: readonly string[] };
const gathersOf = (b: Builder, taking: readonly Selector[], args: readonly Atom[], group: number): readonly Gather[] =>
  taking.flatMap((s, dim) => {
    if (s.kind !== "gather") return [];
    const at = args[s.arg]!;
    const { shape } = at.type;
    const own = shape.flatMap((d, i) => (d === 1 ? [] : [i]));
    const labels = own.map((i) => `g${i + group - shape.length}`);
    return [
      {
        dim,
        at:
          own.length < shape.length
            ? reshaped(
                b,
                at,
                own.map((i) => shape[i]!),
              )
            : at,
        labels,
      },
    ];
  });
/** Gathers that have dims of the group in common stand together. */
function together(gathers: readonly Gather[]): readonly (readonly Gather[])[] {
  let parts: readonly (readonly Gather[])[] = [];
  for (const g of gathers) {
    const meets = (part: readonly Gather[]): boolean => part.some((p) => p.labels.some((l) => g.labels.includes(l)));
    parts = [...parts.filter((p) => !meets(p)), [...parts.filter(meets).flat(), g]];
  }
  return parts;
}

/** For each element of the gathers' group, which row it is of: (clamp(table[g]) = r) and … */
function places(
  b: Builder,
  gathers: readonly Gather[],
  labels: readonly string[],
  x: Type,
  dtype: Type["dtype"],
): Atom {
  const { min, max, eq, and, cast } = on(b);
  const rank = labels.length + gathers.length;
  const hits = gathers.map((g, i) => {
    const n = x.shape[g.dim]!;
    const row = min(max(g.at, 0), dimLit(dimSub(n, 1), g.at.type.dtype));
    const column = withNew(b, row, [...labels.map((l) => !g.labels.includes(l)), ...gathers.map(() => true)]);
    return eq(column, cast(counting(b, n, labels.length + i, rank), g.at.type.dtype));
  });
  return cast(hits.reduce(and), dtype);
}

/** The cotangent of what was gathered, labelled, as one of x's dimensions `out`. */
function scattered(
  b: Builder,
  gathers: readonly Gather[],
  dz: Atom,
  from: readonly string[],
  out: readonly string[],
  x: Type,
): Atom {
  const parts = together(gathers);
  let sum = dz,
    labels = from;
  for (const [i, part] of parts.entries()) {
    const group = [...new Set(part.flatMap((g) => g.labels))];
    const hot = places(b, part, group, x, sum.type.dtype);
    const rows = part.map((g) => `x${g.dim}`);
    const next = i === parts.length - 1 ? out : [...labels.filter((l) => !group.includes(l)), ...rows];
    sum = emit(b, "einsum", { ins: [[...group, ...rows], labels], out: next }, hot, sum);
    labels = next;
  }
  return sum;
}

/** What each dimension of an indexing's result is: one of x, one of the gathers' group, or (undefined) new. */
function labelsOf(selectors: readonly Selector[], group: number): readonly (string | undefined)[] {
  let dim = 0,
    gathered = false;
  return selectors.flatMap((s) => {
    if (s.kind === "new") return [undefined];
    const own = `x${dim++}`;
    if (s.kind !== "gather") return s.kind === "at" ? [] : [own];
    if (gathered) return [];
    gathered = true;
    return Array.from({ length: group }, (_, i) => `g${i}`);
  });
}

/** What indexing x gave, back at its place. */
function unindexed(b: Builder, selectors: readonly Selector[], args: readonly Atom[], dz: Atom): Contribution {
  const x = args[0]!.type;
  const taking = selectors.filter((s) => s.kind !== "new");
  invariant(!taking.some((s) => s.kind === "block"), "an array outside of tiles has its cotangent from a rule");
  const group = taking.reduce((n, s) => (s.kind === "gather" ? Math.max(n, args[s.arg]!.type.shape.length) : n), 0);
  const all = labelsOf(selectors, group);
  const labels = all.filter((l) => l !== undefined);
  const sizes = dz.type.shape.filter((_, d) => all[d] !== undefined);
  let part = labels.length < all.length ? reshaped(b, dz, sizes) : dz;
  const gathers = gathersOf(b, taking, args, group);
  if (gathers.length > 0) {
    const own = taking.flatMap((s, d) => (s.kind === "at" ? [] : [`x${d}`]));
    part = on(b).cast(scattered(b, gathers, part, labels, own, x), x.dtype);
  }
  const single = taking.map((s) => s.kind === "at");
  if (single.includes(true)) {
    const rows = taking.flatMap((s, dim): readonly Rows[] => {
      if (s.kind === "at") return [{ dim, start: args[s.arg]!, size: 1 }];
      return s.kind === "slice" ? [{ dim, start: dimLit(s.start, "i32"), size: s.size }] : [];
    });
    return into(b, rows, withNew(b, part, single));
  }
  for (const [d, s] of taking.entries()) if (s.kind === "slice") part = padded(b, part, d, s.start, x.shape[d]!);
  return part;
}

export const indexRules: Rules<"index" | "dynamic_slice" | "dynamic_update"> = {
  index: (r) => wanted(r, () => unindexed(r.b, r.params.selectors, r.args, r.ct)),
  // dx[start + k] += dz[k]
  dynamic_slice: ({ b, args, params: { dim, size }, ct }) => [into(b, [{ dim, start: args[1]!, size }], ct)],
  // dx = dz, but 0 where the value went; dvalue[k] = dz[start + k]
  dynamic_update: (r) => {
    const { b, args, params, ct } = r;
    const [, value, start] = args as [Atom, Atom, Atom];
    const { dim } = params;
    const size = value.type.shape[dim]!;
    return wanted(
      r,
      () => emit(b, "dynamic_update", params, ct, zerosOf(b, value.type, []), start),
      () => emit(b, "dynamic_slice", { dim, size }, ct, start),
    );
  },
};
