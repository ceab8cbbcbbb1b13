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
import { bytesEach } from "../../core/dtype.ts";
import type { Axis, Fold, Kernel, Stmt, Value } from "../../tile/ir.ts";
import { dependsOn } from "../../tile/values.ts";
import type { TileChoice } from "../map.ts";
import { type Dealt, layoutOf, type Part, roundUp, type Shape } from "./dealt.ts";
import { fetchedTiles } from "./hopper/plan.ts";
import { multiplyLate } from "./late.ts";
import { type Pattern, sizeOf } from "./layout.ts";
import { type Product, productOf } from "./operands.ts";
import { allFactors, type Factors } from "./products.ts";
import { addedTo, goesOnFrom, inLoop, rolesOf, usesOf } from "./roles.ts";
import { NoRule } from "./rule.ts";
import { type Axes, axesFor, partsOf, shapesFor } from "./shapes.ts";
import { elementsOf } from "./shared.ts";
import type { Slots } from "./slots.ts";
import { type Staged, stagedOf } from "./staged.ts";
import type { TeamTarget } from "./target.ts";

export type Plan = {
  readonly kernel: Kernel;
  readonly warps: number;
  readonly pattern: Pattern;
  readonly exchange: number;
  readonly groups: number;
  readonly parts: ReadonlyMap<number, Part>;
  readonly by: Shape | Slots;
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
  /** Registers of a thread that hold products' results and carries. */
  readonly accumulators: number;
  /** What threads hold is too much for registers: long loops over it stay loops. */
  readonly spills?: true;
  readonly notes: readonly string[];
};
/** Of a kernel with products of matrices, and what it was made from. */
export type ProductPlan = Plan & { readonly choice: TileChoice };
/** Why there is no plan. */
export type Unplanned = { readonly reason: string };

/** The plans of a kernel, made as they are asked for; `reason` says, after the last, why there were none. */
export type Plans = {
  readonly all: Iterable<ProductPlan>;
  readonly reason: () => string;
  /** Whether there were none because all were too large. */
  readonly tooLarge: () => boolean;
};

