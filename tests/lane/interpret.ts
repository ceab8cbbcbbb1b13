/**
 * What a Lane program does, in float64: the threads of a workgroup in lockstep, so that what four of them hand round is
 * there. Names are resolved by scope, as a dialect would; a read or write outside of an array, or an element that is
 * written twice, is an error.
 */
import { invariant } from "../../compiler/base/invariant.ts";
import type { NDArray } from "../../compiler/core/ndarray.ts";
import type { Expr, LaneProgram, LaneStmt, LaneType } from "../../compiler/lane/ir.ts";

/** For each thread: one number, or four. */
type Numbers = readonly number[][];
/** The threads that take part. */
type Mask = readonly boolean[];
type Read = (m: Mask) => Numbers;
type Act = (m: Mask) => void;
type Slot = { value: number[][] };
type Names = ReadonlyMap<string, Slot>;

type Machine = {
  readonly program: LaneProgram;
  readonly threads: number;
  readonly group: { number: number };
  readonly scalars: readonly number[];
  readonly buffers: readonly NDArray[];
  readonly written: readonly Set<number>[];
  readonly arrays: Map<string, number[][]>;
  /** Threads that left the round of the innermost loop. */
  leaving: boolean[];
};

/** Runs all workgroups; returns the contents of the buffers after, in their order. */
export function interpret(program: LaneProgram, buffers: readonly NDArray[], scalars: readonly number[]): NDArray[] {
  const threads = program.threads;
  const m: Machine = {
    program,
    threads,
    group: { number: 0 },
    scalars,
    buffers: buffers.map((b) => ({ ...b, data: b.data.slice() })),
    written: buffers.map(() => new Set()),
    arrays: new Map(),
    leaving: Array(threads).fill(false),
  };
  const each = (f: (t: number) => number): number[][] => Array.from({ length: threads }, (_, t) => [f(t)]);
  const group: Slot = { value: [] };
  const names = new Map<string, Slot>([
    ["lane", { value: each((t) => t) }],
    ["quad", { value: each((t) => t % 4) }],
    ["group", group],
    ...program.scalars.map((s, k): [string, Slot] => [s.name, { value: each(() => scalars[k]!) }]),
  ]);
  const body = block(m, program.body, names);
  for (let g = 0; g < program.groups; g++) {
    group.value = each(() => g);
    for (const a of m.arrays.values()) for (const own of a) own.fill(Number.NaN);
    body(Array(threads).fill(true));
  }
  return [...m.buffers];
}

