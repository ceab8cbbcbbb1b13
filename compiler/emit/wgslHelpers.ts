/**
 * Functions that kernels bring along when they use them. They stand in unrolled code many times over, so they choose with
 * `select` and `&`: a `&&` is a branch, and drivers take minutes (and gigabytes) over hundreds of branches.
 */

/** x/0 is 0, as in the reference; WGSL's own is x. */
const floorDiv = (name: string, t: string, zero: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  let q = a / b;
  let down = select(q, q - 1, (a % b != ${zero}) & ((a < ${zero}) != (b < ${zero})));
  return select(down, ${zero}, b == ${zero});
}`;
const uintDiv = (name: string, t: string, zero: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {\n  return select(a / b, ${zero}, b == ${zero});\n}`;
const floorMod = (name: string, t: string, zero: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  let r = a % b;
  return select(r, r + b, (r != ${zero}) & ((r < ${zero}) != (b < ${zero})));
}`;
const floatMod = (name: string, t: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {\n  return a - b * floor(a / b);\n}`;
/** Saturates, and NaN gives 0, as in the reference; WGSL stops at the last f32 before 2^31 or 2^32, and NaN gives anything. */
const toInteger = (name: string, type: "i32" | "u32", wide: boolean): string => {
  const t = (of: string): string => (wide ? `vec4<${of}>` : of);
  const v = (of: string, value: string): string => (wide ? `vec4<${of}>(${value})` : value);
  const [limit, last, zero] =
    type === "i32" ? ["2147483648.0", "2147483647", "0"] : ["4294967296.0", "4294967295u", "0u"];
  return `fn ${name}(x: ${t("f32")}) -> ${t(type)} {
  let whole = select(${t(type)}(x), ${v(type, last)}, x >= ${v("f32", limit)});
  let bits = bitcast<${t("u32")}>(x) & ${v("u32", "0x7fffffffu")};
  return select(whole, ${v(type, zero)}, bits > ${v("u32", "0x7f800000u")});
}`;
};
/** A negative base has a power when the exponent is whole. */
const floatPow = (name: string, t: string, one: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  let size = pow(abs(a), b);
  let odd = floor(b * 0.5) * 2.0 != b;
  return select(size, -size, (a < ${one.replace("1.0", "0.0")}) & odd);
}`;
const intPow = (name: string, t: string, suffix: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  var result = 1${suffix};
  var base = a;
  for (var n = u32(b); n > 0u; n = n >> 1u) {
    if ((n & 1u) == 1u) { result *= base; }
    base *= base;
  }
  return result;
}`;

/**
 * sin and cos to 3e-7 for all |x| < 2^31; WGSL promises 5e-4, and only up to pi. In turns, x / 2pi = n c / 2^32 + f / 2pi for
 * x = n + f with a whole n: n times the first 32 bits of c = 2^32 / 2pi wraps, which drops whole turns exactly. Then quarter
 * turns go by sign and exchange, and what is left, at most pi/4, by polynomials (Cephes).
 */
const sine = (name: string, wide: boolean, quarter: number): string => {
  const t = (of: string): string => (wide ? `vec4<${of}>` : of);
  const i = (n: number): string => (wide ? `vec4<i32>(${n})` : String(n));
  return `fn ${name}(x: ${t("f32")}) -> ${t("f32")} {
  let whole = ${t("i32")}(x);
  let rest = x - trunc(x);
  let turns = ${t("f32")}(whole * 683565275) * 2.3283064e-10 + ${t("f32")}(whole) * 1.3421021e-10 + rest * 0.15915494;
  let quarters = round(turns * 4.0);
  let r = (turns - quarters * 0.25) * 6.2831853;
  let z = r * r;
  let s = r + r * z * (-0.16666665 + z * (0.0083321609 + z * -0.00019515296));
  let c = 1.0 - 0.5 * z + z * z * (0.041666646 + z * (-0.0013887316 + z * 0.000024433157));
  let q = ${t("i32")}(quarters)${quarter === 0 ? "" : ` + ${quarter}`};
  let y = select(s, c, (q & ${i(1)}) != ${i(0)});
  return select(y, -y, (q & ${i(2)}) != ${i(0)});
}`;
};

/** Threefry-2x32, 20 rounds (Salmon et al., SC'11), as core/threefry.ts has it. */
const threefry = `fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
  var keys = array<u32, 3>(key.x, key.y, 0x1bd11bdau ^ key.x ^ key.y);
  var turns = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
  var x = counter + key;
  for (var round = 0u; round < 20u; round++) {
    let turn = turns[round & 7u];
    x.x += x.y;
    x.y = ((x.y << turn) | (x.y >> (32u - turn))) ^ x.x;
    if ((round & 3u) == 3u) {
      let s = (round + 1u) / 4u;
      x += vec2<u32>(keys[s % 3u], keys[(s + 1u) % 3u] + s);
    }
  }
  return x;
}`;

