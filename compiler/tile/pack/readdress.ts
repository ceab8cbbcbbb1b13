/** A kernel whose loads go elsewhere: to other buffers by other index values, for the same elements. */
import { axesOf, operandsOf } from "../build.ts";
import type { BufferParam, Def, Fold, Kernel, Stmt, Value } from "../ir.ts";

/** Where the elements of a buffer are now: row-major in `buffer`, from element `offset` on. */
export type Place = { readonly buffer: number; readonly offset: number };

/**
 * The kernel over `buffers`; `to(k)` says where those of its old buffer k are. A buffer has the old one's shape (at offset
 * 0), is flat, or has rows as long as the old one's; then `offset` is the beginning of a row.
 */
export function readdressed(kernel: Kernel, buffers: readonly BufferParam[], to: (buffer: number) => Place): Kernel {
  const now = new Map<number, Value>();
  let nextId = 1 + largestId(kernel);
  /** The statements at hand: what an index is computed from stands before the load that it is for. */
  let into: Stmt[] = [];
  const number = (value: number): Value => ({ id: nextId++, dtype: "i32", axes: [], def: { kind: "const", value } });
  const map = (op: "add" | "mul" | "min" | "max", x: Value, by: number): Value => joined(op, x, number(by));
  const joined = (op: "add" | "mul" | "min" | "max", x: Value, y: Value): Value => {
    const def: Def = { kind: "map", op, args: [x, y] };
    const value: Value = { id: nextId++, dtype: "i32", axes: axesOf(def), def };
    into.push({ kind: "let", value });
    return value;
  };

  const load = (d: Extract<Def, { kind: "load" }>): Def => {
    const { shape: old } = kernel.buffers[d.buffer]!;
    const { buffer, offset } = to(d.buffer);
    const { shape } = buffers[buffer]!;
    const given = d.index.map(get);
    if (offset === 0 && String(shape) === String(old)) return { ...d, buffer, index: given };
    const index = d.clamp ? given.map((i, k) => map("max", map("min", i, old[k]! - 1), 0)) : given;
    // [offset + Σ index · stride], or, in rows: [the row, the last index]
    const rows = shape.length === 2;
    const row = rows ? shape[1]! : 1;
    const moving = rows ? index.slice(0, -1) : index;
    let constant = offset / row;
    let sum: Value | undefined;
    moving.forEach((i, k) => {
      const stride = old.slice(k + 1).reduce((n, m) => n * m, 1) / row;
      if (i.def.kind === "const") constant += i.def.value * stride;
      else {
        const term = stride === 1 ? i : map("mul", i, stride);
        sum = sum ? joined("add", sum, term) : term;
      }
    });
    const at = sum && constant !== 0 ? map("add", sum, constant) : (sum ?? number(constant));
    return { kind: "load", buffer, index: rows ? [at, index.at(-1)!] : [at], clamp: false };
  };
  const moved = (d: Def): Def => {
    switch (d.kind) {
      case "load":
        return load(d);
      case "map":
        return { ...d, args: d.args.map(get) };
      case "cast":
      case "reduce":
      case "scan":
        return { ...d, arg: get(d.arg) };
      case "at":
        return { ...d, arg: get(d.arg), bind: d.bind.map((b) => ({ ...b, index: get(b.index) })) };
      default:
        return d;
    }
  };
  const get = (v: Value): Value => {
    const known = now.get(v.id);
    if (known) return known;
    const value = { ...v, def: moved(v.def) };
    now.set(v.id, value);
    return value;
  };
  const body = (stmts: readonly Stmt[]): readonly Stmt[] => {
    const around = into;
    const mine: Stmt[] = [];
    into = mine;
    for (const s of stmts) {
      const moved: Stmt = s.kind === "let" ? { kind: "let", value: get(s.value) } : fold(s);
      mine.push(moved);
    }
    into = around;
    return mine;
  };
  const fold = (f: Fold): Fold => ({ ...f, init: f.init.map(get), body: body(f.body), next: f.next.map(get) });
  return {
    ...kernel,
    buffers,
    body: body(kernel.body),
    stores: kernel.stores.map((s) => ({ buffer: to(s.buffer).buffer, index: s.index.map(get), value: get(s.value) })),
  };
}

function largestId(kernel: Kernel): number {
  let largest = 0;
  const seen = new Set<number>();
  const see = (v: Value): void => {
    if (seen.has(v.id)) return;
    seen.add(v.id);
    largest = Math.max(largest, v.id);
    operandsOf(v.def).forEach(see);
  };
  const walk = (stmts: readonly Stmt[]): void => {
    for (const s of stmts)
      if (s.kind === "let") see(s.value);
      else {
        if (s.over.kind === "steps") see(s.over.step);
        [...s.init, ...s.carry, ...s.next, ...s.results].forEach(see);
        walk(s.body);
      }
  };
  walk(kernel.body);
  for (const s of kernel.stores) [...s.index, s.value].forEach(see);
  return largest;
}
