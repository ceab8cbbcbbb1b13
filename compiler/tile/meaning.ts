/** A kernel in words that only depend on what it does, and a short name for them: by it is kept what was learned of the kernel. */
import { isLeaf, operandsOf } from "./build.ts";
import type { Axis, Fold, Kernel, Stmt, Value } from "./ir.ts";

/** 16 hexadecimal digits: the same for kernels that differ only in names and places in the source. */
export const kernelKey = (kernel: Kernel): string => hash(meaningOf(kernel));

/** FNV-1a over UTF-16 units, in two halves from different seeds. */
function hash(text: string): string {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let i = 0; i < text.length; i++) {
    low = Math.imul(low ^ text.charCodeAt(i), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(i), 0x01000193) ^ (low >>> 15);
  }
  const digits = (n: number): string => (n >>> 0).toString(16).padStart(8, "0");
  return digits(high) + digits(low);
}

/** Values, axes and folds are numbered as they come. */
export function meaningOf(k: Kernel): string {
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
