/**
 * Functions that SIMD lacks, on four floats at a time. Each is written once, over a builder that keeps what is used
 * twice: `exp` stands in the code that uses it, the others are called.
 *
 * Errors are relative and measured against float64 over the range (tests/emit/wasm-math.test.ts). Results of
 * exponentials below 2^-125 are 0.
 */
import { type Code, f32, floats, i32, ints, type OpName, op } from "./code.ts";

/** Keeps a value in a local of its own; gives a way to read it again. */
export type Builder = {
  readonly keep: (value: Code, type?: "v128" | "i32" | "f32" | "i64") => Code;
  /** a * b + c and c - a * b, in one rounding where the engine has relaxed SIMD. */
  readonly madd: (a: Code, b: Code, c: Code) => Code;
  readonly nmadd: (a: Code, b: Code, c: Code) => Code;
};

const v =
  (name: OpName) =>
  (...args: readonly Code[]): Code =>
    op(name, args);
const add = v("f32x4.add");
const sub = v("f32x4.sub");
const mul = v("f32x4.mul");
const div = v("f32x4.div");
const abs = v("f32x4.abs");
const floor = v("f32x4.floor");
const pmin = v("f32x4.pmin");
const pmax = v("f32x4.pmax");
const and = v("v128.and");
const or = v("v128.or");
const xor = v("v128.xor");
/** mask ? a : b */
const choose = (mask: Code, a: Code, b: Code): Code => op("v128.bitselect", [a, b, mask]);
const shl = (x: Code, by: number): Code => op("i32x4.shl", [x, i32(by)]);
const shr = (x: Code, by: number): Code => op("i32x4.shr_s", [x, i32(by)]);
const shru = (x: Code, by: number): Code => op("i32x4.shr_u", [x, i32(by)]);
const iadd = v("i32x4.add");
const isub = v("i32x4.sub");
const toFloat = v("f32x4.convert_i32x4_s");
const toInt = v("i32x4.trunc_sat_f32x4_s");
const signBit = ints(-0x80000000);

/** c0 x^n + c1 x^(n-1) + … */
function horner(b: Builder, x: Code, coefficients: readonly number[]): Code {
  const [first, ...rest] = coefficients;
  return rest.reduce((sum, c) => b.madd(sum, x, floats(c)), floats(first!));
}

/**
 * 2^n for what is added to `magic`, the sum's last bits being n + 126: half of it, so that 2^128 has no overflow of its own.
 * n = -126 gives 0.
 */
const magic = 12582912 + 126;
const half = (sum: Code): Code => shl(sum, 23);

/**
 * e^x to 1.2e-7: x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite), and 2 e^r by a polynomial, fitted by least squares of
 * the relative error at Chebyshev nodes (3.7e-9).
 */
export function exp(b: Builder, x: Code): Code {
  const inside = b.keep(pmin(pmax(x, floats(-87.3)), floats(89)));
  const sum = b.keep(b.madd(inside, floats(Math.LOG2E), floats(magic)));
  const n = b.keep(sub(sum, floats(magic)));
  const r = b.keep(b.nmadd(n, floats(-2.1219444e-4), b.nmadd(n, floats(0.693359375), inside)));
  const doubled = [0.00275025579, 0.0167379036, 0.0833390774, 0.333330363, 0.999999771, 2, 2];
  return mul(horner(b, r, doubled), half(sum));
}

/** 2^x to 1.2e-7 (polynomial: Cephes). */
export function exp2(b: Builder, x: Code): Code {
  const inside = b.keep(pmin(pmax(x, floats(-126)), floats(129)));
  const sum = b.keep(add(inside, floats(magic)));
  const r = b.keep(sub(inside, sub(sum, floats(magic))));
  const p = horner(b, r, [
    2 * 1.5353361883195e-4,
    2 * 1.339887440266574e-3,
    2 * 9.61843735767464e-3,
    2 * 5.550332471162809e-2,
    2 * 2.402264791363012e-1,
    2 * 6.931472028550421e-1,
    2,
  ]);
  return mul(p, half(sum));
}

