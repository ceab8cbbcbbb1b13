/**
 * Core, per device → kernels and the device program that launches them.
 *
 * The body of each `tiles` is one kernel. Array code around it is cut into kernels by plan.ts; loops of array code stay
 * loops of the program. Sizes are numbers; collectives other than ppermute are gone; the rest is made plain by prepare.ts.
 *
 * Tiles, loops, permutes and results come in the order of the program, everything else just before the first that needs
 * it: a value lives no longer than the program's order asks for.
 */
import type { Diagnostic } from "../base/diagnostic.ts";
import { invariant } from "../base/invariant.ts";
import { report } from "../base/messages.ts";
import { noSpan } from "../base/span.ts";
import type { Atom, Block, DType, Eqn, FoldEqn, OpEqn, Program, Route, TilesEqn, Var } from "../core/ir.ts";
import { ringSize } from "../core/mesh-layout.ts";
import { checkChains } from "./fuse/chains.ts";
import type { Cluster } from "./fuse/cluster.ts";
import { emitKernel } from "./fuse/kernel.ts";
import { kernelName, tilesName, uniqueName } from "./fuse/names.ts";
import { coneOf, type Plan, planRegion } from "./fuse/plan.ts";
import { prepare } from "./fuse/prepare.ts";
import { readsOf } from "./fuse/region.ts";
import type { Captured, KernelSpec } from "./fuse/spec.ts";
import { clusterOf, clusterSpec, fillSpec, type Spec, tilesSpec } from "./fuse/specs.ts";
import { NotSupported } from "./fuse/unsupported.ts";
import { inGroup } from "./groups.ts";
import type { ArrayInfo, DeviceProgram, HostRoute, HostStep, Kernel } from "./ir.ts";

export type FuseOptions = {
  /** The most arrays that one kernel of array code reads and writes; 8 where it is left out. */
  readonly maxBuffers?: number;
  /** Whether a kernel may hold a value and what is made of groups of its neighbours (yes where it is left out). */
  readonly groups?: boolean;
};
/** `program` is without kernels where a diagnostic says what is not supported yet. */
export type Fused = { readonly program: DeviceProgram; readonly diagnostics: readonly Diagnostic[] };

/** Cuts a well-formed program into kernels. Deterministic. */
export function fuse(p: Program, options: FuseOptions = {}): Fused {
  try {
    const program = deviceProgram(prepare(p), options);
    // Where not all that is picked turns out to be in groups, what is picked from is in memory.
    if (options.groups !== false && !program.kernels.every(picksInGroups))
      return fuse(p, { ...options, groups: false });
    return { program, diagnostics: [] };
  } catch (e) {
    if (!(e instanceof NotSupported)) throw e;
    const nothing = { name: p.name, mesh: p.mesh, arrays: [], kernels: [], inputs: [], outputs: [], steps: [] };
    return { program: nothing, diagnostics: [report("GY7201", e.span ?? noSpan, { what: e.what })] };
  }
}

const picksInGroups = (k: Kernel): boolean =>
  k.body.every(
    (s) =>
      s.kind === "fold" ||
      s.value.def.kind !== "at" ||
      s.value.def.bind.every((b) => b.axis.role !== "grid" || b.axis.block !== "auto" || inGroup(b) !== undefined),
  );

/** What a variable from around a region is there. */
type Binding =
  /** `first`: the number that is everywhere in it in the first step of the loop that carries it. */
  | {
      readonly kind: "array";
      readonly array: number;
      readonly first?: { readonly loop: number; readonly value: number };
    }
  | { readonly kind: "eqn"; readonly eqn: OpEqn }
  | { readonly kind: "step"; readonly loop: number; readonly count: number };
type Env = ReadonlyMap<number, Binding>;
type State = {
  readonly program: Program;
  readonly options: FuseOptions;
  readonly arrays: ArrayInfo[];
  readonly kernels: Kernel[];
  readonly kernelNames: Set<string>;
  readonly arrayNames: Set<string>;
  /** Kernels that write one number everywhere, by what they write. */
  readonly fills: Map<string, number>;
  nextLoop: number;
  nextVar: number;
};

