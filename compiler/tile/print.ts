/** Kernels and device programs as text for people, in the style of ir.ts. */
import { printMesh } from "../core/print.ts";
import { operandsOf } from "./build.ts";
import type {
  Axis,
  BufferParam,
  Def,
  DeviceProgram,
  Fold,
  HostRoute,
  HostStep,
  Kernel,
  Scalar,
  Stmt,
  Value,
} from "./ir.ts";

type Namer = {
  readonly axis: (a: Axis) => string;
  readonly value: (v: Value) => string;
  readonly inner: Map<number, Axis>;
};

/** One kernel. Values bear the names of the source where there are any; `name(i, j)` depends on axes i and j. */
export function printKernel(k: Kernel): string {
  const n = namer(k);
  const buffer = (b: BufferParam): string =>
    `${b.name}: ${shapeText(b.dtype, b.shape)}${b.access === "update" ? " updated" : ""}`;
  const reads = k.buffers.filter((b) => b.access === "read");
  const writes = k.buffers.filter((b) => b.access !== "read");
  const scalars = k.scalars.map((s, i) => `s${i} = ${scalarText(s)}`);
  const grid = k.grid.map((a) => axisText(n, a));
  const body = stmtLines(k, n, k.body);
  const stores = k.stores.map(
    (s) => `store ${k.buffers[s.buffer]!.name} [${s.index.map((v) => ref(n, v)).join(", ")}] = ${ref(n, s.value)}`,
  );
  const head = [
    `kernel ${k.name} (${reads.map(buffer).join(", ")}) -> (${writes.map(buffer).join(", ")})`,
    ...(scalars.length > 0 ? [`with ${scalars.join(", ")}`] : []),
    `grid ${grid.length > 0 ? grid.join(", ") : "()"}`,
  ].join("   ");
  const inner = [...n.inner.values()].map((a) => `${n.axis(a)}: ${a.extent}`);
  return [
    head,
    ...(inner.length > 0 ? [`  inner ${inner.join(", ")}`] : []),
    ...body.map(indent),
    ...stores.map(indent),
  ].join("\n");
}
const indent = (line: string): string => `  ${line}`;
const shapeText = (dtype: string, shape: readonly number[]): string =>
  shape.length > 0 ? `${dtype}[${shape.join(", ")}]` : dtype;
const axisText = (n: Namer, a: Axis): string => `${n.axis(a)}: ${a.extent}${a.block === 1 ? "" : ` by ${a.block}`}`;
const scalarText = (s: Scalar): string =>
  s.kind === "step" ? `step of loop ${s.loop}` : `axis_index(${s.axes.join(", ")})`;

function namer(k: Kernel): Namer {
  const axes = new Map<number, string>();
  const values = new Map<number, string>();
  const taken = new Set<string>();
  const inner = new Map<number, Axis>();
  const choose = (hint: string): string => {
    let name = hint;
    for (let i = 1; taken.has(name); i++) name = `${hint}_${i}`;
    taken.add(name);
    return name;
  };
  const axis = (a: Axis): string => {
    if (a.role === "inner") inner.set(a.id, a);
    const old = axes.get(a.id);
    if (old !== undefined) return old;
    axes.set(a.id, choose(a.name));
    return axes.get(a.id)!;
  };
  for (const a of axesOfKernel(k)) axis(a);
  let next = 0;
  const value = (v: Value): string => {
    const old = values.get(v.id);
    if (old !== undefined) return old;
    values.set(v.id, choose(v.name ?? `v${next++}`));
    return values.get(v.id)!;
  };
  return { axis, value, inner };
}
/** Every axis of a kernel, the grid's first. */
function axesOfKernel(k: Kernel): readonly Axis[] {
  const found = new Map(k.grid.map((a) => [a.id, a]));
  const see = (axes: readonly Axis[]): void => {
    for (const a of axes) found.set(a.id, a);
  };
  const walk = (body: readonly Stmt[]): void => {
    for (const s of body) {
      if (s.kind === "let") {
        see(s.value.axes);
        if (s.value.def.kind === "reduce" || s.value.def.kind === "scan") see([s.value.def.axis]);
      } else {
        if (s.over.kind === "blocks") see([s.over.axis]);
        for (const c of s.carry) see(c.axes);
        walk(s.body);
      }
    }
  };
  walk(k.body);
  for (const s of k.stores) for (const v of [...s.index, s.value]) see(v.axes);
  return [...found.values()];
}
const withAxes = (n: Namer, v: Value): string =>
  v.axes.length > 0 ? `${n.value(v)}(${v.axes.map(n.axis).join(", ")})` : n.value(v);

/** A value where it is used: leaves are written out. */
function ref(n: Namer, v: Value): string {
  const d = v.def;
  switch (d.kind) {
    case "const":
      return v.dtype === "bool" ? (d.value ? "true" : "false") : numberText(d.value);
    case "scalar":
      return `s${d.index}`;
    case "step":
      return `step${d.fold}`;
    case "pos":
      return n.axis(d.axis);
    case "edge":
      return `${d.end}(${n.axis(d.axis)})`;
    default:
      return n.value(v);
  }
}
const numberText = (x: number): string =>
  x === Infinity ? "inf" : x === -Infinity ? "-inf" : Object.is(x, -0) ? "-0" : String(x);