/** x = 2^e (1 + z) with sqrt(1/2) <= 1 + z < sqrt(2), and P with log(1 + z) = z - z^2/2 + z^3 P(z) (Cephes). */
function logParts(b: Builder, x: Code): { readonly e: Code; readonly z: Code; readonly zz: Code; readonly p: Code } {
  const small = b.keep(op("f32x4.lt", [x, floats(2 ** -126)]));
  const scaled = choose(small, mul(x, floats(2 ** 23)), x);
  const shifted = b.keep(iadd(scaled, ints(0x3f800000 - 0x3f3504f3)));
  const exponent = isub(shr(shifted, 23), ints(127));
  const e = b.keep(toFloat(isub(exponent, and(small, ints(23)))));
  const z = b.keep(sub(iadd(and(shifted, ints(0x7fffff)), ints(0x3f3504f3)), floats(1)));
  const p = horner(
    b,
    z,
    [
      7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
      2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ],
  );
  return { e, z, zz: b.keep(mul(z, z)), p: b.keep(p) };
}
/** The logarithm where there is one: -inf of 0, NaN of what is less, inf of inf. */
function logEdges(x: Code, value: Code): Code {
  const finite = choose(op("f32x4.lt", [x, floats(Infinity)]), value, x);
  const positive = choose(op("f32x4.lt", [x, floats(0)]), floats(Number.NaN), finite);
  return choose(op("f32x4.eq", [x, floats(0)]), floats(-Infinity), positive);
}
/** ln x to 1.2e-7. */
export function log(b: Builder, x: Code): Code {
  const { e, z, zz, p } = logParts(b, x);
  const y = b.madd(zz, floats(-0.5), b.madd(e, floats(-2.1219444e-4), mul(mul(p, z), zz)));
  return logEdges(x, b.madd(e, floats(0.693359375), add(z, y)));
}
/** log2 x to 1.2e-7: log2(e) z as z + 0.44 z, so that the large part is exact. */
export function log2(b: Builder, x: Code): Code {
  const { e, z, zz, p } = logParts(b, x);
  const y = b.keep(b.madd(zz, floats(-0.5), mul(mul(p, z), zz)));
  const rest = floats(Math.LOG2E - 1);
  return logEdges(x, add(e, add(z, add(y, b.madd(z, rest, mul(y, rest))))));
}

/** 1 / (1 + e^-x) */
export const sigmoid = (b: Builder, x: Code): Code => div(floats(1), add(floats(1), exp(b, op("f32x4.neg", [x]))));

/** tanh to 2e-7: an odd polynomial below 0.625 (Cephes), else 1 - 2 / (e^2|x| + 1) with the sign of x. */
export function tanh(b: Builder, x: Code): Code {
  const size = b.keep(abs(x));
  const z = b.keep(mul(x, x));
  const odd = horner(
    b,
    z,
    [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1],
  );
  const near = b.madd(mul(odd, z), x, x);
  const far = sub(floats(1), div(floats(2), add(exp(b, add(size, size)), floats(1))));
  const signed = or(far, and(x, signBit));
  return choose(op("f32x4.lt", [size, floats(0.625)]), near, signed);
}

/**
 * sin and cos to 3e-7 (absolute) for |x| < 2^31, as in the WGSL helpers: in turns, n times the first 32 bits of 2^32 / 2pi
 * wraps, which drops whole turns exactly; then quarter turns go by sign and exchange.
 */
function turn(b: Builder, x: Code, quarter: number): Code {
  const whole = b.keep(toInt(x));
  const rest = sub(x, op("f32x4.trunc", [x]));
  const wrapped = toFloat(op("i32x4.mul", [whole, ints(683565275)]));
  const turns = b.keep(
    b.madd(
      rest,
      floats(0.15915494),
      b.madd(toFloat(whole), floats(1.3421021e-10), mul(wrapped, floats(2.3283064e-10))),
    ),
  );
  const quarters = b.keep(op("f32x4.nearest", [mul(turns, floats(4))]));
  const r = b.keep(mul(b.nmadd(quarters, floats(0.25), turns), floats(6.2831853)));
  const z = b.keep(mul(r, r));
  const s = b.madd(mul(r, z), horner(b, z, [-0.00019515296, 0.0083321609, -0.16666665]), r);
  const c = b.madd(
    mul(z, z),
    horner(b, z, [0.000024433157, -0.0013887316, 0.041666646]),
    b.nmadd(z, floats(0.5), floats(1)),
  );
  const q = b.keep(iadd(toInt(quarters), ints(quarter)));
  const y = choose(op("i32x4.ne", [and(q, ints(1)), ints(0)]), c, s);
  return xor(y, shl(and(q, ints(2)), 30));
}
export const sin = (b: Builder, x: Code): Code => turn(b, x, 0);
export const cos = (b: Builder, x: Code): Code => turn(b, x, 1);

/** x - y floor(x / y) */
export const mod = (b: Builder, x: Code, y: Code): Code => b.nmadd(y, floor(div(x, y)), x);

/** x^y as 2^(y log2 |x|), its error growing with y log2 |x|; NaN of a negative x where y is not whole; x^0 is 1. */
export function pow(b: Builder, x: Code, y: Code): Code {
  const size = b.keep(exp2(b, b.keep(mul(y, b.keep(log2(b, b.keep(abs(x))))))));
  const halved = mul(y, floats(0.5));
  const odd = op("f32x4.ne", [floor(halved), halved]);
  const signed = xor(size, and(odd, signBit));
  const negative = choose(op("f32x4.eq", [floor(y), y]), signed, floats(Number.NaN));
  const value = choose(op("f32x4.lt", [x, floats(0)]), negative, size);
  return choose(op("f32x4.eq", [y, floats(0)]), floats(1), value);
}

