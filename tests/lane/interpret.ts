/**
 * What a Lane program does, in float64: the threads of a workgroup in lockstep, so that what four of them hand round is
 * there. Names are resolved by scope, as a dialect would; a read or write outside of an array, or an element that is
 * written twice, is an error.
 */
import { invariant } from "../../compiler/base/invariant.ts";
import { isHalf, rounded } from "../../compiler/core/half.ts";
import type { DType } from "../../compiler/core/ir.ts";
import type { NDArray } from "../../compiler/core/ndarray.ts";
import type { Expr, LaneProgram, LaneStmt, LaneType } from "../../compiler/lane/ir.ts";
import { countSectors, type Traffic } from "./sectors.ts";
import {
  ask,
  clearShared,
  commit,
  declareShared,
  readShared,
  startCopy,
  together,
  type Workgroup,
  wait,
  workgroup,
  writeShared,
} from "./workgroup.ts";

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
  readonly shared: Workgroup;
  readonly traffic: Traffic;
  readonly sharedTypes: Map<string, DType>;
  /** Threads that left the round of the innermost loop. */
  leaving: boolean[];
  readonly order: readonly number[];
  /** Of each thread: its place in `order`. */
  readonly seat: readonly number[];
};

/**
 * Runs all workgroups; returns the contents of the buffers after, in their order. `order`: the threads in the order in which
 * the device puts them into subgroups, whose quads are fours of them; by their number when left out. `lanes`: the number
 * that each thread goes by, likewise. `onEnd` is told what was asked of shared memory, and of memory.
 */
export function interpret(
  program: LaneProgram,
  buffers: readonly NDArray[],
  scalars: readonly number[],
  order: readonly number[] = Array.from({ length: program.threads }, (_, t) => t),
  lanes: readonly number[] = order.map((_, t) => t),
  onEnd: (shared: Workgroup, traffic: Traffic) => void = () => {},
): NDArray[] {
  const threads = program.threads;
  const seat = order.map((_, t) => order.indexOf(t));
  const m: Machine = {
    program,
    threads,
    group: { number: 0 },
    scalars,
    buffers: buffers.map((b) => ({ ...b, data: b.data.slice() })),
    written: buffers.map(() => new Set()),
    arrays: new Map(),
    shared: workgroup(threads),
    traffic: { sectors: 0 },
    sharedTypes: new Map(),
    leaving: Array(threads).fill(false),
    order,
    seat,
  };
  const each = (f: (t: number) => number): number[][] => Array.from({ length: threads }, (_, t) => [f(t)]);
  const group: Slot = { value: [] };
  const names = new Map<string, Slot>([
    ["lane", { value: each((t) => lanes[t]!) }],
    ["quad", { value: each((t) => seat[t]! % 4) }],
    ["group", group],
    ...program.scalars.map((s, k): [string, Slot] => [s.name, { value: each(() => scalars[k]!) }]),
  ]);
  const body = block(m, program.body, names);
  for (let g = 0; g < program.groups; g++) {
    group.value = each(() => g);
    for (const a of m.arrays.values()) for (const own of a) own.fill(Number.NaN);
    clearShared(m.shared);
    body(Array(threads).fill(true));
  }
  onEnd(m.shared, m.traffic);
  return [...m.buffers];
}

/** The numbers of the threads that take part. */
const chosen = (mask: Mask, at: Numbers): readonly (number | undefined)[] =>
  mask.map((on, t) => (on ? at[t]![0] : undefined));