function defText(k: Kernel, n: Namer, dtype: string, d: Def): string {
  const args = (vs: readonly Value[]): string => vs.map((v) => ref(n, v)).join(" ");
  switch (d.kind) {
    case "load":
      return `load ${k.buffers[d.buffer]!.name} [${d.index.map((v) => ref(n, v)).join(", ")}]${d.clamp ? " clamped" : ""}`;
    case "map":
      return `${d.op} ${args(d.args)}`;
    case "cast":
      return `cast ${dtype} ${ref(n, d.arg)}`;
    case "reduce":
    case "scan":
      return `${d.kind === "scan" ? "scan " : ""}${d.op} ${n.axis(d.axis)} ${ref(n, d.arg)}`;
    case "at":
      return `at ${ref(n, d.arg)} [${d.bind.map((b) => `${n.axis(b.axis)} := ${ref(n, b.index)}`).join(", ")}]`;
    default:
      return d.kind;
  }
}
function stmtLines(k: Kernel, n: Namer, body: readonly Stmt[]): readonly string[] {
  return body.flatMap((s) => {
    if (s.kind === "fold") return foldLines(k, n, s);
    const text = defText(k, n, s.value.dtype, s.value.def);
    return [`${withAxes(n, s.value)} = ${text}`];
  });
}
function foldLines(k: Kernel, n: Namer, f: Fold): readonly string[] {
  const over = f.over.kind === "blocks" ? axisText(n, f.over.axis) : `step${f.id} < ${f.over.count}`;
  const carry = f.carry.map((c, i) => `${withAxes(n, c)} = ${ref(n, f.init[i]!)}`);
  const results = f.results.map((r) => withAxes(n, r));
  const { bounds } = f;
  const known = bounds
    ? [
        ...bounds.prelude.flatMap((v) =>
          operandsOf(v.def).length > 0 ? [`${n.value(v)} = ${defText(k, n, v.dtype, v.def)}`] : [],
        ),
        ...(bounds.run ? [`run if ${ref(n, bounds.run)}`] : []),
        ...bounds.full.map((x) => `${ref(n, x.select)} holds throughout if ${ref(n, x.when)}`),
        ...bounds.notes.map((note) => `// ${note}`),
      ]
    : [];
  return [
    `(${results.join(", ")}) = fold ${over} with (${carry.join(", ")}) {`,
    ...known.map(indent),
    ...stmtLines(k, n, f.body).map(indent),
    `  (${f.next.map((v) => ref(n, v)).join(", ")})`,
    "}",
  ];
}

/** A whole device program: its steps, then its kernels. */
export function print(p: DeviceProgram): string {
  const name = (array: number): string => p.arrays[array]!.name;
  const inputs = p.inputs.map((i) => `${name(i.array)}: ${shapeText(i.port.dtype, p.arrays[i.array]!.shape)}`);
  return [
    `${p.name} on ${printMesh(p.mesh)}`,
    `(${inputs.join(", ")}) {`,
    ...p.steps.flatMap((s) => stepLines(p, s)).map(indent),
    `} -> (${p.outputs.map((o) => name(o.array)).join(", ")})`,
    ...p.kernels.flatMap((k) => ["", printKernel(k)]),
  ].join("\n");
}
function routeText(r: HostRoute): string {
  if (r.kind === "pairs") return `pairs ${r.pairs.map(([a, b]) => `${a}→${b}`).join(" ")}`;
  const { offset, loop, perStep = 1, within } = r;
  const step = loop === undefined ? "" : ` + ${perStep === 1 ? "" : `${perStep}*`}step of loop ${loop}`;
  return `shift ${offset}${step}${within === undefined ? "" : ` within ${within}`}`;
}
function stepLines(p: DeviceProgram, s: HostStep): readonly string[] {
  const name = (array: number): string => p.arrays[array]!.name;
  switch (s.kind) {
    case "launch": {
      const k = p.kernels[s.kernel]!;
      const of = (read: boolean): readonly string[] =>
        s.buffers.filter((_, i) => (k.buffers[i]!.access === "read") === read).map(name);
      const from = s.updates.map((u) => `, ${name(s.buffers[u.buffer]!)} over ${name(u.from)}`).join("");
      return [`(${of(false).join(", ")}) = ${k.name} (${of(true).join(", ")})${from}`];
    }
    case "permute":
      return [
        `${name(s.output)} = permute ${name(s.input)} over ${s.axes.join(", ")}, ${routeText(s.route)}` +
          (s.still === undefined ? "" : `, at first ${p.kernels[s.still]!.name} ()`),
      ];
    case "loop": {
      const carry = s.carry.map((c) => `${name(c.inside)} = ${name(c.init)}`);
      const outs = s.carry.map((c) => (c.out === null ? "_" : name(c.out)));
      return [
        `(${outs.join(", ")}) = loop ${s.id}: ${s.count} steps with (${carry.join(", ")}) {`,
        ...s.body.flatMap((x) => stepLines(p, x)).map(indent),
        `  (${s.carry.map((c) => name(c.next)).join(", ")})`,
        "}",
      ];
    }
  }
}
