/**
 * How a team of threads computes a kernel: how many there are, how much of each axis they hold together, which values are
 * kept in registers, which operands go through shared memory, and how many blocks ahead they are fetched. Data, made here
 * by rules that look at one thing each; lowering obeys it. Where a rule is missing, the plan is a sentence that says what
 * for, and the kernel is written for threads that work alone (../lower.ts).
 *
 *   rows       the grid axis that most products have on one side; warps share it
 *   columns    another grid axis, where the other side has only grid axes (a plain matrix product)
 *   others     single elements of every other free grid axis; blocks of loops and inner axes whole
 *
 * A value's layout is a function of its axes (layoutOf), so what has the same rows lies in the same threads.
 */
import { operandsOf } from "../../tile/build.ts";
import type { Axis, Fold, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { blocksAreFree } from "../../tile/reblock.ts";
import { meetingAxes } from "../allowed.ts";
import { foldsOf, valuesOf } from "../map.ts";
import { deal, everywhere, type Layout, type Side, same, sizeOf } from "./layout.ts";
import { allFactors, type Factors } from "./products.ts";
import { bytesOf, elementsOf, pieceOf, type SharedTile, swizzleFor } from "./shared.ts";

/** What teams are planned for. */
export type TeamTarget = {
  /** Shared memory that a workgroup may have, in bytes, and what it is aimed at so that several fit a processor. */
  readonly sharedBytes: number;
  readonly sharedAim: number;
  /** Registers of a thread that accumulators may take. */
  readonly accumulators: number;
  /** Workgroups that fill the machine: tiles get smaller before there are fewer. */
  readonly groups: number;
  /** Elements of a step of loops whose blocks may be of any size, best first. */
  readonly blocks: readonly number[];
  /** The most blocks that are fetched ahead and in use together. */
  readonly stages: number;
};
/** NVIDIA GPUs with mma.m16n8k16, ldmatrix and cp.async (sm_80 and later). */
export const tensorTarget: TeamTarget = {
  sharedBytes: 160 * 1024,
  sharedAim: 99 * 1024,
  accumulators: 196,
  groups: 100,
  blocks: [64, 32],
  stages: 3,
};

/** How much of an axis a team holds. `cover`: `block` rounded up to what layouts deal out. */
export type Part = {
  readonly axis: Axis;
  readonly block: number;
  readonly cover: number;
  /** Some of the cover's elements do not exist, in some block at least. */
  readonly ragged: boolean;
};

/** How an operand comes to its product. `registers`: packed from where it lies. */
export type Operand =
  | { readonly kind: "registers"; readonly value: Value }
  | { readonly kind: "shared"; readonly value: Value };
export type Product = Factors & {
  readonly m: Axis;
  readonly n: Axis;
  readonly left: Operand;
  readonly right: Operand;
};
/** `copy`: asynchronously, piece by piece, as memory has it. `fill`: element by element. `spill`: from registers. */
export type Staged = {
  readonly tile: SharedTile;
  readonly value: Value;
  readonly how: "copy" | "fill" | "spill";
  /** Elements that are copied at once. */
  readonly piece: number;
};

export type Plan = {
  readonly kernel: Kernel;
  readonly warps: number;
  readonly groups: number;
  readonly parts: ReadonlyMap<number, Part>;
  readonly rows: Axis;
  readonly columns: Axis | undefined;
  readonly columnWarps: number;
  readonly products: ReadonlyMap<number, Product>;
  /** Shared tiles by the value that they hold. */
  readonly staged: ReadonlyMap<number, Staged>;
  /** Values that are computed where they are let, and kept in registers. Others are computed where they are used. */
  readonly kept: ReadonlySet<number>;
  /** Values that are of use only as factors of products. */
  readonly factors: ReadonlySet<number>;
  /** How often a value is used. */
  readonly uses: ReadonlyMap<number, number>;
  readonly sharedBytes: number;
  readonly notes: readonly string[];
};

/** Why there is no plan. */
export type Unplanned = { readonly reason: string };
class NoRule extends Error {}
const give = (reason: string): never => {
  throw new NoRule(reason);
};

/** Plans a kernel that has products; `reason` where some part of it has no rule. Deterministic. */
export function planTeam(kernel: Kernel, target: TeamTarget): Plan | Unplanned {
  const factors = allFactors(kernel);
  if (factors.length === 0) return { reason: "no product of matrices" };
  let reason = "";
  const loops = freeFolds(kernel).size > 0;
  const shapes = shapesFor(kernel, factors).flatMap((s) =>
    (loops ? target.blocks : target.blocks.slice(0, 1)).map((foldBlock) => ({ ...s, foldBlock })),
  );
  for (const shape of shapes) {
    try {
      const plan = attempt(kernel, factors, shape, target);
      if (plan) return plan;
    } catch (e) {
      if (!(e instanceof NoRule)) throw e;
      reason ||= e.message;
    }
  }
  return { reason: reason || "its tiles do not fit the registers and shared memory of a team" };
}

type Shape = {
  readonly rows: Axis;
  readonly columns: Axis | undefined;
  readonly rowBlock: number;
  readonly columnBlock: number;
  readonly rowWarps: number;
  readonly columnWarps: number;
  /** Elements of a step of loops whose blocks may be of any size. */
  readonly foldBlock: number;
};
const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** The axes of loops whose blocks may be of any size. */
const freeFolds = (kernel: Kernel): ReadonlySet<number> =>
  new Set(
    foldsOf(kernel.body).flatMap((f) =>
      f.over.kind === "blocks" && blocksAreFree(f) && f.over.axis.block !== 1 ? [f.over.axis.id] : [],
    ),
  );

/** The shapes to try, best first: large tiles reuse more of what is loaded. */
function shapesFor(kernel: Kernel, factors: readonly Factors[]): readonly Omit<Shape, "foldBlock">[] {
  const meeting = meetingAxes(kernel);
  const free = (a: Axis): boolean => a.role === "grid" && !meeting.has(a.id) && a.block !== 1;
  const oneSided = (f: Factors, a: Axis): boolean => has(f.a, a) !== has(f.b, a);
  const weight = (a: Axis): number =>
    factors.filter((f) => oneSided(f, a)).length * 1e12 +
    (a.block === "auto" ? 0 : 1e11) +
    (isLast(kernel, a) ? 0 : 1e10) +
    a.extent;
  const fixed = kernel.grid.find((a) => a.role === "grid" && meeting.has(a.id) && a.block !== 1 && a.extent > 1);
  const usable = kernel.grid.filter((a) => free(a) && factors.some((f) => oneSided(f, a)));
  const rows = fixed ?? [...usable].sort((a, b) => weight(b) - weight(a))[0];
  if (!rows) return [];
  const fixedBlock = fixed ? blockOf(fixed) : undefined;
  // The side of a product across from the rows, where it is made of grid axes alone: its longest axis.
  const across = usable.filter(
    (a) =>
      a !== rows &&
      factors.every((f) => {
        if (!oneSided(f, rows) || !oneSided(f, a) || has(f.a, rows) === has(f.a, a)) return false;
        const side = has(f.a, rows) ? f.b : f.a;
        return side.axes.every((x) => x.role === "grid" || x.id === f.k.id || blockOf(x) === 1);
      }),
  );
  const last = (a: Axis): number => (isLast(kernel, a) ? 1e10 : 0) + a.extent;
  const columns = [...across].sort((a, b) => last(b) - last(a))[0];
  const found: Omit<Shape, "foldBlock">[] = [];
  const most = roundUp(rows.extent, 16);
  if (columns)
    for (const [m, n, wm, wn] of [
      [128, 128, 2, 2],
      [128, 64, 4, 1],
      [64, 64, 2, 2],
      [32, 64, 2, 2],
      [16, 64, 1, 4],
      [32, 32, 2, 1],
      [16, 16, 1, 1],
    ] as const) {
      if (m > most || n > roundUp(columns.extent, 16)) continue;
      if (fixedBlock !== undefined && roundUp(fixedBlock, 16 * wm) !== m) continue;
      found.push({
        rows,
        columns,
        rowBlock: fixedBlock ?? m,
        columnBlock: n,
        rowWarps: wm,
        columnWarps: wn,
      });
    }
  else
    for (const [m, w] of [
      [128, 4],
      [64, 4],
      [32, 2],
      [16, 1],
    ] as const) {
      if (m > most && m > 16) continue;
      if (fixedBlock !== undefined && roundUp(fixedBlock, 16 * w) !== m) continue;
      found.push({
        rows,
        columns: undefined,
        rowBlock: fixedBlock ?? m,
        columnBlock: 1,
        rowWarps: w,
        columnWarps: 1,
      });
    }
  return found;
}
const has = (v: Value, a: Axis): boolean => v.axes.some((x) => x.id === a.id);
const isLast = (kernel: Kernel, a: Axis): boolean =>
  kernel.stores.some((s) => {
    const def = s.index.at(-1)?.def;
    return def?.kind === "pos" && def.axis.id === a.id;
  });
const blockOf = (a: Axis): number =>
  a.role === "inner" ? a.extent : Math.min(a.extent, a.block === "auto" ? 64 : a.block);

/** The plan of one shape; undefined where it does not fit. */
function attempt(kernel: Kernel, factors: readonly Factors[], shape: Shape, target: TeamTarget): Plan | undefined {
  const parts = partsOf(kernel, shape);
  const warps = shape.rowWarps * shape.columnWarps;
  const groups = kernel.grid.reduce((n, a) => n * Math.ceil(a.extent / parts.get(a.id)!.block), 1);
  const smaller = shape.rowBlock > 64 || shape.columnBlock > 64;
  if (smaller && groups < target.groups) return undefined;
  const dealt: Dealt = { parts, shape, warps };
  const products = new Map(
    factors.flatMap((f) => {
      const p = productOf(dealt, f);
      return p ? [[f.sum.id, p] as const] : [];
    }),
  );
  if (products.size === 0) return undefined;
  const accumulators = heldTogether(kernel, dealt, products);
  if (accumulators > target.accumulators) return undefined;
  const uses = usesOf(kernel, products);
  const staged = stagedOf(kernel, dealt, products);
  for (const aim of [target.sharedAim, target.sharedBytes]) {
    for (let stages = target.stages; stages >= 1; stages--) {
      const tiles = new Map(
        [...staged].map(([id, s]) => [
          id,
          inLoop(kernel, s.value) && s.how === "copy" ? { ...s, tile: { ...s.tile, stages } } : s,
        ]),
      );
      const sharedBytes = [...tiles.values()].reduce(
        (n, { tile }) => n + roundUp(elementsOf(tile) * tile.stages * bytesOf(tile.dtype), 128),
        0,
      );
      if (sharedBytes > aim || (stages === 1 && aim < target.sharedBytes)) continue;
      const roles = rolesOf(kernel, dealt, products, uses);
      return {
        kernel,
        warps,
        groups,
        parts,
        rows: shape.rows,
        columns: shape.columns,
        columnWarps: shape.columnWarps,
        products,
        staged: tiles,
        ...roles,
        uses,
        sharedBytes,
        notes: notesOf(dealt, products, tiles, sharedBytes, accumulators),
      };
    }
  }
  return undefined;
}

function partsOf(kernel: Kernel, shape: Shape): ReadonlyMap<number, Part> {
  const axes = new Map<number, Axis>(kernel.grid.map((a) => [a.id, a]));
  for (const f of foldsOf(kernel.body)) if (f.over.kind === "blocks") axes.set(f.over.axis.id, f.over.axis);
  for (const v of valuesOf(kernel)) {
    for (const a of v.axes) axes.set(a.id, a);
    if ("axis" in v.def) axes.set(v.def.axis.id, v.def.axis);
  }
  const meeting = meetingAxes(kernel);
  const anySize = freeFolds(kernel);
  const parts = new Map<number, Part>();
  for (const axis of axes.values()) {
    const block =
      axis.id === shape.rows.id
        ? Math.min(shape.rowBlock, axis.extent)
        : axis.id === shape.columns?.id
          ? Math.min(shape.columnBlock, axis.extent)
          : axis.role === "grid" && !meeting.has(axis.id)
            ? 1
            : anySize.has(axis.id)
              ? Math.min(shape.foldBlock, axis.extent)
              : blockOf(axis);
    const step =
      axis.id === shape.rows.id ? 16 * shape.rowWarps : axis.id === shape.columns?.id ? 16 * shape.columnWarps : 16;
    const cover = block === 1 && axis.id !== shape.rows.id ? 1 : roundUp(block, step);
    if (axis.role === "inner" && cover > 512)
      give(`axis ${axis.name} has ${axis.extent} elements, too many to hold at once`);
    parts.set(axis.id, { axis, block, cover, ragged: axis.extent % cover !== 0 });
  }
  return parts;
}

/** What layouts are made from. */
export type Dealt = { readonly parts: ReadonlyMap<number, Part>; readonly shape: Shape; readonly warps: number };
export const dealtOf = (p: Plan): Dealt => ({
  parts: p.parts,
  warps: p.warps,
  shape: {
    rows: p.rows,
    columns: p.columns,
    rowBlock: 0,
    columnBlock: 0,
    rowWarps: p.warps / p.columnWarps,
    columnWarps: p.columnWarps,
    foldBlock: 0,
  },
});
/** The axes that a team holds more than one element of. */
export const wide = (d: Dealt, axes: readonly Axis[]): readonly Axis[] =>
  axes.filter((a) => d.parts.get(a.id)!.cover > 1);

/**
 * The layout of every value with these axes. The rows are dealt to warps and to the threads' upper digits; then the
 * columns, or else the first other axis, to the lower ones. Without the rows, grid axes come before those of loops, and
 * those before inner ones.
 */
export function layoutOf(d: Dealt, axes: readonly Axis[]): Layout {
  const { rows, columns, rowWarps, columnWarps } = d.shape;
  const rank = (a: Axis): number =>
    a.id === rows.id ? 0 : a.id === columns?.id ? 1 : a.role === "grid" ? 2 : a.role === "fold" ? 3 : 4;
  const all = [...wide(d, axes)].sort((a, b) => rank(a) - rank(b) || a.id - b.id);
  const first = all[0];
  if (!first) return deal(undefined, undefined, [], d.warps);
  const asRows = first.id === rows.id || (all.length > 1 && first.id !== columns?.id);
  const m = asRows ? first : undefined;
  const [n, ...others] = asRows ? all.slice(1) : all;
  const side = (a: Axis, warps: number): Side => ({ axis: a.id, cover: d.parts.get(a.id)!.cover, warps });
  return deal(
    m && side(m, warpsFor(d.parts.get(m.id)!.cover, rowWarps)),
    n && side(n, n.id === columns?.id ? columnWarps : 1),
    others.map((a) => side(a, 1)),
    d.warps,
  );
}
/** As many of the warps as there are sixteens for. */
function warpsFor(cover: number, warps: number): number {
  let w = warps;
  while (w > 1 && cover % (16 * w) !== 0) w /= 2;
  return w;
}

/** Which side of a product has the rows, and how its factors come to it. */
function productOf(d: Dealt, f: Factors): Product | undefined {
  const side = (v: Value): readonly Axis[] => wide(d, v.axes).filter((a) => a.id !== f.k.id);
  const [x, y] = [side(f.a), side(f.b)];
  // A vector on one side: as good as any other sum.
  if (x.length === 0 || y.length === 0) return undefined;
  const name = f.sum.name ?? "a product";
  const tensor = f.dtype !== "f32";
  if (x.some((a) => y.some((b) => a.id === b.id)))
    give(`${name} has factors that share ${x.find((a) => y.some((b) => a.id === b.id))!.name}, besides what is summed`);
  if (x.length !== 1 || y.length !== 1) give(`${name} is no product of two matrices: [${names(x)}] and [${names(y)}]`);
  if (d.parts.get(f.k.id)!.cover < 16) give(`${name} sums over single elements`);
  const result = layoutOf(d, [x[0]!, y[0]!]);
  const swap = !result.threads.some((t) => t.axis === x[0]!.id && t.stride === 1);
  const [a, b, m, n] = swap ? [f.b, f.a, y[0]!, x[0]!] : [f.a, f.b, x[0]!, y[0]!];
  if (d.shape.columns && f.k.id === d.shape.columns.id) give(`${name} sums over ${f.k.name}, which warps share`);
  const left: Operand = {
    kind: !tensor || isLoaded(a) || !same(layoutOf(d, [m, f.k]), leftLayout(d, m, f.k)) ? "shared" : "registers",
    value: a,
  };
  return { ...f, a, b, m, n, left, right: { kind: "shared", value: b } };
}
const names = (axes: readonly Axis[]): string => axes.map((a) => a.name).join(", ");
/** How a product wants its left factor. */
export const leftLayout = (d: Dealt, m: Axis, k: Axis): Layout =>
  deal(
    { axis: m.id, cover: d.parts.get(m.id)!.cover, warps: warpsFor(d.parts.get(m.id)!.cover, d.shape.rowWarps) },
    { axis: k.id, cover: d.parts.get(k.id)!.cover, warps: 1 },
    [],
    d.warps,
  );

/** Made of what is in memory and of positions alone, so that any thread can compute any element. */
export function isLoaded(v: Value): boolean {
  switch (v.def.kind) {
    case "const":
    case "scalar":
    case "step":
    case "pos":
    case "edge":
      return true;
    case "load":
    case "map":
    case "cast":
      return operandsOf(v.def).every(isLoaded);
    default:
      return false;
  }
}
/** Whether computing it again costs a load. */
export const hasLoad = (v: Value): boolean => v.def.kind === "load" || operandsOf(v.def).some(hasLoad);

/** Registers that products' results and carries take at once: those of each body of a loop, with those around it. */
function heldTogether(kernel: Kernel, d: Dealt, products: ReadonlyMap<number, Product>): number {
  const size = (v: Value): number => sizeOf(layoutOf(d, v.axes).registers);
  const body = (stmts: readonly Stmt[]): number => {
    let here = 0;
    let inside = 0;
    for (const s of stmts) {
      if (s.kind === "let") here += products.has(s.value.id) && !addedTo(s.value, stmts) ? size(s.value) : 0;
      else inside = Math.max(inside, s.carry.reduce((n, c) => n + size(c), 0) + body(s.body));
    }
    return Math.max(here, 0) + inside;
  };
  return body(kernel.body);
}
/** A product that is only added to something has no registers of its own. */
export function addedTo(v: Value, stmts: readonly Stmt[]): Value | undefined {
  const users = stmts.flatMap((s) => (s.kind === "let" && operandsOf(s.value.def).includes(v) ? [s.value] : []));
  const user = users[0];
  if (users.length !== 1 || user?.def.kind !== "map" || user.def.op !== "add" || user.dtype !== "f32") return undefined;
  return user.def.args[0] !== user.def.args[1] && user.axes.length >= v.axes.length ? user : undefined;
}

/** Uses of values, in statements, stores and what folds go on with. What products look through is no use. */
function usesOf(kernel: Kernel, products: ReadonlyMap<number, Product>): ReadonlyMap<number, number> {
  const uses = new Map<number, number>();
  const use = (v: Value): void => {
    uses.set(v.id, (uses.get(v.id) ?? 0) + 1);
  };
  const reached = new Set<number>();
  const reach = (v: Value): void => {
    if (reached.has(v.id)) return;
    reached.add(v.id);
    const product = products.get(v.id);
    for (const a of product ? [product.a, product.b] : operandsOf(v.def)) {
      use(a);
      reach(a);
    }
  };
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body)
      if (s.kind === "fold") {
        for (const v of [...s.init, ...s.next]) {
          use(v);
          reach(v);
        }
        walk(s.body);
        for (const { when } of s.bounds?.full ?? []) reach(when);
      }
  };
  for (const s of kernel.stores)
    for (const v of [...s.index, s.value]) {
      use(v);
      reach(v);
    }
  walk(kernel.body);
  return uses;
}

