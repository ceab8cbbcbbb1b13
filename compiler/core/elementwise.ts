/**
 * What the elementwise ops mean, one line for each: a loop over `n` elements, with a step for each operand
 * (0 where a scalar stretches). The loops are written out because a call for each element would cost more than it does.
 */
import { inClass } from "./dtype.ts";
import { isHalf, rounded } from "./half.ts";
import type { Binary, DType, Unary } from "./ir.ts";
import {
  broadcastShapes,
  broadcastStrides,
  broadcastTo,
  elements,
  type NDArray,
  nest,
  rows,
  sameShape,
  stridesOf,
} from "./ndarray.ts";

type F = Float64Array;
type Row1 = (n: number, o: F, a: F) => void;
type Row2 = (n: number, o: F, p: number, a: F, i: number, di: number, b: F, j: number, dj: number) => void;

const unaryRows: { readonly [K in Unary]: Row1 } = {
  neg: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = -a[k]!;
  },
  not: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = a[k] === 0 ? 1 : 0;
  },
  exp: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.exp(a[k]!);
  },
  exp2: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = 2 ** a[k]!;
  },
  log: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.log(a[k]!);
  },
  log2: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.log2(a[k]!);
  },
  sqrt: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.sqrt(a[k]!);
  },
  rsqrt: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = 1 / Math.sqrt(a[k]!);
  },
  tanh: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.tanh(a[k]!);
  },
  sigmoid: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = 1 / (1 + Math.exp(-a[k]!));
  },
  sin: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.sin(a[k]!);
  },
  cos: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.cos(a[k]!);
  },
  abs: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.abs(a[k]!);
  },
  floor: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.floor(a[k]!);
  },
  sign: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = Math.sign(a[k]!);
  },
  stop_gradient: (n, o, a) => {
    for (let k = 0; k < n; k++) o[k] = a[k]!;
  },
};

const binaryRows: { readonly [K in Binary]: Row2 } = {
  add: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! + b[j]!;
  },
  sub: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! - b[j]!;
  },
  mul: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! * b[j]!;
  },
  div: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! / b[j]!;
  },
  mod: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = modulo(a[i]!, b[j]!);
  },
  pow: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! ** b[j]!;
  },
  min: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = Math.min(a[i]!, b[j]!);
  },
  max: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = Math.max(a[i]!, b[j]!);
  },
  eq: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! === b[j]! ? 1 : 0;
  },
  ne: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! !== b[j]! ? 1 : 0;
  },
  lt: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! < b[j]! ? 1 : 0;
  },
  le: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! <= b[j]! ? 1 : 0;
  },
  gt: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! > b[j]! ? 1 : 0;
  },
  ge: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! >= b[j]! ? 1 : 0;
  },
  and: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! !== 0 && b[j]! !== 0 ? 1 : 0;
  },
  or: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = a[i]! !== 0 || b[j]! !== 0 ? 1 : 0;
  },
};

/** The ops whose meaning on integers is not the one on floats, rounded into 32 bits. */
const integerRows: Partial<{ readonly [K in Binary]: Row2 }> = {
  mul: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = Math.imul(a[i]!, b[j]!);
  },
  div: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = b[j] === 0 ? 0 : Math.floor(a[i]! / b[j]!);
  },
  mod: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = b[j] === 0 ? 0 : modulo(a[i]!, b[j]!);
  },
  pow: (n, o, p, a, i, di, b, j, dj) => {
    for (let k = 0; k < n; k++, i += di, j += dj) o[p + k] = integerPower(a[i]!, b[j]!);
  },
};

/** The remainder with the divisor's sign: x - floor(x/y)*y. */
function modulo(x: number, y: number): number {
  const r = x % y;
  return r !== 0 && r < 0 !== y < 0 ? r + y : r + 0;
}
/** x^y in 32 bits by squaring; a negative power is 0, but for ±1. */
function integerPower(x: number, y: number): number {
  if (y < 0) return x === 1 ? 1 : x === -1 ? (y % 2 === 0 ? 1 : -1) : 0;
  let result = 1;
  for (let base = x | 0, n = y; n > 0; n = Math.floor(n / 2), base = Math.imul(base, base))
    if (n % 2 === 1) result = Math.imul(result, base);
  return result;
}

/** Wraps exact integers into the dtype's 32 bits, in place; other dtypes stay. */
export function wrap(dtype: DType, data: Float64Array): void {
  if (dtype === "i32") for (let k = 0; k < data.length; k++) data[k] = data[k]! | 0;
  else if (dtype === "u32") for (let k = 0; k < data.length; k++) data[k] = data[k]! >>> 0;
}