function deviceProgram(p: Program, options: FuseOptions): DeviceProgram {
  const s: State = {
    program: p,
    options,
    arrays: [],
    kernels: [],
    kernelNames: new Set(),
    arrayNames: new Set(),
    fills: new Map(),
    nextLoop: 0,
    nextVar: -1,
  };
  const env = new Map<number, Binding>();
  const inputs = p.inputs.map(({ port, local }) => {
    const array = newArray(s, port.path || (local.name ?? "x"), local);
    env.set(local.id, { kind: "array", array });
    return { port, array };
  });
  const { steps, results } = region(s, p.body, env, undefined);
  return {
    name: p.name,
    mesh: p.mesh,
    arrays: s.arrays,
    kernels: s.kernels,
    inputs,
    outputs: p.outputs.map((port, k) => ({ port, array: results[k]! })),
    steps,
  };
}

function newArray(s: State, hint: string, v: Var, dtype: DType = v.type.dtype): number {
  const id = s.arrays.length;
  s.arrays.push({ id, name: uniqueName(s.arrayNames, hint), dtype, shape: v.type.shape as readonly number[] });
  return id;
}

/** What a block of array code becomes: steps, and the array of each result. `loop`: whose body it is. */
function region(
  s: State,
  b: Block,
  env: Env,
  loop: number | undefined,
): { readonly steps: readonly HostStep[]; readonly results: readonly number[] } {
  const { eqns, results } = withOwnArrays(s, b, env);
  const outer = {
    isArray: (v: Var) => env.get(v.id)?.kind === "array",
    isInline: (v: Var) => isFormula(env, v),
    groups: s.options.groups !== false,
  };
  const plan = planRegion(eqns, results, outer, s.options.maxBuffers ?? 8);
  const r: RegionState = {
    s,
    plan,
    loop,
    env: new Map(env),
    steps: [],
    defs: defsOf(eqns),
    emitted: new Set(),
    done: new Set(),
    made: new Map(),
    read: readVars(eqns, results),
  };
  for (const e of eqns) if (e.kind === "op" && plan.inline.has(e.out.id)) r.env.set(e.out.id, { kind: "eqn", eqn: e });
  emitInOrder(r, eqns, results);
  const arrays = results.map((a) => {
    invariant(a.kind === "var", "a region's results are variables");
    return arrayOf(r, a);
  });
  return { steps: r.steps, results: arrays };
}
/** Whether a variable from around takes no array: a part of one (anchors.ts) is read where it is used, and is no formula. */
function isFormula(env: Env, v: Var): boolean {
  const bound = env.get(v.id);
  if (bound?.kind !== "eqn") return bound?.kind !== "array";
  const [x] = bound.eqn.args;
  return !(x?.kind === "var" && x.type.shape.length > 0 && env.get(x.id)?.kind === "array");
}
type RegionState = {
  readonly s: State;
  readonly plan: Plan;
  readonly loop: number | undefined;
  readonly env: Map<number, Binding>;
  readonly steps: HostStep[];
  readonly defs: ReadonlyMap<number, Eqn>;
  readonly emitted: Set<number>;
  /** Tiles, loops and permutes that are emitted. */
  readonly done: Set<Eqn>;
  /** Arrays made here, those of formulas too; `env` says how a variable is best read. */
  readonly made: Map<number, number>;
  /** Every variable that something reads. */
  readonly read: ReadonlySet<number>;
};
const defsOf = (eqns: readonly Eqn[]): ReadonlyMap<number, Eqn> =>
  new Map(eqns.flatMap((e) => (e.kind === "op" ? [e.out] : e.outs).map((v) => [v.id, e] as const)));
function readVars(eqns: readonly Eqn[], results: readonly Atom[]): ReadonlySet<number> {
  const read = new Set<number>();
  for (const e of eqns) for (const v of readsOf(e)) read.add(v.id);
  for (const a of results) if (a.kind === "var") read.add(a.id);
  return read;
}

const isBarrier = (e: Eqn): boolean => e.kind !== "op" || e.op === "ppermute";

