/** Functions that kernels bring along when they use them. */

const floorDiv = (name: string, t: string, zero: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  let q = a / b;
  return select(q, q - 1, (a % b != ${zero}) ${t === "i32" ? "&&" : "&"} ((a < ${zero}) != (b < ${zero})));
}`;
const floorMod = (name: string, t: string, zero: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  let r = a % b;
  return select(r, r + b, (r != ${zero}) ${t === "i32" ? "&&" : "&"} ((r < ${zero}) != (b < ${zero})));
}`;
const floatMod = (name: string, t: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {\n  return a - b * floor(a / b);\n}`;
/** A negative base has a power when the exponent is whole. */
const floatPow = (name: string, t: string, one: string): string =>
  `fn ${name}(a: ${t}, b: ${t}) -> ${t} {
  let size = pow(abs(a), b);
  let odd = floor(b * 0.5) * 2.0 != b;
  return select(size, -size, (a < ${one.replace("1.0", "0.0")}) ${t === "f32" ? "&&" : "&"} odd);
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

export const helpers = {
  floor_div: floorDiv("floor_div", "i32", "0"),
  floor_div4: floorDiv("floor_div4", "vec4<i32>", "vec4<i32>(0)"),
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
  pack_f16: `fn pack_f16(x: f32) -> u32 {
  return pack2x16float(vec2<f32>(x, 0.0)) & 0xffffu;
}`,
  pack_f16x4: `fn pack_f16x4(x: vec4<f32>) -> vec2<u32> {
  return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
}`,
} as const;
export type Helper = keyof typeof helpers;