function block(m: Machine, stmts: readonly LaneStmt[], outer: Names): Act {
  const names = new Map(outer);
  const own = new Set<string>();
  const acts = stmts.map((s) => statement(m, s, names, own));
  return (mask) => {
    for (const act of acts) act(mask.map((on, t) => on && !m.leaving[t]));
  };
}
function declare(names: Map<string, Slot>, own: Set<string>, name: string): Slot {
  invariant(!own.has(name), `${name} is declared twice in a block`);
  own.add(name);
  const slot: Slot = { value: [] };
  names.set(name, slot);
  return slot;
}
function statement(m: Machine, s: LaneStmt, names: Map<string, Slot>, own: Set<string>): Act {
  switch (s.kind) {
    case "let":
    case "var": {
      const value = expr(m, s.value, names);
      if (s.kind === "var") invariant(s.width === s.value.width, `${s.name} is as wide as its first value`);
      if (s.kind === "var") invariant(s.type === s.value.type, `${s.name} has the type of its first value`);
      const slot = declare(names, own, s.name);
      return (mask) => put(slot, mask, value(mask));
    }
    case "set": {
      const slot = names.get(s.name);
      invariant(slot, `${s.name} is set where it is not known`);
      const value = expr(m, s.value, names);
      return (mask) => put(slot, mask, value(mask));
    }
    case "array": {
      m.arrays.set(
        s.name,
        Array.from({ length: m.threads }, () => Array(s.size).fill(Number.NaN)),
      );
      return () => {};
    }
    case "setElem": {
      const array = arrayOf(m, s.array);
      const [index, value] = [expr(m, s.index, names), expr(m, s.value, names)];
      return (mask) => {
        const [at, xs] = [index(mask), value(mask)];
        each(mask, (t) => {
          const first = place(at[t]![0]!, s.value.width, array[t]!.length, s.array);
          xs[t]!.forEach((x, k) => {
            array[t]![first + k] = x;
          });
        });
      };
    }
    case "store": {
      const [index, value] = [expr(m, s.index, names), expr(m, s.value, names)];
      const { data } = m.buffers[s.buffer]!;
      return (mask) => {
        const [at, xs] = [index(mask), value(mask)];
        each(mask, (t) => {
          const first = place(at[t]![0]!, s.value.width, data.length, m.program.buffers[s.buffer]!.name);
          xs[t]!.forEach((x, k) => {
            invariant(!m.written[s.buffer]!.has(first + k), `element ${first + k} is written twice`);
            m.written[s.buffer]!.add(first + k);
            data[first + k] = x;
          });
        });
      };
    }
    case "for": {
      const [from, below] = [expr(m, s.from, names), expr(m, s.below, names)];
      const inside = new Map(names);
      const counter: Slot = { value: [] };
      inside.set(s.name, counter);
      const body = block(m, s.body, inside);
      return (mask) => {
        put(counter, mask, from(mask));
        for (;;) {
          const end = below(mask);
          const on = mask.map((x, t) => x && counter.value[t]![0]! < end[t]![0]!);
          if (!on.includes(true)) return;
          const before = m.leaving;
          m.leaving = Array(m.threads).fill(false);
          body(on);
          m.leaving = before;
          each(on, (t) => {
            counter.value[t] = [counter.value[t]![0]! + s.step];
          });
        }
      };
    }
    case "if": {
      const cond = expr(m, s.cond, names);
      invariant(s.cond.type === "bool" && s.cond.width === 1, "a condition is one bool");
      const [then, otherwise] = [block(m, s.then, names), block(m, s.else, names)];
      return (mask) => {
        const c = cond(mask);
        then(mask.map((on, t) => on && c[t]![0] === 1));
        otherwise(mask.map((on, t) => on && c[t]![0] === 0));
      };
    }
    case "continue":
      return (mask) =>
        each(mask, (t) => {
          m.leaving[t] = true;
        });
    case "comment":
      return () => {};
  }
}
function put(slot: Slot, mask: Mask, xs: Numbers): void {
  const next = slot.value.slice();
  each(mask, (t) => {
    next[t] = xs[t]!;
  });
  slot.value = next;
}
function each(mask: Mask, f: (t: number) => void): void {
  for (const [t, on] of mask.entries()) if (on) f(t);
}
/** An index that is inside, and aligned where four are meant. */
function place(at: number, width: number, size: number, name: string): number {
  invariant(Number.isInteger(at) && at >= 0 && at + width <= size, `${name}[${at}] of ${size}, ${width} wide`);
  invariant(at % width === 0, `${name}[${at}] is not aligned to ${width}`);
  return at;
}
function arrayOf(m: Machine, name: string): number[][] {
  const array = m.arrays.get(name);
  invariant(array, `array ${name} is declared before it is used`);
  return array;
}