/** 1, -1, or x itself where it is 0 or NaN. */
export function sign(_: Builder, x: Code): Code {
  const one = or(floats(1), and(x, signBit));
  return choose(op("f32x4.gt", [abs(x), floats(0)]), one, x);
}

/** Four 16-bit patterns, each in a word, as floats, and back: to nearest, ties to even; a NaN stays one. */
export const fromBf16 = (_: Builder, bits: Code): Code => shl(bits, 16);
export function toBf16(_: Builder, x: Code): Code {
  const rounded = iadd(iadd(x, ints(0x7fff)), and(shru(x, 16), ints(1)));
  const nan = op("f32x4.ne", [x, x]);
  return shru(choose(nan, or(x, ints(0x400000)), rounded), 16);
}
/** Of a pattern with its sign in all bits above: by a product that renormalises; what comes out too large was infinite, or no number. */
export function fromF16(b: Builder, bits: Code): Code {
  const scaled = b.keep(mul(and(shl(bits, 13), ints(0x8fffe000 | 0)), floats(2 ** 112)));
  const special = op("f32x4.ge", [abs(scaled), floats(65536)]);
  return or(scaled, and(special, ints(0x7f800000)));
}
/** F. Giesen's float_to_half_fast3_rtne: subnormals by a sum that aligns them. */
export function toF16(b: Builder, x: Code): Code {
  const size = b.keep(and(x, ints(0x7fffffff)));
  const subnormal = isub(add(size, floats(0.5)), ints(0x3f000000));
  const normal = shru(iadd(iadd(size, ints(0xc8000fff | 0)), and(shru(size, 13), ints(1))), 13);
  const large = choose(op("i32x4.gt_s", [size, ints(0x7f800000)]), ints(0x7e00), ints(0x7c00));
  const small = choose(op("i32x4.lt_s", [size, ints(0x38800000)]), subnormal, normal);
  return or(choose(op("i32x4.ge_s", [size, ints(0x47800000)]), large, small), shru(and(x, signBit), 16));
}

/** The nearest number of 16 bits, ties to even: in the last bits of its fraction; subnormals by a sum that aligns them. */
export function roundF16(b: Builder, x: Code): Code {
  const size = b.keep(abs(x));
  const kept = and(iadd(iadd(size, ints(0xfff)), and(shru(size, 13), ints(1))), ints(-0x2000));
  const small = sub(add(size, floats(0.5)), floats(0.5));
  const rounded = b.keep(choose(op("f32x4.lt", [size, floats(2 ** -14)]), small, kept));
  const large = choose(op("f32x4.ge", [rounded, floats(65520)]), floats(Infinity), rounded);
  return or(choose(op("f32x4.eq", [size, size]), large, size), and(x, signBit));
}

/** 1 / sqrt(x) */
export const rsqrt = (_: Builder, x: Code): Code => div(floats(1), op("f32x4.sqrt", [x]));

// ---- integers, one at a time -----------------------------------------------------------------------------------------

const pick = (cond: Code, a: Code, b: Code): Code => op("select", [a, b, cond]);
/** The divisor, or 1 in place of 0 and -1, by which machines trap. */
const harmless = (y: Code): Code => pick(op("i32.le_u", [op("i32.add", [y, i32(1)]), i32(1)]), i32(1), y);

/** Rounds down; x / 0 is 0. */
export function floorDiv(b: Builder, x: Code, y: Code): Code {
  const d = b.keep(harmless(y), "i32");
  const q = b.keep(op("i32.div_s", [x, d]), "i32");
  const rest = b.keep(op("i32.sub", [x, op("i32.mul", [q, d])]), "i32");
  const down = op("i32.and", [op("i32.ne", [rest, i32(0)]), op("i32.lt_s", [op("i32.xor", [rest, d]), i32(0)])]);
  const usual = op("i32.sub", [q, down]);
  const minus = pick(op("i32.eq", [y, i32(-1)]), op("i32.sub", [i32(0), x]), usual);
  return pick(y, minus, i32(0));
}
/** With the divisor's sign; x mod 0 is 0. */
export function floorMod(b: Builder, x: Code, y: Code): Code {
  const d = b.keep(harmless(y), "i32");
  const r = b.keep(op("i32.rem_s", [x, d]), "i32");
  const other = op("i32.and", [op("i32.ne", [r, i32(0)]), op("i32.lt_s", [op("i32.xor", [r, d]), i32(0)])]);
  return pick(other, op("i32.add", [r, d]), r);
}
const some = (y: Code): Code => pick(y, y, i32(1));
export const uintDiv = (_: Builder, x: Code, y: Code): Code => pick(y, op("i32.div_u", [x, some(y)]), i32(0));
export const uintMod = (_: Builder, x: Code, y: Code): Code => pick(y, op("i32.rem_u", [x, some(y)]), i32(0));

