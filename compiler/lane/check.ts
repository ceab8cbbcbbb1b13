/**
 * What holds of every lane program: a name is bound once, before its use, in a scope around it; widths and types agree;
 * only what is written is stored to. Returns what is wrong, in order.
 */
import { isHalf } from "../core/half.ts";
import { laneType } from "./expr.ts";
import type { Barrier, Expr, LaneProgram, LaneStmt, LaneType, SharedMatrix, Width } from "./ir.ts";

type Held = { readonly type: LaneType; readonly width: Width; readonly what: "let" | "var" | "array" | "shared" };

export function check(p: LaneProgram): readonly string[] {
  const wrong: string[] = [];
  const say = (what: string): void => {
    wrong.push(`kernel ${p.name}: ${what}`);
  };
  /** What can be seen here; `here`: the names that the innermost block has bound, which go with it. */
  const names = new Map<string, Held>();
  let here: string[] = [];
  let depth = 0;
  const within = (body: () => void): void => {
    const around = here;
    here = [];
    depth++;
    body();
    for (const name of here) names.delete(name);
    here = around;
    depth--;
  };
  const bind = (name: string, held: Held): void => {
    if (names.has(name)) say(`${name} is bound twice`);
    names.set(name, held);
    here.push(name);
  };
  const use = (name: string, array: boolean): Held | undefined => {
    const held = names.get(name);
    if (!held) say(`${name} is used where it is not bound`);
    else if ((held.what === "array" || held.what === "shared") !== array)
      say(`${name} is ${array ? "no array" : "an array"}`);
    return held;
  };

  /** Shared arrays of 16-bit elements. */
  const halves = new Set<string>();
  const register = (name: string, type: LaneType): void => {
    const held = use(name, true);
    if (held && (held.what !== "array" || held.type !== type)) say(`${name} is no array of ${type} of the thread`);
  };
  const sharedHalf = (name: string): void => {
    use(name, true);
    if (!halves.has(name)) say(`${name} is no shared array of 16-bit elements`);
  };

  const barrier = (b: Barrier): void => {
    use(b.name, true);
    index(b.at);
  };
  const matrix = (m: SharedMatrix): void => {
    sharedHalf(m.shared);
    index(m.at);
    index(m.step);
  };

  const expr = (e: Expr): void => {
    switch (e.kind) {
      case "lit":
        return;
      case "ref": {
        const held = use(e.name, false);
        if (held && (held.type !== e.type || held.width !== e.width))
          say(`${e.name} is ${held.type} × ${held.width}, used as ${e.type} × ${e.width}`);
        return;
      }
      case "elem": {
        const held = use(e.array, true);
        if (held && (held.type !== e.type || held.width !== e.width))
          say(`${e.array} holds ${held.type} × ${held.width}, read as ${e.type} × ${e.width}`);
        index(e.index);
        return;
      }
      case "load":
        if (!p.buffers[e.buffer]) say(`buffer ${e.buffer} does not exist`);
        else if (e.width === 8 && !isHalf(p.buffers[e.buffer]!.dtype)) say("eight at once are of 16 bits");
        else if (e.width === 4 && !p.unaligned && !p.mixed && !p.buffers[e.buffer]!.vector)
          say(`${p.buffers[e.buffer]!.name} is read by fours`);
        index(e.index);
        return;
      case "op":
        for (const a of e.args) expr(a);
        if (e.op !== "dot" && e.width !== (e.args.some((a) => a.width === 4) ? 4 : 1))
          say(`${e.op} of widths ${e.args.map((a) => a.width).join(", ")} gives ${e.width}`);
        return;
      case "cast":
        expr(e.arg);
        if (e.arg.width !== e.width) say("a cast changes width");
        return;
      case "component":
        expr(e.arg);
        if (e.arg.width !== 4 && e.arg.width !== 8) say("a component is taken of a scalar");
        if (typeof e.at !== "number") index(e.at);
        return;
      case "vec":
        for (const a of e.args) expr(a);
        if (e.args.length !== e.width || e.args.some((a) => a.width !== 1 || a.type !== e.type))
          say(`${e.width} scalars of one type make a group`);
        return;
      case "pack":
        for (const a of [e.low, e.high]) {
          expr(a);
          if (a.type !== "f32" || a.width !== 1) say(`a pair is made of two f32, not of ${a.type} × ${a.width}`);
        }
    }
  };
  const index = (e: Expr): void => {
    expr(e);
    if (e.type !== "i32" || e.width !== 1) say(`an index is ${e.type} × ${e.width}`);
  };

  const block = (stmts: readonly LaneStmt[]): void =>
    within(() => {
      for (const s of stmts) statement(s);
    });
  const assign = (held: Held | undefined, name: string, value: Expr): void => {
    if (held && (held.type !== value.type || held.width !== value.width))
      say(`${name} is ${held.type} × ${held.width}, set to ${value.type} × ${value.width}`);
  };
  /** An array into which fours may be written anywhere. */
  const anywhere = (held: Held | undefined, value: Expr): Held | undefined =>
    held && p.unaligned ? { ...held, width: value.width } : held;
  const statement = (s: LaneStmt): void => {
    switch (s.kind) {
      case "let":
        expr(s.value);
        bind(s.name, { type: s.value.type, width: s.value.width, what: "let" });
        return;
      case "var":
        expr(s.value);
        assign({ type: s.type, width: s.width, what: "var" }, s.name, s.value);
        bind(s.name, { type: s.type, width: s.width, what: "var" });
        return;
      case "array":
        if (s.size < 1 || s.size % s.width !== 0) say(`${s.name} has ${s.size} elements in groups of ${s.width}`);
        bind(s.name, { type: s.type, width: s.width, what: "array" });
        return;
      case "set": {
        expr(s.value);
        const held = use(s.name, false);
        if (held?.what === "let") say(`${s.name} is a let, and set`);
        assign(held, s.name, s.value);
        return;
      }
      case "setElem":
        index(s.index);
        expr(s.value);
        assign(anywhere(use(s.array, true), s.value), s.array, s.value);
        return;
      case "store": {
        index(s.index);
        expr(s.value);
        const b = p.buffers[s.buffer];
        if (!b || b.access === "read") say(`buffer ${b?.name ?? s.buffer} is only read, and stored to`);
        else if (!p.unaligned && !p.mixed && b.vector !== (s.value.width === 4))
          say(`${b.name} is stored to in groups of ${s.value.width}`);
        return;
      }
      case "for": {
        index(s.from);
        index(s.below);
        if (s.step < 1) say(`loop ${s.name} does not move`);
        within(() => {
          bind(s.name, { type: "i32", width: 1, what: "let" });
          block(s.body);
        });
        return;
      }
      case "if":
        expr(s.cond);
        if (s.cond.type !== "bool" || s.cond.width !== 1) say(`a branch goes by ${s.cond.type} × ${s.cond.width}`);
        block(s.then);
        block(s.else);
        return;
      case "while":
        expr(s.cond);
        if (s.cond.type !== "bool" || s.cond.width !== 1) say(`a loop goes by ${s.cond.type} × ${s.cond.width}`);
        block(s.body);
        return;
      case "shared":
        if (depth > 1) say(`${s.name} is shared, and declared inside`);
        if (s.size % s.width !== 0) say(`${s.name} has ${s.size} elements in groups of ${s.width}`);
        if (isHalf(s.dtype)) halves.add(s.name);
        bind(s.name, { type: laneType(s.dtype), width: s.width, what: "shared" });
        return;
      case "copy": {
        use(s.shared, true);
        index(s.at);
        index(s.from);
        if (s.valid) expr(s.valid);
        if (!p.buffers[s.buffer]) say(`buffer ${s.buffer} does not exist`);
        return;
      }
      case "matrices":
        register(s.to, "pair");
        sharedHalf(s.shared);
        index(s.at);
        index(s.from);
        return;
      case "mma":
        register(s.to, "f32");
        register(s.a, "pair");
        register(s.b, "pair");
        for (const at of [s.at, s.aAt, s.bAt]) index(at);
        return;
      case "roles":
        block(s.fetching);
        block(s.computing);
        return;
      case "mbarriers":
        if (depth > 1) say(`${s.name} is shared, and declared inside`);
        bind(s.name, { type: "i32", width: 1, what: "shared" });
        return;
      case "fetch":
        use(s.shared, true);
        for (const e of [s.at, ...s.place]) index(e);
        barrier(s.barrier);
        if (s.place.length !== p.tensors?.[s.tensor]?.box.length) say(`a box of tensor ${s.tensor} has another rank`);
        return;
      case "await":
        index(s.parity);
        barrier(s.barrier);
        return;
      case "expect":
      case "release":
        barrier(s.barrier);
        return;
      case "wgmma":
        register(s.to, "f32");
        index(s.at);
        expr(s.add);
        if ("shared" in s.a) matrix(s.a);
        else {
          register(s.a.name, "pair");
          index(s.a.at);
        }
        matrix(s.b);
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

  for (const name of ["group", "lane", "quad", "warpgroup", ...p.scalars.map((s) => s.name)])
    bind(name, { type: "i32", width: 1, what: "let" });
  block(p.body);
  return wrong;
}