/** The plans of a kernel that has products, in the order of the shapes. Deterministic. */
export function plansFor(program: Kernel, target: TeamTarget): Plans {
  // Which blocks may be of any size, loops show as they were written.
  const axes = axesFor(program);
  const kernel = multiplyLate(program);
  const factors = allFactors(kernel);
  if (factors.length === 0) return { all: [], reason: () => "no product of matrices", tooLarge: () => false };
  let reason = "";
  const blocks = axes.anySize.size > 0 ? target.blocks : target.blocks.slice(0, 1);
  function* all(): Generator<ProductPlan> {
    for (const shape of shapesFor(kernel, factors, target.sizes)) {
      const known = new Map<number, Dealing | undefined>();
      const dealing = (foldBlock: number): Dealing | undefined => {
        try {
          if (!known.has(foldBlock))
            known.set(foldBlock, dealingOf(kernel, axes, factors, { ...shape, foldBlock }, target));
        } catch (e) {
          if (!(e instanceof NoRule)) throw e;
          reason ||= e.message;
          known.set(foldBlock, undefined);
        }
        return known.get(foldBlock);
      };
      for (const bytes of [...target.sharedAims, target.sharedBytes])
        for (const foldBlock of blocks) {
          const d = dealing(foldBlock);
          if (d) yield* plansWithin(kernel, d, bytes, target);
        }
    }
  }
  return {
    all: all(),
    reason: () => reason || "its tiles do not fit the registers and shared memory of a team",
    tooLarge: () => reason === "" && factors.some(ofMatrices),
  };
}
/** A shape's plans, but for how many blocks are fetched ahead. `made`: the numbers of stages that there are plans with. */
type Dealing = {
  readonly plan: Omit<ProductPlan, "staged" | "sharedBytes" | "choice" | "notes">;
  readonly shape: Shape;
  readonly staged: ReadonlyMap<number, Staged>;
  readonly made: Set<number>;
};
/** Undefined where the shape does not fit. */
function dealingOf(
  kernel: Kernel,
  axes: Axes,
  factors: readonly Factors[],
  shape: Shape,
  target: TeamTarget,
): Dealing | undefined {
  const parts = partsOf(axes, shape);
  const warps = shape.rowWarps * shape.columnWarps;
  const groups = groupsOf(kernel, parts);
  const smaller = shape.rowBlock > 64 || shape.columnBlock > 64;
  if (smaller && groups < target.groups) return undefined;
  const { pattern, exchange } = target;
  const dealt: Dealt = { parts, by: shape, warps, pattern };
  const products = new Map(
    factors.flatMap((f) => {
      const p = productOf(dealt, f);
      return p ? [[f.sum.id, p] as const] : [];
    }),
  );
  if (products.size === 0) return undefined;
  const uses = usesOf(kernel, products);
  const accumulators = heldTogether(kernel, dealt, products, uses);
  if (accumulators > target.accumulators) return undefined;
  const asked = stagedOf(kernel, dealt, products);
  const staged = target.otherwise ? fetchedTiles(kernel, dealt, products, asked) : asked;
  const loaded = [...asked.keys()].filter((id) => !staged.has(id));
  const roles = rolesOf(kernel, dealt, products, uses);
  return {
    plan: {
      kernel,
      warps,
      pattern,
      exchange,
      groups,
      parts,
      by: shape,
      products,
      factors: roles.factors,
      kept: new Set([...roles.kept, ...loaded]),
      uses,
      accumulators,
    },
    shape,
    staged,
    made: new Set(),
  };
}
/** The plans that fit so much shared memory: the one with most stages; where threads multiply, one for each number of them. */
function* plansWithin(kernel: Kernel, d: Dealing, bytes: number, target: TeamTarget): Generator<ProductPlan> {
  const { plan, shape } = d;
  const matrices = plan.pattern === "matrices";
  for (let stages = target.stages; stages >= target.fewestStages; stages--) {
    const staged = new Map(
      [...d.staged].map(([id, s]) => [
        id,
        inLoop(kernel, s.value) && s.how === "copy" ? { ...s, tile: { ...s.tile, stages } } : s,
      ]),
    );
    const sharedBytes = [...staged.values()].reduce(
      (n, { tile }) => n + roundUp(elementsOf(tile) * tile.stages * bytesEach(tile.dtype), 128),
      0,
    );
    if (sharedBytes > bytes || (matrices && stages === 1 && bytes < target.sharedBytes)) continue;
    const isNew = !d.made.has(stages);
    d.made.add(stages);
    const { rowBlock, columnBlock, rowWarps, columnWarps, foldBlock } = shape;
    if (isNew)
      yield {
        ...plan,
        staged,
        sharedBytes,
        choice: { rowBlock, columnBlock, rowWarps, columnWarps, foldBlock, stages },
        notes: notesOf(dealtOf(plan), plan.products, staged, sharedBytes, plan.accumulators),
      };
    if (matrices) return;
  }
}
/** Whether both sides of a product have elements that a team shares. */
const ofMatrices = (f: Factors): boolean => {
  const side = (v: Value, other: Value): boolean =>
    v.axes.some((a) => a.extent > 1 && (a.role !== "grid" || a.block !== 1) && !dependsOn(other, a));
  return side(f.a, f.b) && side(f.b, f.a);
};
/** How many teams a kernel takes. */
export const groupsOf = (kernel: Kernel, parts: ReadonlyMap<number, Part>): number =>
  kernel.grid.reduce((n, a) => n * Math.ceil(a.extent / parts.get(a.id)!.block), 1);

export const dealtOf = ({ parts, by, warps, pattern }: Dealt): Dealt => ({ parts, by, warps, pattern });
/** Registers that products' results and carries take at once: those of each body of a loop, with those around it. */
function heldTogether(
  kernel: Kernel,
  d: Dealt,
  products: ReadonlyMap<number, Product>,
  uses: ReadonlyMap<number, number>,
): number {
  const size = (v: Value): number => sizeOf(layoutOf(d, v.axes).registers);
  const body = (stmts: readonly Stmt[], around?: Fold): number => {
    let here = 0;
    let inside = 0;
    for (const s of stmts) {
      if (s.kind === "let") here += products.has(s.value.id) && !addedTo(s.value, stmts, products) ? size(s.value) : 0;
      else {
        const own = s.carry.filter((_, k) => !goesOnFrom(around, s, k, uses));
        inside = Math.max(inside, own.reduce((n, c) => n + size(c), 0) + body(s.body, s));
      }
    }
    return Math.max(here, 0) + inside;
  };
  return body(kernel.body);
}

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
        `${p.sum.name ?? "product"} [${p.m.name}, ${p.n.name}] over ${p.k.name}: ${p.dtype === "f32" || d.pattern === "blocks" ? "multiplied and added in f32" : `tensor cores, ${p.dtype}`}; left from ${p.left.kind}, right from shared`,
    ),
    ...[...staged.values()].map(
      ({ tile, how }) =>
        `shared ${tile.name}: ${tile.rows.count} x ${tile.columns.count} ${tile.dtype}${tile.stages > 1 ? `, ${tile.stages} stages` : ""}, ${how === "copy" ? "copied asynchronously" : how === "fill" ? "computed" : "from registers"}`,
    ),
    `${sharedBytes} bytes of shared memory; accumulators take ${accumulators} registers of a thread`,
  ];
}