/** The folds around the statement that lets a value. */
function depths(kernel: Kernel): ReadonlyMap<number, readonly Fold[]> {
  const found = new Map<number, readonly Fold[]>();
  const walk = (body: readonly Stmt[], around: readonly Fold[]): void => {
    for (const s of body)
      if (s.kind === "let") found.set(s.value.id, around);
      else {
        for (const c of s.carry) found.set(c.id, [...around, s]);
        for (const r of s.results) found.set(r.id, around);
        walk(s.body, [...around, s]);
      }
  };
  walk(kernel.body, []);
  return found;
}
const inLoop = (kernel: Kernel, v: Value): boolean => (depths(kernel).get(v.id)?.length ?? 0) > 0;

/** The factors that go through shared memory. */
function stagedOf(kernel: Kernel, d: Dealt, products: ReadonlyMap<number, Product>): ReadonlyMap<number, Staged> {
  const found = new Map<number, Staged>();
  for (const p of products.values())
    for (const [operand, side] of [
      [p.left, p.m],
      [p.right, p.n],
    ] as const) {
      const v = operand.value;
      if (operand.kind !== "shared" || found.has(v.id)) continue;
      const lies = besides(v, [side, p.k]);
      const columns = lies ?? p.k;
      const rows = columns.id === side.id ? p.k : side;
      const count = (a: Axis): number => d.parts.get(a.id)!.cover;
      const tile: SharedTile = {
        name: v.name ?? "operand",
        dtype: p.dtype,
        rows: { axis: rows.id, count: count(rows) },
        columns: { axis: columns.id, count: count(columns) },
        swizzle: swizzleFor(count(columns) / pieceOf(p.dtype)),
        stages: 1,
      };
      found.set(v.id, {
        tile,
        value: v,
        how: !isLoaded(v) ? "spill" : lies && inPieces(kernel, d, v, lies) ? "copy" : "fill",
        piece: pieceOf(p.dtype),
      });
    }
  for (const v of stripsOf(kernel, d)) {
    const axis = wide(d, v.axes)[0]!;
    const tile: SharedTile = {
      name: v.name ?? "strip",
      dtype: v.dtype,
      rows: { axis: everywhere, count: 1 },
      columns: { axis: axis.id, count: d.parts.get(axis.id)!.cover },
      swizzle: { every: 1, of: 1 },
      stages: 1,
    };
    const lies = besides(v, [axis]);
    const whole = lies && inPieces(kernel, d, v, lies);
    found.set(v.id, { tile, value: v, how: "copy", piece: whole ? pieceOf(v.dtype) : 1 });
  }
  return found;
}
/**
 * What a loop's body loads of its own axis alone (a statistic of each column): too little for a product, but to wait for
 * it in every round would cost as much. Not what says where other things are.
 */