/** A kernel of several results comes where the last of them stands; one that overwrites an array, after the array's readers. */
function emitInOrder(r: RegionState, eqns: readonly Eqn[], results: readonly Atom[]): void {
  const wanted = new Set(results.flatMap((a) => (a.kind === "var" ? [a.id] : [])));
  const left = new Map<Cluster, number>();
  for (const id of wanted) {
    const c = r.plan.clusterOf.get(id);
    if (c) left.set(c, (left.get(c) ?? 0) + 1);
  }
  let due: Cluster[] = [];
  for (const e of eqns) {
    if (isBarrier(e)) emitBarrier(r, e);
    else if (e.kind === "op" && wanted.has(e.out.id)) {
      const c = r.plan.clusterOf.get(e.out.id);
      if (c) left.set(c, left.get(c)! - 1);
      if (c && left.get(c) === 0) due.push(c);
    }
    due = due.filter((c) => {
      if (!overwrites(r, c).every((x) => isReadUp(r, x, c))) return true;
      if (!r.emitted.has(c.id)) emitCluster(r, c);
      return false;
    });
  }
}
/** The arrays that a kernel may write its results over. */
const overwrites = (r: RegionState, c: Cluster): readonly Var[] =>
  [...c.members].flatMap((id) => {
    const x = r.plan.updates.has(id) ? (r.defs.get(id) as OpEqn).args[0]! : undefined;
    return x?.kind === "var" ? [x] : [];
  });
/** Whether every reader of a value is emitted, `but` for one. */
const isReadUp = (r: RegionState, v: Var, but: Cluster): boolean =>
  (r.plan.consumers.get(v.id) ?? []).every((e) => {
    if (e.kind !== "op" || e.op === "ppermute") return r.done.has(e);
    const c = r.plan.clusterOf.get(e.out.id);
    return c ? c === but || r.emitted.has(c.id) : isReadUp(r, e.out, but);
  });

/** Where an array is asked for, and a region has only a formula from around it, the formula gets a variable of its own. */
function withOwnArrays(
  s: State,
  b: Block,
  env: Env,
): { readonly eqns: readonly Eqn[]; readonly results: readonly Atom[] } {
  const eqns: Eqn[] = [];
  const own = (a: Atom): Atom => {
    const bound = a.kind === "var" ? env.get(a.id) : undefined;
    if (a.kind === "var" && (!bound || bound.kind === "array")) return a;
    const out: Var = {
      kind: "var",
      id: s.nextVar--,
      type: a.type,
      name: a.kind === "var" ? (a.name ?? "value") : "constant",
    };
    eqns.push({ kind: "op", op: "broadcast", params: { shape: a.type.shape }, args: [a], out });
    return out;
  };
  for (const e of b.eqns) {
    if (e.kind === "fold") {
      const init = e.init.map(own);
      eqns.push({ ...e, init });
    } else if (e.kind === "op" && e.op === "ppermute") {
      const args = e.args.map(own);
      eqns.push({ ...e, args });
    } else eqns.push(e);
  }
  return { results: b.results.map(own), eqns };
}

/** The array that holds a variable; the kernel that makes it is emitted first where it is not there yet. */
function arrayOf(r: RegionState, v: Var): number {
  const made = r.made.get(v.id);
  if (made !== undefined) return made;
  const bound = r.env.get(v.id);
  if (bound?.kind === "array") return bound.array;
  const view = r.plan.views.get(v.id);
  if (view) {
    const array = arrayOf(r, view);
    hold(r, v, array);
    return array;
  }
  const def = r.defs.get(v.id);
  const cluster = r.plan.clusterOf.get(v.id);
  if (def && isBarrier(def)) emitBarrier(r, def);
  else {
    invariant(cluster && r.plan.stored.has(v.id), `${v.name ?? v.id} is stored by some kernel`);
    emitCluster(r, cluster);
  }
  const now = r.made.get(v.id);
  invariant(now !== undefined, "a cluster stores its values");
  return now;
}
function hold(r: RegionState, v: Var, array: number): void {
  r.made.set(v.id, array);
  if (!r.plan.inline.has(v.id)) r.env.set(v.id, { kind: "array", array });
}

