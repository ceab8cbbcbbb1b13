/** What holds of every well-formed device program; returns a sentence for each thing that does not. */
import type { DType } from "../core/ir.ts";
import { axesOf, isLeaf, operandsOf } from "./build.ts";
import { inGroup } from "./groups.ts";
import type { Axis, DeviceProgram, Fold, HostStep, Kernel, Stmt, Value } from "./ir.ts";

/** The complaints about a program; none for a well-formed one. */
export function check(p: DeviceProgram): readonly string[] {
  return [...p.kernels.flatMap((k) => checkKernel(k).map((w) => `kernel ${k.name}: ${w}`)), ...checkSteps(p)];
}

const elements = (shape: readonly number[]): number => shape.reduce((n, m) => n * m, 1);
const axisNames = (axes: readonly Axis[]): string => axes.map((a) => a.name).join(", ");
const sameAxes = (a: readonly Axis[], b: readonly Axis[]): boolean =>
  a.length === b.length && a.every((x, k) => x.id === b[k]!.id);

type Scope = {
  readonly wrong: string[];
  readonly kernel: Kernel;
  /** Values that are let so far; folds that are open, and done. */
  readonly known: ReadonlySet<number>;
  readonly open: ReadonlyMap<number, Fold>;
  readonly done: ReadonlyMap<number, Fold>;
  readonly axes: ReadonlySet<number>;
};
type Growing = Scope & { readonly known: Set<number>; readonly done: Map<number, Fold> };

export function checkKernel(k: Kernel): readonly string[] {
  const wrong: string[] = [];
  const names = new Set<string>();
  for (const b of k.buffers) {
    if (names.has(b.name)) wrong.push(`two buffers are called ${b.name}`);
    names.add(b.name);
  }
  const outputs = k.buffers.findIndex((b) => b.access !== "read");
  if (outputs >= 0 && k.buffers.slice(outputs).some((b) => b.access === "read"))
    wrong.push("an input comes after an output");
  for (const a of k.grid) if (a.role !== "grid") wrong.push(`axis ${a.name} of the grid is ${a.role}`);
  const s: Growing = {
    wrong,
    kernel: k,
    known: new Set(),
    open: new Map(),
    done: new Map(),
    axes: new Set(k.grid.map((a) => a.id)),
  };
  checkBody(s, k.body);
  const stored = new Set<number>();
  for (const store of k.stores) {
    const b = k.buffers[store.buffer];
    if (!b || b.access === "read") wrong.push(`buffer ${store.buffer} is stored to, and is no output`);
    else {
      if (store.index.length !== b.shape.length)
        wrong.push(`${b.name} has ${b.shape.length} dimensions, and is stored to by ${store.index.length}`);
      if (store.value.dtype !== b.dtype) wrong.push(`${store.value.dtype} is stored to ${b.name}`);
    }
    if (stored.has(store.buffer)) wrong.push(`buffer ${store.buffer} is stored to twice`);
    stored.add(store.buffer);
    for (const v of [...store.index, store.value]) checkUse(s, v);
  }
  k.buffers.forEach((b, i) => {
    if (b.access !== "read" && !stored.has(i)) wrong.push(`${b.name} is never stored to`);
  });
  return wrong;
}

function checkBody(s: Growing, body: readonly Stmt[]): void {
  for (const stmt of body) {
    if (stmt.kind === "let") checkLet(s, stmt.value);
    else checkFold(s, stmt);
  }
}
function checkLet(s: Growing, v: Value): void {
  if (s.known.has(v.id)) s.wrong.push(`value ${v.id} is let twice`);
  if (isLeaf(v.def)) s.wrong.push(`value ${v.id} is let, and is a leaf`);
  for (const x of operandsOf(v.def)) checkUse(s, x);
  checkDef(s, v);
  s.known.add(v.id);
}
function checkFold(s: Growing, f: Fold): void {
  const n = f.carry.length;
  if ([f.init, f.next, f.results].some((vs) => vs.length !== n))
    s.wrong.push(`fold ${f.id} carries ${n} values, and is given others`);
  f.init.forEach((v) => {
    checkUse(s, v);
  });
  const axes = new Set(s.axes);
  if (f.over.kind === "blocks") {
    if (f.over.axis.role !== "fold")
      s.wrong.push(`fold ${f.id} runs over the ${f.over.axis.role} axis ${f.over.axis.name}`);
    axes.add(f.over.axis.id);
  }
  const inside: Growing = {
    ...s,
    known: new Set(s.known),
    open: new Map(s.open).set(f.id, f),
    done: new Map(s.done),
    axes,
  };
  checkBody(inside, f.body);
  const own = f.over.kind === "blocks" ? f.over.axis.id : undefined;
  f.carry.forEach((c, k) => {
    const next = f.next[k]!;
    checkUse(inside, next);
    if (!sameAxes(c.axes, f.results[k]!.axes))
      s.wrong.push(`fold ${f.id} carries (${axisNames(c.axes)}) and gives (${axisNames(f.results[k]!.axes)})`);
    for (const v of [f.init[k]!, next]) {
      if (v.dtype !== c.dtype) s.wrong.push(`fold ${f.id} carries ${c.dtype} and is given ${v.dtype}`);
      const more = v.axes.filter((a) => !c.axes.some((x) => x.id === a.id) && !(a.id === own && a.block === 1));
      if (more.length > 0) s.wrong.push(`place ${k} of fold ${f.id} lacks axes (${axisNames(more)})`);
    }
  });
  s.done.set(f.id, f);
}
/** A value stands where it is known. */
function checkUse(s: Scope, v: Value): void {
  if (!isLeaf(v.def)) {
    if (!s.known.has(v.id)) s.wrong.push(`value ${v.name ?? v.id} is used before it is let`);
    return;
  }
  checkDef(s, v);
}
function checkDef(s: Scope, v: Value): void {
  const d = v.def;
  const say = (what: string): void => {
    s.wrong.push(`value ${v.name ?? v.id}, a ${d.kind}, ${what}`);
  };
  const axis = (a: Axis): void => {
    if (a.role !== "inner" && !s.axes.has(a.id)) say(`needs axis ${a.name} outside of its loop`);
  };
  if (d.kind !== "carry" && d.kind !== "result" && !sameAxes(v.axes, axesOf(d)))
    say(`depends on (${axisNames(axesOf(d))}) and says (${axisNames(v.axes)})`);
  const integers = (vs: readonly Value[]): void => {
    if (vs.some((x) => x.dtype !== "i32")) say("is indexed by what is no i32");
  };
  switch (d.kind) {
    case "pos":
    case "edge":
    case "reduce":
    case "scan":
      axis(d.axis);
      break;
    case "scalar":
      if (!s.kernel.scalars[d.index]) say("is no parameter");
      break;
    case "step":
      if (s.open.get(d.fold)?.over.kind !== "steps") say("is outside of its fold");
      break;
    case "load": {
      const b = s.kernel.buffers[d.buffer];
      if (!b || b.access === "write") say("reads what is no input");
      else if (b.shape.length !== d.index.length || b.dtype !== v.dtype) say(`does not fit ${b.name}`);
      integers(d.index);
      break;
    }
    case "at":
      integers(d.bind.map((b) => b.index));
      for (const b of d.bind)
        if (b.axis.role === "grid" && b.axis.block === "auto" && !inGroup(b))
          say(`re-indexes ${b.axis.name}, whose blocks are not known`);
      break;
    case "carry":
      if (s.open.get(d.fold)?.carry[d.place]?.id !== v.id) say("is outside of its fold");
      break;
    case "result":
      if (s.done.get(d.fold)?.results[d.place]?.id !== v.id) say("comes before its fold");
      break;
    default:
  }
}