/** What memory of a dtype keeps of a number: 16-bit floats round. */
export const stored = (x: number, dtype: DType): number => (isHalf(dtype) ? rounded(x, dtype) : x);

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
      const [index, value] = [expr(m, s.index, names), expr(m, s.value, names)];
      if (m.shared.arrays.has(s.array))
        return (mask) => {
          const [at, xs] = [index(mask), value(mask)];
          const dtype = m.sharedTypes.get(s.array)!;
          each(mask, (t) => {
            for (const [k, place] of together(m.shared, s.array, at[t]![0]!, s.value.width).entries())
              writeShared(m.shared, s.array, place, t, stored(xs[t]![k]!, dtype));
          });
        };
      const array = arrayOf(m, s.array);
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
        const { dtype } = m.program.buffers[s.buffer]!;
        countSectors(m.traffic, chosen(mask, at), s.value.width, dtype);
        each(mask, (t) => {
          const first = place(at[t]![0]!, s.value.width, data.length, m.program.buffers[s.buffer]!.name);
          xs[t]!.forEach((x, k) => {
            invariant(!m.written[s.buffer]!.has(first + k), `element ${first + k} is written twice`);
            m.written[s.buffer]!.add(first + k);
            data[first + k] = stored(x, dtype);
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
    case "while": {
      const cond = expr(m, s.cond, names);
      const body = block(m, s.body, names);
      return (mask) => {
        let on = mask;
        for (let rounds = 0; ; rounds++) {
          invariant(rounds < 1e5, "a loop ends");
          const c = cond(on);
          on = on.map((x, t) => x && c[t]![0] === 1);
          if (!on.includes(true)) return;
          const before = m.leaving;
          m.leaving = Array(m.threads).fill(false);
          body(on);
          m.leaving = before;
        }
      };
    }
    case "shared":
      declareShared(m.shared, s.name, s.size, s.width);
      m.sharedTypes.set(s.name, s.dtype);
      return () => {};
    case "barrier":
      return (mask) => {
        invariant(!mask.includes(false), "all threads come to a barrier");
        m.shared.epoch++;
      };
    case "copy": {
      const [at, from] = [expr(m, s.at, names), expr(m, s.from, names)];
      const valid = s.valid && expr(m, s.valid, names);
      const b = m.program.buffers[s.buffer]!;
      const bytes = s.count * (b.dtype === "bf16" || b.dtype === "f16" ? 2 : 4);
      invariant([4, 8, 16].includes(bytes), `${bytes} bytes cannot be copied at once`);
      return (mask) => {
        const [to, first, ok] = [at(mask), from(mask), valid?.(mask)];
        const { data } = m.buffers[s.buffer]!;
        each(mask, (t) => {
          place(to[t]![0]!, s.count, Infinity, s.shared);
          const read = !ok || ok[t]![0] === 1;
          if (read) place(first[t]![0]!, s.count, data.length, b.name);
          const values = Array.from({ length: s.count }, (_, k) => (read ? data[first[t]![0]! + k]! : 0));
          startCopy(m.shared, s.shared, to[t]![0]!, t, values);
        });
      };
    }
    case "commit":
      return (mask) => each(mask, (t) => commit(m.shared, t));
    case "wait":
      return (mask) => each(mask, (t) => wait(m.shared, t, s.left));
    case "matrices": {
      const [at, from] = [expr(m, s.at, names), expr(m, s.from, names)];
      const to = arrayOf(m, s.to);
      return (mask) => {
        const [first, rows] = [at(mask), from(mask)];
        each(mask, (t) => {
          invariant(mask[t - (t % 32)], "a warp reads matrices together");
          for (let k = 0; k < 4; k++) {
            const halves = [0, 1].map((h) => {
              let [row, column] = [Math.floor((t % 32) / 4), 2 * (t % 4) + h];
              if (s.transposed) [row, column] = [column, row];
              const start = place(rows[t - (t % 32) + 8 * k + row]![0]!, 8, Infinity, s.shared);
              return readShared(m.shared, s.shared, start + column, t);
            });
            (to[t] as unknown[])[first[t]![0]! + k] = halves;
          }
        });
      };
    }
    // What warpgroups do runs on the stand-in (tests/cuda).
    case "roles":
    case "mbarriers":
    case "fetch":
    case "expect":
    case "await":
    case "release":
    case "wgmma":
    case "fence":
    case "commitProducts":
    case "waitProducts":
    case "turn":
      throw new Error(`${s.kind} is not interpreted`);
    case "mma": {
      const [at, aAt, bAt] = [s.at, s.aAt, s.bAt].map((e) => expr(m, e, names));
      const [to, a, b] = [s.to, s.a, s.b].map((name) => arrayOf(m, name) as unknown as (number & number[])[][]);
      return (mask) => {
        const [i, j, k] = [at!(mask), aAt!(mask), bAt!(mask)];
        for (let w = 0; w < m.threads; w += 32) {
          if (!mask[w]) continue;
          invariant(!mask.slice(w, w + 32).includes(false), "a warp multiplies together");
          const left = matrix(
            16,
            16,
            (t, r) => [(t >> 2) + 8 * (r & 1), 2 * (t & 3) + 8 * (r >> 1), a![w + t]![j[w + t]![0]! + r]!],
            4,
          );
          const right = matrix(8, 16, (t, r) => [t >> 2, 2 * (t & 3) + 8 * r, b![w + t]![k[w + t]![0]! + r]!], 2);
          for (let t = 0; t < 32; t++)
            for (let r = 0; r < 4; r++) {
              const [row, column] = [(t >> 2) + 8 * (r >> 1), 2 * (t & 3) + (r & 1)];
              const place = i[w + t]![0]! + r;
              invariant(place < to![w + t]!.length, `${s.to}[${place}] of ${to![w + t]!.length}`);
              const sum = left[row]!.reduce((n, x, kk) => n + x * right[column]![kk]!, 0);
              (to![w + t]! as number[])[place] = (to![w + t]![place] as number) + sum;
            }
        }
      };
    }
  }
}
/** Rows of a factor, k along each, from the pairs of a warp's threads. */
function matrix(
  rows: number,
  k: number,
  at: (t: number, r: number) => readonly [number, number, readonly number[]],
  registers: number,
): number[][] {
  const all = Array.from({ length: rows }, () => Array<number>(k).fill(Number.NaN));
  for (let t = 0; t < 32; t++)
    for (let r = 0; r < registers; r++) {
      const [row, column, pair] = at(t, r);
      invariant(Array.isArray(pair), "factors of a product are pairs");
      all[row]![column] = pair[0]!;
      all[row]![column + 1] = pair[1]!;
    }
  return all;
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
    case "pack": {
      const [low, high] = [expr(m, e.low, names), expr(m, e.high, names)];
      return (mask) => {
        const [x, y] = [low(mask), high(mask)];
        const half = (v: number): number => rounded(v, e.dtype);
        return mask.map((on, t) => (on ? ([[half(x[t]![0]!), half(y[t]![0]!)]] as unknown as number[]) : []));
      };
    }
    case "elem":
    case "load": {
      if (e.kind === "elem" && m.shared.arrays.has(e.array)) {
        const at = expr(m, e.index, names);
        return (mask) => {
          const places = at(mask);
          ask(m.shared, chosen(mask, places), e.width);
          const read = (t: number): number[] =>
            together(m.shared, e.array, places[t]![0]!, e.width).map((at) => readShared(m.shared, e.array, at, t));
          return mask.map((on, t) => (on ? read(t) : []));
        };
      }
      const index = expr(m, e.index, names);
      const [name, width] = [e.kind === "elem" ? e.array : m.program.buffers[e.buffer]!.name, e.width];
      const array = e.kind === "elem" ? arrayOf(m, e.array) : undefined;
      return (mask) => {
        const at = index(mask);
        if (e.kind === "load") countSectors(m.traffic, chosen(mask, at), width, m.program.buffers[e.buffer]!.dtype);
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
      invariant(e.arg.width === 4 || e.arg.width === 8, "a component is one of four, or eight");
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
        const from = m.order[m.seat[t]! - (m.seat[t]! % 4) + k[t]![0]!]!;
        invariant(mask[from], "the four threads that hand values round are all there");
        return xs[from]!;
      });
    };
  if (e.op === "shuffle_xor")
    return (mask) => {
      const [xs, by] = [args[0]!(mask), args[1]!(mask)];
      return mask.map((on, t) => {
        if (!on) return [];
        const from = m.order[m.seat[t]! ^ by[t]![0]!]!;
        invariant(mask[from] && by[t]![0]! < 32, "the threads that exchange values are there, in one warp");
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
  xor: (x, y) => x! ^ y!,
  round_f16: (x) => rounded(x!, "f16"),
  round_bf16: (x) => rounded(x!, "bf16"),
  neg: (x) => -x!,
  abs: (x) => Math.abs(x!),
  exp: (x) => Math.exp(x!),
  exp2: (x) => 2 ** x!,
  log: (x) => Math.log(x!),
  tanh: (x) => Math.tanh(x!),
  log2: (x) => Math.log2(x!),
  sin: (x) => Math.sin(x!),
  cos: (x) => Math.cos(x!),
  sign: (x) => Math.sign(x!),
  pow: (x, y) => x! ** y!,
  rsqrt: (x) => 1 / Math.sqrt(x!),
  sigmoid: (x) => 1 / (1 + Math.exp(-x!)),
  floor: (x) => Math.floor(x!),
  sqrt: (x) => Math.sqrt(x!),
  select: (c, x, y) => (c ? x! : y!),
};