function stripsOf(kernel: Kernel, d: Dealt): readonly Value[] {
  const places = new Set<number>();
  const see = (v: Value): void => {
    places.add(v.id);
    operandsOf(v.def).forEach(see);
  };
  for (const v of valuesOf(kernel)) if (v.def.kind === "load") v.def.index.forEach(see);
  return foldsOf(kernel.body).flatMap((f) => {
    if (f.over.kind !== "blocks") return [];
    const { axis } = f.over;
    return f.body.flatMap((s) => {
      if (s.kind === "fold" || s.value.def.kind !== "load" || s.value.dtype !== "f32" || places.has(s.value.id))
        return [];
      const only = wide(d, s.value.axes);
      return only.length === 1 && only[0]!.id === axis.id && kernel.buffers[s.value.def.buffer]!.dtype === "f32"
        ? [s.value]
        : [];
    });
  });
}
/** The axis along which a load's elements lie side by side in memory. */
function besides(v: Value, axes: readonly Axis[]): Axis | undefined {
  if (v.def.kind !== "load") return undefined;
  const last = v.def.index.at(-1)?.def;
  if (last?.kind !== "pos") return undefined;
  const { axis } = last;
  const alone = v.def.index.slice(0, -1).every((i) => !has(i, axis));
  return alone ? axes.find((a) => a.id === axis.id) : undefined;
}
/** Whether its rows begin and end at multiples of a piece. */
function inPieces(kernel: Kernel, d: Dealt, v: Value, columns: Axis): boolean {
  if (v.def.kind !== "load") return false;
  const buffer = kernel.buffers[v.def.buffer]!;
  const piece = pieceOf(buffer.dtype);
  const part = d.parts.get(columns.id)!;
  return (
    buffer.shape.at(-1)! % piece === 0 &&
    part.block % piece === 0 &&
    columns.extent % piece === 0 &&
    buffer.dtype === v.dtype
  );
}