function emitBarrier(r: RegionState, e: Eqn): void {
  if (r.done.has(e)) return;
  r.done.add(e);
  if (e.kind === "tiles") emitTiles(r, e);
  else if (e.kind === "fold") emitLoop(r, e);
  else if (e.kind === "op" && e.op === "ppermute") {
    const x = e.args[0]!;
    invariant(x.kind === "var", "what is sent is an array");
    const input = arrayOf(r, x);
    const output = newArray(r.s, e.out.name ?? x.name ?? "moved", e.out);
    const still = stillAtFirst(r, x, e.params.route);
    r.steps.push({
      kind: "permute",
      axes: e.params.axes,
      route: hostRoute(r, e.params.route),
      input,
      output,
      ...(still !== undefined && { still }),
      ...(e.span && { span: e.span }),
    });
    hold(r, e.out, output);
  }
}
function hostRoute(r: RegionState, route: Route): HostRoute {
  if (route.kind === "pairs") return route;
  const { offset, step, perStep = 1 } = route;
  const within = route.within === undefined ? {} : { within: route.within };
  if (!step) return { kind: "shift", offset, ...within };
  const bound = r.env.get(step.id);
  invariant(bound?.kind === "step", "a route depends on the step of a loop around it");
  return { kind: "shift", offset, loop: bound.loop, perStep, ...within };
}

function emitLoop(r: RegionState, e: FoldEqn): void {
  invariant(e.over.kind === "steps", "blocks are folded over inside tiles");
  const { s } = r;
  const inits = e.init.map((a) => arrayOf(r, a as Var));
  // What the body takes from here must be here.
  for (const v of readsOf(e)) capture(r, v);
  const id = s.nextLoop++;
  const count = e.over.count as number;
  const env = new Map(r.env);
  env.set(e.over.step.id, { kind: "step", loop: id, count });
  const insides = e.carry.map((v, k) => {
    const array = newArray(s, v.name ?? "carry", v);
    const value = constantOf(r, e.init[k]!);
    env.set(v.id, { kind: "array", array, ...(value !== undefined && { first: { loop: id, value } }) });
    return array;
  });
  const body = region(s, e.body, env, id);
  const carry = e.carry.map((v, k) => {
    const out = r.read.has(e.outs[k]!.id) ? newArray(s, e.outs[k]!.name ?? v.name ?? "result", e.outs[k]!) : null;
    if (out !== null) hold(r, e.outs[k]!, out);
    return { init: inits[k]!, inside: insides[k]!, next: body.results[k]!, out };
  });
  r.steps.push({ kind: "loop", id, count, carry, body: body.steps });
}
/** The number that is everywhere in a value, where it is made of one. */
function constantOf(r: RegionState, a: Atom): number | undefined {
  if (a.kind === "lit") return a.value;
  const bound = r.env.get(a.id);
  const e = bound?.kind === "eqn" ? bound.eqn : r.defs.get(a.id);
  const spreads = e?.kind === "op" && (e.op === "full" || e.op === "broadcast" || e.op === "reshape");
  return spreads ? constantOf(r, e.args[0]!) : undefined;
}
/** The kernel that makes what a permute of a carry gives in the loop's first step, where that is one number everywhere. */
function stillAtFirst(r: RegionState, x: Var, route: Route): number | undefined {
  const bound = r.env.get(x.id);
  if (bound?.kind !== "array" || !bound.first || bound.first.loop !== r.loop) return undefined;
  // Devices to which a list of pairs sends nothing get zeros.
  if (route.kind === "pairs" && bound.first.value !== 0) return undefined;
  return fillKernel(r, x, bound.first.value);
}
function fillKernel(r: RegionState, like: Var, value: number): number {
  const { s } = r;
  const shape = like.type.shape as readonly number[];
  const key = `${like.type.dtype} ${shape.join()} ${value}`;
  const known = s.fills.get(key);
  if (known !== undefined) return known;
  const out: Var = { kind: "var", id: s.nextVar--, type: like.type };
  const spec = fillSpec(uniqueName(s.kernelNames, "fill"), out, value);
  const { kernel } = emitKernel({ ...spec, ...around(r) });
  s.fills.set(key, s.kernels.length);
  return s.kernels.push(kernel) - 1;
}