function expr(m: Machine, e: Expr, names: Names): Read {
  const map = (f: (t: number) => number[]): Read => {
    return (mask) => mask.map((on, t) => (on ? f(t) : []));
  };
  switch (e.kind) {
    case "lit":
      return map(() => [e.value]);
    case "ref": {
      const slot = names.get(e.name);
      invariant(slot, `${e.name} is read where it is not known`);
      return map((t) => {
        const x = slot.value[t];
        invariant(x?.length === e.width, `${e.name} is ${x?.length} wide, not ${e.width}`);
        return x;
      });
    }
    case "elem":
    case "load": {
      const index = expr(m, e.index, names);
      const [name, width] = [e.kind === "elem" ? e.array : m.program.buffers[e.buffer]!.name, e.width];
      const array = e.kind === "elem" ? arrayOf(m, e.array) : undefined;
      return (mask) => {
        const at = index(mask);
        return mask.map((on, t) => {
          if (!on) return [];
          const data = array ? array[t]! : m.buffers[(e as { buffer: number }).buffer]!.data;
          // Of an array, the group of four around an element may be asked for.
          const asked = at[t]![0]!;
          const first = place(array ? asked - (asked % width) : asked, width, data.length, name);
          return Array.from({ length: width }, (_, k) => data[first + k]!);
        });
      };
    }
    case "vec": {
      const args = e.args.map((a) => expr(m, a, names));
      invariant(
        e.args.every((a) => a.width === 1 && a.type === e.type),
        "a vector is made of scalars of its type",
      );
      return (mask) => {
        const xs = args.map((a) => a(mask));
        return mask.map((on, t) => (on ? xs.map((x) => x[t]![0]!) : []));
      };
    }
    case "component": {
      const arg = expr(m, e.arg, names);
      invariant(e.arg.width === 4, "a component is one of four");
      const at = typeof e.at === "number" ? undefined : expr(m, e.at, names);
      return (mask) => {
        const [xs, ks] = [arg(mask), at?.(mask)];
        return mask.map((on, t) => (on ? [xs[t]![ks ? ks[t]![0]! : (e.at as number)]!] : []));
      };
    }
    case "cast": {
      const arg = expr(m, e.arg, names);
      return (mask) => {
        const xs = arg(mask);
        return mask.map((on, t) => (on ? xs[t]!.map((x) => cast(x, e.type)) : []));
      };
    }
    case "op":
      return operation(m, e, names);
  }
}
const cast = (x: number, to: LaneType): number =>
  to === "f32" ? x : to === "bool" ? Number(x !== 0) : to === "i32" ? Math.trunc(x) | 0 : Math.trunc(x) >>> 0;

function operation(m: Machine, e: Extract<Expr, { kind: "op" }>, names: Names): Read {
  const args = e.args.map((a) => expr(m, a, names));
  if (e.op === "quad_broadcast")
    return (mask) => {
      const [xs, k] = [args[0]!(mask), args[1]!(mask)];
      return mask.map((on, t) => {
        if (!on) return [];
        const from = t - (t % 4) + k[t]![0]!;
        invariant(mask[from], "the four threads that hand values round are all there");
        return xs[from]!;
      });
    };
  if (e.op === "dot")
    return (mask) => {
      const [xs, ys] = [args[0]!(mask), args[1]!(mask)];
      return mask.map((on, t) => (on ? [xs[t]!.reduce((s, x, k) => s + x * ys[t]![k]!, 0)] : []));
    };
  const f = meaning(e.op, e.args[0]!.type);
  return (mask) => {
    const xs = args.map((a) => a(mask));
    return mask.map((on, t) => {
      if (!on) return [];
      return Array.from({ length: e.width }, (_, k) => {
        const one = f(...xs.map((x) => (x[t]!.length === 1 ? x[t]![0]! : x[t]![k]!)));
        return e.type === "i32" ? one | 0 : e.type === "u32" ? one >>> 0 : one;
      });
    });
  };
}
function meaning(op: string, type: LaneType): (...x: number[]) => number {
  const integer = type === "i32" || type === "u32";
  if (op === "mul" && integer) return (x, y) => Math.imul(x!, y!);
  if (op === "div" && integer) return (x, y) => Math.floor(x! / y!);
  const f = table[op];
  invariant(f, `op ${op} has a meaning`);
  return f;
}
const table: Readonly<Record<string, (...x: number[]) => number>> = {
  add: (x, y) => x! + y!,
  sub: (x, y) => x! - y!,
  mul: (x, y) => x! * y!,
  div: (x, y) => x! / y!,
  mod: (x, y) => x! - y! * Math.floor(x! / y!),
  min: (x, y) => Math.min(x!, y!),
  max: (x, y) => Math.max(x!, y!),
  eq: (x, y) => +(x! === y!),
  ne: (x, y) => +(x! !== y!),
  lt: (x, y) => +(x! < y!),
  le: (x, y) => +(x! <= y!),
  gt: (x, y) => +(x! > y!),
  ge: (x, y) => +(x! >= y!),
  and: (x, y) => x! & y!,
  or: (x, y) => x! | y!,
  not: (x) => 1 - x!,
  neg: (x) => -x!,
  abs: (x) => Math.abs(x!),
  exp: (x) => Math.exp(x!),
  exp2: (x) => 2 ** x!,
  log: (x) => Math.log(x!),
  tanh: (x) => Math.tanh(x!),
  floor: (x) => Math.floor(x!),
  sqrt: (x) => Math.sqrt(x!),
  select: (c, x, y) => (c ? x! : y!),
};
