/** Statements of Lane: locals, loops, branches, and stores. */
import { InvariantError } from "../../base/invariant.ts";
import type { LaneStmt } from "../../lane/ir.ts";
import { type Code, i32, op } from "./code.ts";
import { declare, type Emit, get, type Local, memory, scalarType, set, setNew } from "./context.ts";
import { elementPlace, store } from "./memory.ts";

/** Runs `body` with `counter` from what it is to before `below`. `empty`: it may be that there is nothing to do. */
export function upTo(e: Emit, counter: Local, below: Code, step: number, empty: boolean, body: () => void): void {
  const label = `${counter.name}${e.labels++}`;
  const outer = e.out;
  e.out = [];
  body();
  const inside = e.out;
  e.out = outer;
  const again: Code = { kind: "br", label, cond: op("i32.lt_s", [get(counter), below]) };
  const loop: Code = {
    kind: "loop",
    label,
    body: [...inside, set(counter, op("i32.add", [get(counter), i32(step)])), again],
  };
  e.out.push(empty ? { kind: "if", cond: op("i32.lt_s", [get(counter), below]), then: [loop], else: [] } : loop);
}

export function block(e: Emit, stmts: readonly LaneStmt[]): void {
  for (const s of stmts) statement(e, s);
}
function inside(e: Emit, stmts: readonly LaneStmt[]): readonly Code[] {
  const outer = e.out;
  e.out = [];
  block(e, stmts);
  const body = e.out;
  e.out = outer;
  return body;
}
const leaves = (stmts: readonly LaneStmt[]): boolean =>
  stmts.some((s) => s.kind === "continue" || (s.kind === "if" && (leaves(s.then) || leaves(s.else))));
/** The block that `continue` goes to the end of. */
const NEXT = "next";

function statement(e: Emit, s: LaneStmt): void {
  switch (s.kind) {
    case "let": {
      const { type, width: w } = s.value;
      if (w === 4) declare(e, s.name, type, 4, e.wide(s.value));
      else {
        const uses = e.uses.get(s.name);
        const only = uses && uses.wide > 0 && uses.scalar === 0;
        declare(e, s.name, type, 1, only ? i32(0) : e.scalar(s.value), () => e.wide(s.value));
      }
      return;
    }
    case "var": {
      const type = s.width === 4 ? "v128" : scalarType(s.type);
      e.names.set(s.name, { own: setNew(e, s.name, type, s.width === 4 ? e.wide(s.value) : e.scalar(s.value)) });
      return;
    }
    case "array":
      e.scratch = (e.scratch + 15) & ~15;
      e.arrays.set(s.name, { offset: e.scratch, type: s.type });
      e.scratch += 4 * s.size;
      e.out.push({ kind: "note", text: `${s.name}: ${s.size} elements` });
      return;
    case "set":
      e.out.push(set(e.names.get(s.name)!.own!, s.value.width === 4 ? e.wide(s.value) : e.scalar(s.value)));
      return;
    case "setElem": {
      const place = elementPlace(e, s.array, s.index);
      const name = s.array;
      if (s.value.width === 4) e.out.push(memory("v128.store", [place.base, e.wide(s.value)], place.offset, name));
      else
        e.out.push(
          memory(
            s.value.type === "f32" ? "f32.store" : "i32.store",
            [place.base, e.scalar(s.value)],
            place.offset,
            name,
          ),
        );
      return;
    }
    case "store":
      store(e, s.buffer, s.index, s.value);
      return;
    case "for": {
      const counter = setNew(e, s.name, "i32", e.scalar(s.from));
      const uses = e.uses.get(s.name);
      e.names.set(s.name, { own: counter });
      const below =
        s.below.kind === "lit" ? i32(s.below.value) : get(setNew(e, `${s.name}_end`, "i32", e.scalar(s.below)));
      const runs = s.from.kind === "lit" && s.below.kind === "lit" && s.from.value < s.below.value;
      upTo(e, counter, below, s.step, !runs, () => {
        if (uses && uses.wide > 1)
          e.names.set(s.name, {
            own: counter,
            wide: setNew(e, `${s.name}_four`, "v128", op("i32x4.splat", [get(counter)])),
          });
        if (!leaves(s.body)) block(e, s.body);
        else e.out.push({ kind: "block", label: NEXT, body: inside(e, s.body) });
      });
      return;
    }
    case "if": {
      const cond = e.scalar(s.cond);
      e.out.push({ kind: "if", cond, then: inside(e, s.then), else: inside(e, s.else) });
      return;
    }
    case "continue":
      e.out.push({ kind: "br", label: NEXT });
      return;
    case "comment":
      e.out.push({ kind: "note", text: s.text });
      return;
    default:
      throw new InvariantError(`a thread of kernel ${e.program.name} is alone on a CPU, and there is no ${s.kind}`);
  }
}