/** Sees to it that a variable used inside a loop or a kernel is an array, or a formula all of whose parts are. */
function capture(r: RegionState, v: Var): Binding {
  const bound = r.env.get(v.id);
  if (bound?.kind === "eqn") for (const a of bound.eqn.args) if (a.kind === "var") capture(r, a);
  if (bound) return bound;
  return { kind: "array", array: arrayOf(r, v) };
}
function captured(r: RegionState, v: Var): Captured {
  const bound = capture(r, v);
  if (bound.kind !== "array") return bound;
  return {
    kind: "array",
    array: bound.array,
    name: r.s.arrays[bound.array]!.name,
    shape: v.type.shape as readonly number[],
  };
}

// ── Kernels ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a kernel may ask for of what is around it. */
const around = (r: RegionState): Pick<KernelSpec, "captured" | "ringSize"> => ({
  captured: (v) => captured(r, v),
  ringSize: (axes) => ringSize(r.s.program.mesh, axes),
});
/** Launches the kernel of a spec, which makes `outs`. `from`: of each, the array with whose contents it begins. */
function launch(r: RegionState, spec: Spec, outs: readonly Var[], from: readonly (number | undefined)[]): void {
  const { s } = r;
  const { kernel, reads } = emitKernel({ ...spec, ...around(r) });
  const written = outs.map((v, k) => newArray(s, v.name ?? spec.stores[k]!.name, v));
  outs.forEach((v, k) => {
    hold(r, v, written[k]!);
  });
  const number = s.kernels.length;
  s.kernels.push(kernel);
  const updates = from.flatMap((array, k) => (array === undefined ? [] : [{ buffer: reads.length + k, from: array }]));
  r.steps.push({ kind: "launch", kernel: number, buffers: [...reads, ...written], updates });
}

function emitTiles(r: RegionState, e: TilesEqn): void {
  checkChains(e.body);
  const name = uniqueName(r.s.kernelNames, tilesName(e));
  // What it captures comes before it.
  for (const v of readsOf(e)) capture(r, v);
  launch(
    r,
    tilesSpec(name, e),
    e.outs,
    e.outs.map(() => undefined),
  );
}

/**
 * A kernel emits those that it reads where it reads them, down in what it computes. Of a long row of kernels that none has
 * asked for yet, the first are emitted first.
 */
function emitLongRow(r: RegionState, c: Cluster): void {
  const { plan, defs } = r;
  const order: Cluster[] = [];
  let depth = 0;
  const seen = new Set([c.id]);
  const readsBy = (x: Cluster): Cluster[] => {
    const { eqns, reads } = coneOf(plan, defs, x.members, x.members);
    depth += eqns.length + 8;
    return [...reads].flatMap((v) => {
      let at = v;
      for (let view = plan.views.get(at); view; view = plan.views.get(at)) at = view.id;
      const by = plan.clusterOf.get(at);
      if (!by || seen.has(by.id) || r.emitted.has(by.id)) return [];
      seen.add(by.id);
      return [by];
    });
  };
  const stack = [{ cluster: c, left: readsBy(c) }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const next = top.left.shift();
    if (next) stack.push({ cluster: next, left: readsBy(next) });
    else if (stack.pop()!.cluster !== c) order.push(top.cluster);
  }
  if (depth > 512) for (const before of order) if (!r.emitted.has(before.id)) emitCluster(r, before);
}
function emitCluster(r: RegionState, c: Cluster): void {
  invariant(!r.emitted.has(c.id), "a kernel does not wait for itself");
  emitLongRow(r, c);
  r.emitted.add(c.id);
  const { plan, defs, s } = r;
  const made = clusterOf(plan, defs, c);
  const name = uniqueName(s.kernelNames, kernelName(made.main, made.members, made.body));
  const from = made.roots.map((e) => (plan.updates.has(e.out.id) ? arrayOf(r, e.args[0] as Var) : undefined));
  launch(
    r,
    clusterSpec(name, plan, c, made),
    made.roots.map((e) => e.out),
    from,
  );
}