export function unary(op: Unary, x: NDArray): NDArray {
  const data = new Float64Array(x.data.length);
  unaryRows[op](data.length, data, x.data);
  wrap(x.dtype, data);
  return { dtype: x.dtype, shape: x.shape, data };
}

const comparisons: ReadonlySet<Binary> = new Set<Binary>(["eq", "ne", "lt", "le", "gt", "ge", "and", "or"]);

export function binary(op: Binary, a: NDArray, b: NDArray): NDArray {
  const compares = comparisons.has(op);
  const integer = !compares && inClass(a.dtype, "int");
  const row = (integer ? integerRows[op] : undefined) ?? binaryRows[op];
  const out = zip(compares ? "bool" : a.dtype, row, a, b);
  if (integer) wrap(a.dtype, out.data);
  return out;
}

/** Runs a row op over two arrays as they broadcast. */
function zip(dtype: DType, row: Row2, a: NDArray, b: NDArray): NDArray {
  if (sameShape(a.shape, b.shape) || (b.data.length === 1 && b.shape.length <= a.shape.length)) {
    const data = new Float64Array(a.data.length);
    row(data.length, data, 0, a.data, 0, 1, b.data, 0, b.data.length === 1 ? 0 : 1);
    return { dtype, shape: a.shape, data };
  }
  if (a.data.length === 1 && a.shape.length <= b.shape.length) {
    const data = new Float64Array(b.data.length);
    row(data.length, data, 0, a.data, 0, 0, b.data, 0, 1);
    return { dtype, shape: b.shape, data };
  }
  const shape = broadcastShapes(a.shape, b.shape);
  const data = new Float64Array(elements(shape));
  const loops = nest(shape, [stridesOf(shape), broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)]);
  if (loops) {
    const last = loops.shape.length - 1;
    const n = loops.shape[last]!,
      di = loops.strides[1]![last]!,
      dj = loops.strides[2]![last]!;
    rows(loops, [0, 0, 0], (at) => row(n, data, at[0]!, a.data, at[1]!, di, b.data, at[2]!, dj));
  }
  return { dtype, shape, data };
}

/** where(c, a, b) */
export function select(c: NDArray, a: NDArray, b: NDArray): NDArray {
  const shape = broadcastShapes(c.shape, broadcastShapes(a.shape, b.shape));
  const data = new Float64Array(elements(shape));
  const from = (x: NDArray) => broadcastStrides(x.shape, shape);
  const loops = nest(shape, [stridesOf(shape), from(c), from(a), from(b)]);
  if (loops) {
    const last = loops.shape.length - 1;
    const n = loops.shape[last]!;
    const dc = loops.strides[1]![last]!,
      da = loops.strides[2]![last]!,
      db = loops.strides[3]![last]!;
    const cs = c.data,
      as = a.data,
      bs = b.data;
    rows(loops, [0, 0, 0, 0], (at) => {
      const [p, i, j, l] = at as [number, number, number, number];
      for (let k = 0; k < n; k++) data[p + k] = cs[i + k * dc] !== 0 ? as[j + k * da]! : bs[l + k * db]!;
    });
  }
  return { dtype: a.dtype, shape, data };
}

/**
 * To an integer: the fraction is dropped, what lies outside the dtype saturates, NaN is 0; between integers it wraps.
 * To a bool: whether it is not 0. To f16 and bf16: rounded, as on every device. To f32: the number as it is, in float64.
 */
export function cast(x: NDArray, dtype: DType): NDArray {
  if (x.dtype === dtype) return x;
  const { shape } = x;
  if (dtype === "bool") return { dtype, shape, data: x.data.map((v) => (v !== 0 ? 1 : 0)) };
  if (isHalf(dtype)) return { dtype, shape, data: x.data.map((v) => rounded(v, dtype)) };
  if (!inClass(dtype, "int")) return { dtype, shape, data: x.data };
  if (inClass(x.dtype, "int") || x.dtype === "bool") {
    const data = x.data.slice();
    wrap(dtype, data);
    return { dtype, shape, data };
  }
  const [low, high] = dtype === "i32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  return {
    dtype,
    shape,
    data: x.data.map((v) => (Number.isNaN(v) ? 0 : Math.max(low, Math.min(high, Math.trunc(v))) + 0)),
  };
}

/** Runs a scalar function over several arrays as they broadcast. */
export function mapAll(dtype: DType, xs: readonly NDArray[], f: (values: readonly number[]) => number): NDArray {
  const shape = xs.map((x) => x.shape).reduce(broadcastShapes);
  const full = xs.map((x) => broadcastTo(x, shape).data);
  const data = new Float64Array(elements(shape));
  for (let k = 0; k < data.length; k++) data[k] = f(full.map((d) => d[k]!));
  return { dtype, shape, data };
}
