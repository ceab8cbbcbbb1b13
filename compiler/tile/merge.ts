/**
 * Kernels that do the same are one, launched several times: layers written out, projections alike, the same step of two
 * loops. What readers call things makes no difference; the first one's names stay.
 */
import { isLeaf, operandsOf } from "./build.ts";
import type { Axis, DeviceProgram, Fold, HostStep, Kernel, Stmt, Value } from "./ir.ts";

/** The program with each of its kernels once. Takes time linear in its size. */
export function mergeKernels(p: DeviceProgram): DeviceProgram {
  const kernels: Kernel[] = [];
  const known = new Map<string, number>();
  const to = p.kernels.map((k) => {
    const key = meaningOf(k);
    const at = known.get(key) ?? kernels.push(k) - 1;
    known.set(key, at);
    return at;
  });
  const renumbered = (s: HostStep): HostStep => {
    switch (s.kind) {
      case "launch":
        return { ...s, kernel: to[s.kernel]! };
      case "permute":
        return s.still === undefined ? s : { ...s, still: to[s.still]! };
      case "loop":
        return { ...s, body: s.body.map(renumbered) };
    }
  };
  return { ...p, kernels, steps: p.steps.map(renumbered) };
}

/** A kernel in words that only depend on what it does: values, axes and folds are numbered as they come. */
function meaningOf(k: Kernel): string {
  const words: string[] = [];
  const numbers = {
    value: new Map<number, number>(),
    axis: new Map<number, number>(),
    fold: new Map<number, number>(),
  };
  const number = (of: keyof typeof numbers, id: number): string => {
    const seen = numbers[of].get(id) ?? numbers[of].size;
    numbers[of].set(id, seen);
    return `${of}${seen}`;
  };
  const axis = (a: Axis): string => `${number("axis", a.id)}:${a.role}:${a.extent}:${a.block}`;
  const axes = (all: readonly Axis[]): string => all.map(axis).join();
  const use = (v: Value): string => (isLeaf(v.def) ? def(v) : number("value", v.id));
  const def = (v: Value): string => `${v.dtype}(${axes(v.axes)})${told(v)} ${operandsOf(v.def).map(use).join()}`;
  /** What a definition says besides its operands. */
  const told = ({ def: d }: Value): string => {
    switch (d.kind) {
      case "const":
        return `const ${Object.is(d.value, -0) ? "-0" : d.value}`;
      case "scalar":
        return `scalar ${d.index}`;
      case "step":
        return `step ${number("fold", d.fold)}`;
      case "pos":
        return `pos ${axis(d.axis)}`;
      case "edge":
        return `edge ${axis(d.axis)} ${d.end}`;
      case "load":
        return `load ${d.buffer} ${d.clamp}`;
      case "map":
        return d.op;
      case "cast":
        return "cast";
      case "reduce":
      case "scan":
        return `${d.kind} ${d.op} ${axis(d.axis)}`;
      case "at":
        return `at ${axes(d.bind.map((b) => b.axis))}`;
      case "carry":
      case "result":
        return `${d.kind} ${number("fold", d.fold)} ${d.place}`;
    }
  };
  const body = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "fold") fold(s);
      else words.push(`${number("value", s.value.id)} = ${def(s.value)}`);
    }
  };
  const fold = (f: Fold): void => {
    const over = f.over.kind === "blocks" ? axis(f.over.axis) : `${f.over.count} steps`;
    words.push(`${number("fold", f.id)} over ${over} from ${f.init.map(use).join()} {`);
    body(f.body);
    words.push(`} ${f.next.map(use).join()} gives ${f.results.map(use).join()}`);
    for (const v of f.bounds?.prelude ?? []) words.push(`${number("value", v.id)} = ${def(v)}`);
    if (f.bounds?.run) words.push(`run ${use(f.bounds.run)}`);
    for (const { select, when } of f.bounds?.full ?? []) words.push(`full ${use(select)} when ${use(when)}`);
  };
  words.push(JSON.stringify(k.buffers.map(({ dtype, shape, access }) => [dtype, shape, access])));
  words.push(JSON.stringify(k.scalars), axes(k.grid));
  body(k.body);
  for (const s of k.stores) words.push(`store ${s.buffer} ${s.index.map(use).join()} ${use(s.value)}`);
  return words.join("\n");
}