/** What is kept in registers where it is let, and what is only a factor. */
function rolesOf(
  kernel: Kernel,
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  uses: ReadonlyMap<number, number>,
): Pick<Plan, "kept" | "factors"> {
  const around = depths(kernel);
  const kept = new Set<number>();
  const factors = new Set<number>();
  const folds = foldsOf(kernel.body);
  const bounded = new Set(folds.flatMap((f) => (f.bounds?.full ?? []).map((x) => x.select.id)));
  const handed = new Set(folds.flatMap((f) => [...f.next, ...f.init].map((v) => v.id)));
  const asFactor = new Set([...products.values()].flatMap((p) => [p.a.id, p.b.id]));
  const usedDeeper = new Set<number>();
  /** Of rows, say, and used for each element of them: computed once, not for each. */
  const spread = new Set<number>();
  const see = (v: Value, depth: number): void => {
    if ((around.get(v.id)?.length ?? 0) < depth) usedDeeper.add(v.id);
  };
  const walk = (body: readonly Stmt[], depth: number): void => {
    for (const s of body)
      if (s.kind === "let")
        for (const a of operandsOf(s.value.def)) {
          see(a, depth);
          if (wide(d, a.axes).length < wide(d, s.value.axes).length) spread.add(a.id);
        }
      else walk(s.body, depth + 1);
  };
  walk(kernel.body, 0);
  for (const v of valuesOf(kernel, false)) {
    const def = v.def;
    if (["const", "scalar", "step", "pos", "edge", "carry", "result"].includes(def.kind)) continue;
    const used = uses.get(v.id) ?? 0;
    if (used === 0) {
      factors.add(v.id);
      continue;
    }
    if (products.has(v.id)) {
      kept.add(v.id);
      continue;
    }
    if (def.kind === "reduce") {
      if (def.op === "argmax") give("argmax has no rule for teams yet");
      if (wide(d, def.arg.axes).length > 2)
        give(`${v.name ?? "a reduction"} is over all pairs of [${names(wide(d, def.arg.axes))}], and no product`);
      kept.add(v.id);
      continue;
    }
    if (def.kind === "scan") give("a running sum along an axis has no rule for teams yet");
    if (def.kind === "at") give("elements of a computed value picked by number have no rule for teams yet");
    const onlyFactor = asFactor.has(v.id) && used === factorUses(v, products);
    if (onlyFactor) continue;
    // What is overwritten at the end is read before.
    const lost = def.kind === "load" && kernel.buffers[def.buffer]!.access !== "read";
    if (lost) {
      kept.add(v.id);
      continue;
    }
    if (isLoaded(v)) {
      const size = sizeOf(layoutOf(d, v.axes).registers);
      if (hasLoad(v) && size <= 32 && (usedDeeper.has(v.id) || used > 1)) kept.add(v.id);
      continue;
    }
    if (used > 1 || usedDeeper.has(v.id) || spread.has(v.id) || bounded.has(v.id) || handed.has(v.id)) kept.add(v.id);
  }
  return { kept, factors };
}
const factorUses = (v: Value, products: ReadonlyMap<number, Product>): number =>
  [...products.values()].reduce((n, p) => n + (p.a.id === v.id ? 1 : 0) + (p.b.id === v.id ? 1 : 0), 0);

function notesOf(
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  staged: ReadonlyMap<number, Staged>,
  sharedBytes: number,
  accumulators: number,
): readonly string[] {
  const part = (a: Axis): string => `${d.parts.get(a.id)!.block} of ${a.name}`;
  return [
    `teams of ${d.warps * 32} threads hold ${[...new Map([...products.values()].flatMap((p) => [p.m, p.n, p.k]).map((a) => [a.id, a])).values()].map(part).join(", ")}`,
    ...[...products.values()].map(
      (p) =>
        `${p.sum.name ?? "product"} [${p.m.name}, ${p.n.name}] over ${p.k.name}: ${p.dtype === "f32" ? "multiplied and added in f32" : `tensor cores, ${p.dtype}`}; left from ${p.left.kind}, right from shared`,
    ),
    ...[...staged.values()].map(
      ({ tile, how }) =>
        `shared ${tile.name}: ${tile.rows.count} x ${tile.columns.count} ${tile.dtype}${tile.stages > 1 ? `, ${tile.stages} stages` : ""}, ${how === "copy" ? "copied asynchronously" : how === "fill" ? "computed" : "from registers"}`,
    ),
    `${sharedBytes} bytes of shared memory; accumulators take ${accumulators} registers of a thread`,
  ];
}