/** x^y by squaring, in 32 bits. */
function bitwisePow(b: Builder, x: Code, y: Code): Code {
  let result = i32(1);
  let square = x;
  for (let bit = 0; bit < 32; bit++) {
    const wanted = op("i32.and", [op("i32.shr_u", [y, i32(bit)]), i32(1)]);
    result = b.keep(pick(wanted, op("i32.mul", [result, square]), result), "i32");
    square = b.keep(op("i32.mul", [square, square]), "i32");
  }
  return result;
}
/** A negative power is 0, but for 1 and -1. */
export function intPow(b: Builder, x: Code, y: Code): Code {
  const unit = op("i32.le_u", [op("i32.add", [x, i32(1)]), i32(2)]);
  const zero = op("i32.and", [op("i32.lt_s", [y, i32(0)]), op("i32.or", [op("i32.eqz", [x]), op("i32.eqz", [unit])])]);
  return pick(zero, i32(0), bitwisePow(b, x, y));
}

/** Threefry-2x32, 20 rounds (Salmon et al., SC'11): key and counter are two words each, the first in the low half. */
export function threefry(b: Builder, key: Code, counter: Code): Code {
  const low = (x: Code): Code => op("i32.wrap_i64", [x]);
  const high = (x: Code): Code => op("i32.wrap_i64", [op("i64.shr_u", [x, op("i64.const", [], 32)])]);
  const k0 = b.keep(low(key), "i32");
  const k1 = b.keep(high(key), "i32");
  const k2 = b.keep(op("i32.xor", [i32(0x1bd11bda), op("i32.xor", [k0, k1])]), "i32");
  const keys = [k0, k1, k2];
  const turns = [13, 15, 26, 6, 17, 29, 16, 24];
  let x0 = b.keep(op("i32.add", [low(counter), k0]), "i32");
  let x1 = b.keep(op("i32.add", [high(counter), k1]), "i32");
  for (let round = 0; round < 20; round++) {
    x0 = b.keep(op("i32.add", [x0, x1]), "i32");
    x1 = b.keep(op("i32.xor", [op("i32.rotl", [x1, i32(turns[round % 8]!)]), x0]), "i32");
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = b.keep(op("i32.add", [x0, keys[s % 3]!]), "i32");
      x1 = b.keep(op("i32.add", [x1, op("i32.add", [keys[(s + 1) % 3]!, i32(s)])]), "i32");
    }
  }
  return words(x0, x1);
}
/** Two words as one of 64 bits, the first in the low half. */
export const words = (low: Code, high: Code): Code =>
  op("i64.or", [
    op("i64.extend_i32_u", [low]),
    op("i64.shl", [op("i64.extend_i32_u", [high]), op("i64.const", [], 32)]),
  ]);
/** The upper 24 bits of the low word, in [0, 1). */
export const uniform = (state: Code): Code =>
  op("f32.mul", [op("f32.convert_i32_u", [op("i32.shr_u", [op("i32.wrap_i64", [state]), i32(8)])]), f32(2 ** -24)]);

/** What is called, by name: its parameters' types, and its result's. */
type Row = {
  readonly params: readonly ("v128" | "i32" | "i64")[];
  readonly result: "v128" | "i32" | "i64";
  readonly write: (b: Builder, ...args: readonly Code[]) => Code;
};
const onFloats = (write: Row["write"], arity = 1): Row => ({
  params: Array.from({ length: arity }, () => "v128" as const),
  result: "v128",
  write,
});
const onInts = (write: Row["write"]): Row => ({ params: ["i32", "i32"], result: "i32", write });
export const functions = {
  exp2: onFloats(exp2 as Row["write"]),
  log: onFloats(log as Row["write"]),
  log2: onFloats(log2 as Row["write"]),
  tanh: onFloats(tanh as Row["write"]),
  sin: onFloats(sin as Row["write"]),
  cos: onFloats(cos as Row["write"]),
  pow: onFloats(pow as Row["write"], 2),
  floor_div: onInts(floorDiv as Row["write"]),
  floor_mod: onInts(floorMod as Row["write"]),
  uint_div: onInts(uintDiv as Row["write"]),
  uint_mod: onInts(uintMod as Row["write"]),
  int_pow: onInts(intPow as Row["write"]),
  uint_pow: onInts(bitwisePow as Row["write"]),
  threefry: { params: ["i64", "i64"], result: "i64", write: threefry as Row["write"] },
} as const satisfies Readonly<Record<string, Row>>;
export type FunctionName = keyof typeof functions;