/** Arrays are written once, before they are read, and fit the kernels that they are given to. */
function checkSteps(p: DeviceProgram): readonly string[] {
  const wrong: string[] = [];
  const written = new Set<number>();
  const name = (array: number): string => p.arrays[array]?.name ?? `array ${array}`;
  const write = (known: Set<number>, array: number): void => {
    if (written.has(array)) wrong.push(`${name(array)} is written twice`);
    written.add(array);
    known.add(array);
  };
  const read = (known: ReadonlySet<number>, array: number, by: string): void => {
    if (!known.has(array)) wrong.push(`${by} reads ${name(array)} before it is written`);
  };
  const fits = (array: number, dtype: DType, shape: readonly number[]): boolean => {
    const a = p.arrays[array];
    return a !== undefined && a.dtype === dtype && elements(a.shape) === elements(shape);
  };
  const steps = (body: readonly HostStep[], known: Set<number>, loops: ReadonlySet<number>): void => {
    for (const s of body) {
      if (s.kind === "permute") {
        read(known, s.input, "a permute");
        write(known, s.output);
        if (s.route.kind === "shift" && s.route.loop !== undefined && !loops.has(s.route.loop))
          wrong.push(`a permute knows no loop ${s.route.loop}`);
        if (s.still !== undefined) checkStill(s, s.still, loops);
      } else if (s.kind === "launch") launch(s, known, loops);
      else {
        for (const c of s.carry) read(known, c.init, `loop ${s.id}`);
        const inside = new Set(known);
        for (const c of s.carry) write(inside, c.inside);
        steps(s.body, inside, new Set(loops).add(s.id));
        for (const c of s.carry) {
          read(inside, c.next, `loop ${s.id}`);
          if (c.out !== null) write(known, c.out);
        }
      }
    }
  };
  const checkStill = (s: Extract<HostStep, { kind: "permute" }>, kernel: number, loops: ReadonlySet<number>): void => {
    const k = p.kernels[kernel];
    const [out, ...others] = k?.buffers ?? [];
    if (loops.size === 0) wrong.push("a permute is still at first, and in no loop");
    if (!k || !out || others.length > 0 || out.access !== "write" || k.scalars.length > 0)
      wrong.push(`a permute is made at first by kernel ${kernel}, which is no fill`);
    else if (!fits(s.output, out.dtype, out.shape)) wrong.push(`${name(s.output)} does not fit ${k.name}`);
  };
  const launch = (s: Extract<HostStep, { kind: "launch" }>, known: Set<number>, loops: ReadonlySet<number>): void => {
    const k = p.kernels[s.kernel];
    if (!k || k.buffers.length !== s.buffers.length) {
      wrong.push(`a launch does not fit kernel ${s.kernel}`);
      return;
    }
    for (const x of k.scalars)
      if (x.kind === "step" && !loops.has(x.loop)) wrong.push(`${k.name} knows no loop ${x.loop}`);
    k.buffers.forEach((b, i) => {
      const array = s.buffers[i]!;
      if (!fits(array, b.dtype, b.shape)) wrong.push(`${name(array)} does not fit ${b.name} of ${k.name}`);
      if (b.access === "read") read(known, array, k.name);
      const from = s.updates.filter((u) => u.buffer === i);
      if ((b.access === "update") !== (from.length === 1))
        wrong.push(`${b.name} of ${k.name} is updated from ${from.length} arrays`);
      for (const u of from) read(known, u.from, k.name);
    });
    k.buffers.forEach((b, i) => {
      if (b.access !== "read") write(known, s.buffers[i]!);
    });
  };
  const known = new Set<number>();
  for (const i of p.inputs) write(known, i.array);
  steps(p.steps, known, new Set());
  for (const o of p.outputs) read(known, o.array, "the result");
  return wrong;
}
