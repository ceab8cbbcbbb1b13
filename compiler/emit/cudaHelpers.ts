/**
 * What kernels in CUDA C++ bring along when they use it. Plain C++ where that says it, and the few instructions that C++
 * has no word for as PTX under `#ifdef __CUDACC__`: what runs kernels elsewhere has its own under the same names.
 */

import { hopperTable, type WarpgroupProducts, wgmmaText } from "./cudaHopper.ts";

export type HelperName = keyof typeof table;
type Row = { readonly text: string; readonly needs?: readonly string[]; readonly ptx?: true };

const device = "__device__ __forceinline__";

const vec4 = `/** Four neighbours: read, computed and written together. */
template <class T> struct alignas(4 * sizeof(T)) vec4 {
  T x, y, z, w;
  vec4() = default;
  __device__ vec4(T all) : x(all), y(all), z(all), w(all) {}
  __device__ vec4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
  template <class U> __device__ explicit vec4(vec4<U> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
  __device__ T operator[](int i) const { return i < 2 ? (i == 0 ? x : y) : (i == 2 ? z : w); }
  __device__ vec4 operator-() const { return vec4(-x, -y, -z, -w); }
  __device__ vec4 operator!() const { return vec4(!x, !y, !z, !w); }
#define EACH(R, op) \\
  friend ${device} vec4<R> operator op(vec4 a, vec4 b) { \\
    return vec4<R>(a.x op b.x, a.y op b.y, a.z op b.z, a.w op b.w); \\
  }
  EACH(T, +) EACH(T, -) EACH(T, *) EACH(T, /) EACH(T, %) EACH(T, &) EACH(T, |)
  EACH(bool, ==) EACH(bool, !=) EACH(bool, <) EACH(bool, <=) EACH(bool, >) EACH(bool, >=)
#undef EACH
};`;

/** A type of 16 bits that is computed with as f32. `to` and `from` are given by PTX or by what stands in for it. */
const sixteen = (name: string, what: string): string =>
  `/** ${what}; computed with as f32. */
struct ${name} {
  unsigned short bits;
  ${name}() = default;
  __device__ ${name}(float x) : bits(f32_to_${name}(x)) {}
  __device__ operator float() const { return ${name}_to_f32(bits); }
};
struct alignas(8) ${name}x4 { unsigned xy, zw; };
${device} vec4<float> four(${name}x4 v) {
  return vec4<float>(low_${name}(v.xy), high_${name}(v.xy), low_${name}(v.zw), high_${name}(v.zw));
}
${device} ${name}x4 ${name}_pairs(vec4<float> v) { return ${name}x4{pack_${name}(v.x, v.y), pack_${name}(v.z, v.w)}; }
${device} vec4<float> load4(const ${name}* p) { return four(*reinterpret_cast<const ${name}x4*>(p)); }
${device} void store4(${name}* p, vec4<float> v) { *reinterpret_cast<${name}x4*>(p) = ${name}_pairs(v); }`;

/** Eight of them, 16 bytes at once. */
const eight = (name: string): string => `struct alignas(16) ${name}x8 { ${name}x4 low, high; };
${device} vec8<float> load8(const ${name}* p) {
  const ${name}x8 v = *reinterpret_cast<const ${name}x8*>(p);
  return vec8<float>{four(v.low), four(v.high)};
}
${device} void store8(${name}* p, vec4<float> low, vec4<float> high) {
  *reinterpret_cast<${name}x8*>(p) = ${name}x8{${name}_pairs(low), ${name}_pairs(high)};
}`;

const extreme = (name: string, instruction: "max" | "min"): string => `${device} float ${name}(float a, float b) {
  float y;
  asm("${instruction}.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}`;

const pack = (type: "bf16" | "f16"): string => `/** Two floats in a word, the first in its lower half. */
${device} unsigned pack_${type}(float low, float high) {
  unsigned y;
  asm("cvt.rn.${type}x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}`;

const fourMatrices = (
  name: string,
  transposed: "" | ".trans",
): string => `${device} void ${name}(unsigned* to, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4${transposed}.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(unsigned(__cvta_generic_to_shared(row)))
               : "memory");
}`;

