/**
 * What holds of every lane program: a name is bound once, before its use, in a scope around it; widths and types agree;
 * only what is written is stored to. Returns what is wrong, in order.
 */
import { isHalf } from "../core/half.ts";
import { laneType } from "./expr.ts";
import type { Barrier, Expr, LaneProgram, LaneStmt, LaneType, SharedMatrix, Width } from "./ir.ts";

type Held = { readonly type: LaneType; readonly width: Width; readonly what: "let" | "var" | "array" | "shared" };
type Names = { readonly outer: Names | null; readonly here: Map<string, Held> };

export function check(p: LaneProgram): readonly string[] {
  const wrong: string[] = [];
  const say = (what: string): void => {
    wrong.push(`kernel ${p.name}: ${what}`);
  };
  const find = (n: Names | null, name: string): Held | undefined =>
    n?.here.get(name) ?? (n ? find(n.outer, name) : undefined);
  const bind = (n: Names, name: string, held: Held): void => {
    if (find(n, name)) say(`${name} is bound twice`);
    n.here.set(name, held);
  };
  const use = (n: Names, name: string, array: boolean): Held | undefined => {
    const held = find(n, name);
    if (!held) say(`${name} is used where it is not bound`);
    else if ((held.what === "array" || held.what === "shared") !== array)
      say(`${name} is ${array ? "no array" : "an array"}`);
    return held;
  };

  /** Shared arrays of 16-bit elements. */
  const halves = new Set<string>();
  const register = (n: Names, name: string, type: LaneType): void => {
    const held = use(n, name, true);
    if (held && (held.what !== "array" || held.type !== type)) say(`${name} is no array of ${type} of the thread`);
  };
  const sharedHalf = (n: Names, name: string): void => {
    use(n, name, true);
    if (!halves.has(name)) say(`${name} is no shared array of 16-bit elements`);
  };

  const barrier = (n: Names, b: Barrier): void => {
    use(n, b.name, true);
    index(n, b.at);
  };
  const matrix = (n: Names, m: SharedMatrix): void => {
    sharedHalf(n, m.shared);
    index(n, m.at);
    index(n, m.step);
  };

  const expr = (n: Names, e: Expr): void => {
    switch (e.kind) {
      case "lit":
        return;
      case "ref": {
        const held = use(n, e.name, false);
        if (held && (held.type !== e.type || held.width !== e.width))
          say(`${e.name} is ${held.type} × ${held.width}, used as ${e.type} × ${e.width}`);
        return;
      }
      case "elem": {
        const held = use(n, e.array, true);
        if (held && (held.type !== e.type || held.width !== e.width))
          say(`${e.array} holds ${held.type} × ${held.width}, read as ${e.type} × ${e.width}`);
        index(n, e.index);
        return;
      }
      case "load":
        if (!p.buffers[e.buffer]) say(`buffer ${e.buffer} does not exist`);
        else if (e.width === 8 && !isHalf(p.buffers[e.buffer]!.dtype)) say("eight at once are of 16 bits");
        else if (e.width === 4 && !p.unaligned && !p.mixed && !p.buffers[e.buffer]!.vector)
          say(`${p.buffers[e.buffer]!.name} is read by fours`);
        index(n, e.index);
        return;
      case "op":
        for (const a of e.args) expr(n, a);
        if (e.op !== "dot" && e.width !== (e.args.some((a) => a.width === 4) ? 4 : 1))
          say(`${e.op} of widths ${e.args.map((a) => a.width).join(", ")} gives ${e.width}`);
        return;
      case "cast":
        expr(n, e.arg);
        if (e.arg.width !== e.width) say("a cast changes width");
        return;
      case "component":
        expr(n, e.arg);
        if (e.arg.width !== 4 && e.arg.width !== 8) say("a component is taken of a scalar");
        if (typeof e.at !== "number") index(n, e.at);
        return;
      case "vec":
        for (const a of e.args) expr(n, a);
        if (e.args.length !== e.width || e.args.some((a) => a.width !== 1 || a.type !== e.type))
          say(`${e.width} scalars of one type make a group`);
        return;
      case "pack":
        for (const a of [e.low, e.high]) {
          expr(n, a);
          if (a.type !== "f32" || a.width !== 1) say(`a pair is made of two f32, not of ${a.type} × ${a.width}`);
        }
    }
  };
  const index = (n: Names, e: Expr): void => {
    expr(n, e);
    if (e.type !== "i32" || e.width !== 1) say(`an index is ${e.type} × ${e.width}`);
  };

  const block = (outer: Names, stmts: readonly LaneStmt[]): void => {
    const n: Names = { outer, here: new Map() };
    for (const s of stmts) statement(n, s);
  };
  const assign = (held: Held | undefined, name: string, value: Expr): void => {
    if (held && (held.type !== value.type || held.width !== value.width))
      say(`${name} is ${held.type} × ${held.width}, set to ${value.type} × ${value.width}`);
  };
  /** An array into which fours may be written anywhere. */
  const within = (held: Held | undefined, value: Expr): Held | undefined =>
    held && p.unaligned ? { ...held, width: value.width } : held;
  const statement = (n: Names, s: LaneStmt): void => {
    switch (s.kind) {
      case "let":
        expr(n, s.value);
        bind(n, s.name, { type: s.value.type, width: s.value.width, what: "let" });
        return;
      case "var":
        expr(n, s.value);
        assign({ type: s.type, width: s.width, what: "var" }, s.name, s.value);
        bind(n, s.name, { type: s.type, width: s.width, what: "var" });
        return;
      case "array":
        if (s.size < 1 || s.size % s.width !== 0) say(`${s.name} has ${s.size} elements in groups of ${s.width}`);
        bind(n, s.name, { type: s.type, width: s.width, what: "array" });
        return;
      case "set": {
        expr(n, s.value);
        const held = use(n, s.name, false);
        if (held?.what === "let") say(`${s.name} is a let, and set`);
        assign(held, s.name, s.value);
        return;
      }
      case "setElem":
        index(n, s.index);
        expr(n, s.value);
        assign(within(use(n, s.array, true), s.value), s.array, s.value);
        return;
      case "store": {
        index(n, s.index);
        expr(n, s.value);
        const b = p.buffers[s.buffer];
        if (!b || b.access === "read") say(`buffer ${b?.name ?? s.buffer} is only read, and stored to`);
        else if (!p.unaligned && !p.mixed && b.vector !== (s.value.width === 4))
          say(`${b.name} is stored to in groups of ${s.value.width}`);
        return;
      }
      case "for": {
        index(n, s.from);
        index(n, s.below);
        if (s.step < 1) say(`loop ${s.name} does not move`);
        const inside: Names = { outer: n, here: new Map() };
        bind(inside, s.name, { type: "i32", width: 1, what: "let" });
        block(inside, s.body);
        return;
      }
      case "if":
        expr(n, s.cond);
        if (s.cond.type !== "bool" || s.cond.width !== 1) say(`a branch goes by ${s.cond.type} × ${s.cond.width}`);
        block(n, s.then);
        block(n, s.else);
        return;
      case "while":
        expr(n, s.cond);
        if (s.cond.type !== "bool" || s.cond.width !== 1) say(`a loop goes by ${s.cond.type} × ${s.cond.width}`);
        block(n, s.body);
        return;
      case "shared":
        if (n.outer !== top) say(`${s.name} is shared, and declared inside`);
        if (s.size % s.width !== 0) say(`${s.name} has ${s.size} elements in groups of ${s.width}`);
        if (isHalf(s.dtype)) halves.add(s.name);
        bind(n, s.name, { type: laneType(s.dtype), width: s.width, what: "shared" });
        return;
      case "copy": {
        use(n, s.shared, true);
        index(n, s.at);
        index(n, s.from);
        if (s.valid) expr(n, s.valid);
        if (!p.buffers[s.buffer]) say(`buffer ${s.buffer} does not exist`);
        return;
      }
      case "matrices":
        register(n, s.to, "pair");
        sharedHalf(n, s.shared);
        index(n, s.at);
        index(n, s.from);
        return;
      case "mma":
        register(n, s.to, "f32");
        register(n, s.a, "pair");
        register(n, s.b, "pair");
        for (const at of [s.at, s.aAt, s.bAt]) index(n, at);
        return;
      case "roles":
        block(n, s.fetching);
        block(n, s.computing);
        return;
      case "mbarriers":
        if (n.outer !== top) say(`${s.name} is shared, and declared inside`);
        bind(n, s.name, { type: "i32", width: 1, what: "shared" });
        return;
      case "fetch":
        use(n, s.shared, true);
        for (const e of [s.at, ...s.place]) index(n, e);
        barrier(n, s.barrier);
        if (s.place.length !== p.tensors?.[s.tensor]?.box.length) say(`a box of tensor ${s.tensor} has another rank`);
        return;
      case "await":
        index(n, s.parity);
        barrier(n, s.barrier);
        return;
      case "expect":
      case "release":
        barrier(n, s.barrier);
        return;
      case "wgmma":
        register(n, s.to, "f32");
        index(n, s.at);
        expr(n, s.add);
        if ("shared" in s.a) matrix(n, s.a);
        else {
          register(n, s.a.name, "pair");
          index(n, s.a.at);
        }
        matrix(n, s.b);
        if (s.columns % 16 !== 0 || s.columns > 256) say(`a product has ${s.columns} columns`);
        return;
      case "barrier":
      case "commit":
      case "wait":
      case "fence":
      case "commitProducts":
      case "waitProducts":
      case "turn":
      case "continue":
      case "comment":
    }
  };

  const top: Names = { outer: null, here: new Map() };
  for (const name of ["group", "lane", "quad", "warpgroup", ...p.scalars.map((s) => s.name)])
    bind(top, name, { type: "i32", width: 1, what: "let" });
  block(top, p.body);
  return wrong;
}