// To nearest, ties to even: the last 13 bits go; below 2^-14 the unit is 2^-24; from 65520 on it is infinity, of which
// pack2x16float promises nothing.
const small = (floats: string): string => `round(bitcast<${floats}>(size) * 16777216.0)`;
const roundF16 = (name: string, floats: string, words: string): string => `fn ${name}(x: ${floats}) -> ${floats} {
  let bits = bitcast<${words}>(x);
  let size = bits & ${words}(0x7fffffffu);
  let normal = (size + ${words}(0xfffu) + ((size >> ${words}(13u)) & ${words}(1u))) & ${words}(0xffffe000u);
  let small = bitcast<${words}>(${small(floats)} * 5.9604644775390625e-8);
  let finite = select(normal, small, size < ${words}(0x38800000u));
  let large = max(size, ${words}(0x7f800000u));
  return bitcast<${floats}>(select(finite, large, size >= ${words}(0x477ff000u)) | (bits & ${words}(0x80000000u)));
}`;
const packF16 = (name: string, floats: string, words: string, result: string, packed: string): string =>
  `fn ${name}(x: ${floats}) -> ${result || words} {
  let bits = bitcast<${words}>(x);
  let size = bits & ${words}(0x7fffffffu);
  let normal = (size + ${words}(0xfffu) + ((size >> ${words}(13u)) & ${words}(1u)) - ${words}(0x38000000u)) >> ${words}(13u);
  let finite = select(normal, ${words}(${small(floats)}), size < ${words}(0x38800000u));
  let large = select(${words}(0x7c00u), ${words}(0x7e00u), size > ${words}(0x7f800000u));
  let r = select(finite, large, size >= ${words}(0x477ff000u)) | ((bits >> ${words}(16u)) & ${words}(0x8000u));
  return ${packed};
}`;
const roundBf16 = (name: string, floats: string, words: string): string => `fn ${name}(x: ${floats}) -> ${floats} {
  let bits = bitcast<${words}>(x);
  let rounded = (bits + ${words}(0x7fffu) + ((bits >> ${words}(16u)) & ${words}(1u))) & ${words}(0xffff0000u);
  return bitcast<${floats}>(select(rounded, bits, (bits & ${words}(0x7fffffffu)) > ${words}(0x7f800000u)));
}`;

/**
 * WGSL promises of logarithms near 1 an absolute error only, 2^-21, which is all of log(1 - 2^-9). There it is
 * 2 artanh(y / (2 + y)), y = x - 1, by its series.
 */
const logarithm = (
  op: "log" | "log2",
  type: string,
): string => `fn near_${op}${type === "f32" ? "" : "_4"}(x: ${type}) -> ${type} {
  let y = x - 1.0;
  let s = y / (y + 2.0);
  let z = s * s;
  let near = s * (2.0 + z * (0.66666667 + z * (0.4 + z * (0.28571429 + z * 0.22222222))))${op === "log" ? "" : " * 1.44269504"};
  return select(${op}(x), near, abs(y) < ${type}(0.25));
}`;

export const helpers = {
  threefry,
  sine: sine("sine", false, 0),
  sine4: sine("sine4", true, 0),
  cosine: sine("cosine", false, 1),
  cosine4: sine("cosine4", true, 1),
  near_log: logarithm("log", "f32"),
  near_log_4: logarithm("log", "vec4<f32>"),
  near_log2: logarithm("log2", "f32"),
  near_log2_4: logarithm("log2", "vec4<f32>"),
  to_int: toInteger("to_int", "i32", false),
  to_int4: toInteger("to_int4", "i32", true),
  to_uint: toInteger("to_uint", "u32", false),
  to_uint4: toInteger("to_uint4", "u32", true),
  floor_div: floorDiv("floor_div", "i32", "0"),
  floor_div4: floorDiv("floor_div4", "vec4<i32>", "vec4<i32>(0)"),
  uint_div: uintDiv("uint_div", "u32", "0u"),
  uint_div4: uintDiv("uint_div4", "vec4<u32>", "vec4<u32>(0u)"),
  floor_mod: floorMod("floor_mod", "i32", "0"),
  floor_mod4: floorMod("floor_mod4", "vec4<i32>", "vec4<i32>(0)"),
  float_mod: floatMod("float_mod", "f32"),
  float_mod4: floatMod("float_mod4", "vec4<f32>"),
  float_pow: floatPow("float_pow", "f32", "1.0"),
  float_pow4: floatPow("float_pow4", "vec4<f32>", "vec4<f32>(1.0)"),
  int_pow: intPow("int_pow", "i32", ""),
  uint_pow: intPow("uint_pow", "u32", "u"),
  bf16_at: `fn bf16_at(word: u32, i: i32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (i & 1) == 1));
}`,
  bf16x4: `fn bf16x4(w: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}`,
  f16_at: `fn f16_at(word: u32, i: i32) -> f32 {
  return unpack2x16float(word)[i & 1];
}`,
  f16x4: `fn f16x4(w: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}`,
  round_bf16: roundBf16("round_bf16", "f32", "u32"),
  round_bf16x4: roundBf16("round_bf16x4", "vec4<f32>", "vec4<u32>"),
  round_f16: roundF16("round_f16", "f32", "u32"),
  round_f16x4: roundF16("round_f16x4", "vec4<f32>", "vec4<u32>"),
  // Round to nearest, ties to even; a NaN stays one.
  pack_bf16: `fn pack_bf16(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
  return select(rounded, (bits >> 16u) | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}`,
  pack_bf16x4: `fn pack_bf16x4(x: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(x);
  let rounded = (bits + 0x7fffu + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u))) >> vec4<u32>(16u);
  let r = select(rounded, (bits >> vec4<u32>(16u)) | vec4<u32>(0x40u), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
  return vec2<u32>(r.x | (r.y << 16u), r.z | (r.w << 16u));
}`,
  pack_f16: packF16("pack_f16", "f32", "u32", "", "r"),
  pack_f16x4: packF16(
    "pack_f16x4",
    "vec4<f32>",
    "vec4<u32>",
    "vec2<u32>",
    "vec2<u32>(r.x | (r.y << 16u), r.z | (r.w << 16u))",
  ),
} as const;
export type Helper = keyof typeof helpers;