/** A product of 16 x 16 and 16 x 8, added in f32. */
const mma = (type: "bf16" | "f16"): string =>
  `/** c += a b: 16 x 16 times 16 x 8 elements, those of a warp. */
${device} void mma_${type}(float* c, const unsigned* a, const unsigned* b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.${type}.${type}.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}`;

/**
 * sin and cos to 3e-7 for all |x| < 2^31, as wgslHelpers.ts has them: the library's keep an array in memory for large
 * numbers. In turns: a whole number times 2^32 / 2pi wraps, which drops whole turns exactly; then quarter turns go by sign
 * and exchange, and what is left, at most pi/4, by polynomials (Cephes).
 */
const sine = (name: string, quarter: number): string => `${device} float ${name}(float x) {
  const int whole = __float2int_rz(x);
  const float rest = x - truncf(x);
  const float turns = float(int(unsigned(whole) * 683565275u)) * 2.3283064e-10f + float(whole) * 1.3421021e-10f + rest * 0.15915494f;
  const float quarters = rintf(turns * 4.0f);
  const float r = (turns - quarters * 0.25f) * 6.2831853f, z = r * r;
  const float s = r + r * z * (-0.16666665f + z * (0.0083321609f + z * -0.00019515296f));
  const float c = 1.0f - 0.5f * z + z * z * (0.041666646f + z * (-0.0013887316f + z * 0.000024433157f));
  const int q = __float2int_rz(quarters)${quarter === 0 ? "" : ` + ${quarter}`};
  const float y = (q & 1) != 0 ? c : s;
  return (q & 2) != 0 ? -y : y;
}`;

const table = {
  // ---- instructions ----
  // A NaN stays one, as in the reference; fmaxf and fminf drop it.
  maximum: { ptx: true, text: extreme("maximum", "max") },
  minimum: { ptx: true, text: extreme("minimum", "min") },
  f16_bits: {
    ptx: true,
    text: `${device} float f16_to_f32(unsigned short bits) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
  return y;
}
${device} unsigned short f32_to_f16(float x) {
  unsigned short y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}`,
  },
  bf16_bits: {
    ptx: true,
    text: `${device} float bf16_to_f32(unsigned short bits) { return __uint_as_float(unsigned(bits) << 16); }
${device} unsigned short f32_to_bf16(float x) {
  unsigned short y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}`,
  },
  round_f16: {
    text: `${device} float round_f16(float x) { return f16_to_f32(f32_to_f16(x)); }`,
    needs: ["f16_bits"],
  },
  round_bf16: {
    text: `${device} float round_bf16(float x) { return bf16_to_f32(f32_to_bf16(x)); }`,
    needs: ["bf16_bits"],
  },
  // The unit's own: 2 units in the last place; what is too small for a normal number is 0.
  exp2_approx: {
    ptx: true,
    text: `${device} float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}`,
  },
  shared_memory: { ptx: true, text: "extern __shared__ __align__(1024) unsigned char shared_memory[];" },
  pack_bf16: { ptx: true, text: pack("bf16") },
  pack_f16: { ptx: true, text: pack("f16") },
  unpack_bf16: {
    text: `/** Its halves as floats: a bf16 is the upper half of an f32. */
${device} float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }
${device} float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }`,
  },
  unpack_f16: {
    text: `/** Its halves as floats. */
${device} float low_f16(unsigned pair) { return f16_to_f32((unsigned short)(pair & 0xffffu)); }
${device} float high_f16(unsigned pair) { return f16_to_f32((unsigned short)(pair >> 16)); }`,
    needs: ["f16_bits"],
  },
  copy_async: {
    ptx: true,
    text: `/** Starts a copy of N bytes from memory to shared memory; zeros where not valid. */
template <int N> ${device} void copy_async(void* to, const void* from, bool valid = true) {
  const unsigned at = unsigned(__cvta_generic_to_shared(to));
  if (N == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(valid ? 16 : 0) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(at), "l"(from), "r"(valid ? N : 0), "n"(N) : "memory");
}
/** What has been started is a group; and waiting until at most the last N groups are under way. */
${device} void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> ${device} void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }`,
  },
  matrices: {
    ptx: true,
    text: `/** Four 8 x 8 matrices of 16-bit elements: thread 8 m + r of a warp says where row r of matrix m is. */
${fourMatrices("matrices", "")}
${fourMatrices("matrices_transposed", ".trans")}`,
  },
  mma_bf16: { ptx: true, text: mma("bf16") },
  mma_f16: { ptx: true, text: mma("f16") },
  ...hopperTable,
  // ---- types ----
  vec4: { text: vec4 },
  f16: { text: sixteen("f16", "IEEE half precision"), needs: ["vec4", "f16_bits", "pack_f16", "unpack_f16"] },
  bf16: { text: sixteen("bf16", "The upper half of an f32"), needs: ["vec4", "bf16_bits", "pack_bf16", "unpack_bf16"] },
  vec8: {
    text: "/** Eight neighbours. */\ntemplate <class T> struct vec8 { vec4<T> low, high; };",
    needs: ["vec4"],
  },
  eight_f16: { text: eight("f16"), needs: ["f16", "vec8"] },
  eight_bf16: { text: eight("bf16"), needs: ["bf16", "vec8"] },
  load4: {
    text: `template <class T> ${device} vec4<T> load4(const T* p) { return *reinterpret_cast<const vec4<T>*>(p); }`,
    needs: ["vec4"],
  },
  store4: {
    text: `template <class T> ${device} void store4(T* p, vec4<T> v) { *reinterpret_cast<vec4<T>*>(p) = v; }`,
    needs: ["vec4"],
  },
  store2: {
    text: `struct alignas(8) two { float x, y; };
/** Two neighbours at once. */
${device} void store2(float* p, float x, float y) { *reinterpret_cast<two*>(p) = two{x, y}; }
${device} void store2(int* p, int x, int y) { p[0] = x, p[1] = y; }
${device} void store2(unsigned* p, unsigned x, unsigned y) { p[0] = x, p[1] = y; }`,
  },
  store2_bf16: {
    text: `${device} void store2(bf16* p, float x, float y) { *reinterpret_cast<unsigned*>(p) = pack_bf16(x, y); }`,
    needs: ["bf16", "pack_bf16"],
  },
  store2_f16: {
    text: `${device} void store2(f16* p, float x, float y) { *reinterpret_cast<unsigned*>(p) = pack_f16(x, y); }`,
    needs: ["f16", "pack_f16"],
  },
  // ---- arithmetic ----
  infinity: { text: `${device} float infinity() { return __int_as_float(0x7f800000); }` },
  select4: {
    text: `template <class T> ${device} vec4<T> select(vec4<bool> c, vec4<T> a, vec4<T> b) {
  return vec4<T>(c.x ? a.x : b.x, c.y ? a.y : b.y, c.z ? a.z : b.z, c.w ? a.w : b.w);
}`,
    needs: ["vec4"],
  },
  dot: {
    text: `template <class T> ${device} T dot(vec4<T> a, vec4<T> b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }`,
    needs: ["vec4"],
  },
  quad_broadcast: {
    text: `/** What the k-th of four neighbouring threads holds. */
template <class T> ${device} T quad_broadcast(T x, int k) { return __shfl_sync(0xfu << (threadIdx.x & 28), x, k, 4); }`,
  },
  quad_broadcast4: {
    text: `template <class T> ${device} vec4<T> quad_broadcast(vec4<T> v, int k) {
  return vec4<T>(quad_broadcast(v.x, k), quad_broadcast(v.y, k), quad_broadcast(v.z, k), quad_broadcast(v.w, k));
}`,
    needs: ["vec4", "quad_broadcast"],
  },
  // Whole numbers from data may wrap; C++ has no overflow of signed ones.
  wrapping_add: { text: `${device} int wrapping_add(int a, int b) { return int(unsigned(a) + unsigned(b)); }` },
  wrapping_sub: { text: `${device} int wrapping_sub(int a, int b) { return int(unsigned(a) - unsigned(b)); }` },
  wrapping_mul: { text: `${device} int wrapping_mul(int a, int b) { return int(unsigned(a) * unsigned(b)); }` },
  wrapping_neg: { text: `${device} int wrapping_neg(int a) { return int(0u - unsigned(a)); }` },
  wrapping_abs: { text: `${device} int wrapping_abs(int a) { return a < 0 ? int(0u - unsigned(a)) : a; }` },
  // Rounds down; x/0 is 0, as in the reference.
  floor_div: {
    text: `${device} int floor_div(int a, int b) {
  if (b == 0 || b == -1) return b == 0 ? 0 : int(0u - unsigned(a));
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}`,
  },
  floor_mod: {
    text: `${device} int floor_mod(int a, int b) {
  if (b == 0 || b == -1) return 0;
  const int r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}`,
  },
  uint_div: { text: `${device} unsigned uint_div(unsigned a, unsigned b) { return b == 0u ? 0u : a / b; }` },
  uint_mod: { text: `${device} unsigned uint_mod(unsigned a, unsigned b) { return b == 0u ? 0u : a % b; }` },
  float_mod: { text: `${device} float float_mod(float a, float b) { return a - b * floorf(a / b); }` },
  float_pow: {
    // A negative base has a power when the exponent is whole.
    text: `${device} float float_pow(float a, float b) { return powf(a, b); }`,
  },
  int_pow: {
    text: `${device} int int_pow(int a, int b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? ((b & 1) == 0 ? 1 : -1) : 0;
  unsigned result = 1u, base = unsigned(a);
  for (unsigned n = unsigned(b); n > 0u; n >>= 1, base *= base)
    if ((n & 1u) == 1u) result *= base;
  return int(result);
}`,
  },
  uint_pow: {
    text: `${device} unsigned uint_pow(unsigned a, unsigned b) {
  unsigned result = 1u;
  for (; b > 0u; b >>= 1, a *= a)
    if ((b & 1u) == 1u) result *= a;
  return result;
}`,
  },
  sine: { text: sine("sine", 0) },
  cosine: { text: sine("cosine", 1) },
  sigmoid: { text: `${device} float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }` },
  sign: { text: `template <class T> ${device} T sign(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : x; }` },
  threefry: {
    text: `/** Threefry-2x32, 20 rounds (Salmon et al., SC'11). */
struct u32x2 { unsigned x, y; };
${device} u32x2 threefry(u32x2 key, u32x2 counter) {
  const unsigned keys[3] = {key.x, key.y, 0x1bd11bdau ^ key.x ^ key.y};
  const unsigned turns[8] = {13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u};
  unsigned x = counter.x + key.x, y = counter.y + key.y;
#pragma unroll
  for (unsigned round = 0u; round < 20u; round++) {
    x += y;
    y = ((y << turns[round & 7u]) | (y >> (32u - turns[round & 7u]))) ^ x;
    if ((round & 3u) == 3u) {
      const unsigned s = (round + 1u) / 4u;
      x += keys[s % 3u];
      y += keys[(s + 1u) % 3u] + s;
    }
  }
  return u32x2{x, y};
}`,
  },
} as const satisfies Readonly<Record<string, Row>>;

/** The same function for four, element by element: `elementwise("expf", "float", ["float"])`. */
export const elementwise = (name: string, result: string, params: readonly string[]): string => {
  const names = params.map((_, k) => "abc"[k]!);
  const one = (c: string): string => `${name}(${names.map((n) => `${n}.${c}`).join(", ")})`;
  return (
    `${device} vec4<${result}> ${name}(${params.map((t, k) => `vec4<${t}> ${names[k]}`).join(", ")}) {\n` +
    `  return vec4<${result}>(${["x", "y", "z", "w"].map(one).join(", ")});\n}`
  );
};

/** The text of helpers and of all that they need, in an order in which C++ takes them. */
export function preludeOf(
  used: ReadonlySet<HelperName>,
  wide: ReadonlyMap<string, string>,
  products: readonly WarpgroupProducts[] = [],
): readonly string[] {
  const needed = new Set<string>(wide.size > 0 ? ["vec4", ...used] : used);
  for (const name of needed) for (const n of (table[name as HelperName] as Row).needs ?? []) needed.add(n);
  const rows = Object.entries<Row>(table).filter(([name]) => needed.has(name));
  const instructions = rows.filter(([, row]) => row.ptx);
  return [
    ...(instructions.length > 0
      ? ["#ifdef __CUDACC__", ...instructions.map(([, row]) => row.text), ...products.map(wgmmaText), "#endif"]
      : []),
    ...rows.filter(([, row]) => !row.ptx).map(([, row]) => row.text),
    ...[...wide].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text),
  ];
}
