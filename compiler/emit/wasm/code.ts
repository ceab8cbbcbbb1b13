/**
 * WebAssembly as trees: what the emitter makes, encode.ts writes as a module, and print.ts shows.
 *
 *   code ::= op code… immediates | block code… | loop code… | if code { code… } { code… }
 *
 * Opcodes are those of the specification (WebAssembly 2.0 with SIMD; relaxed-simd's two multiply-adds). A SIMD opcode is
 * written 0xfd00 + n.
 */

/** What follows an opcode: an index or depth, an integer, a float, 16 bytes, an offset in memory, one of the lanes. */
export type Immediate = "index" | "i32" | "f32" | "v128" | "offset" | "lane" | "lanes";
export type OpRow = readonly [code: number, ...immediates: Immediate[]];

export const ops = {
  unreachable: [0x00],
  br: [0x0c, "index"],
  br_if: [0x0d, "index"],
  return: [0x0f],
  call: [0x10, "index"],
  drop: [0x1a],
  select: [0x1b],
  "local.get": [0x20, "index"],
  "local.set": [0x21, "index"],
  "i32.load": [0x28, "offset"],
  "f32.load": [0x2a, "offset"],
  "i32.load16_s": [0x2e, "offset"],
  "i32.store": [0x36, "offset"],
  "f32.store": [0x38, "offset"],
  "i32.store16": [0x3b, "offset"],
  "i32.const": [0x41, "i32"],
  "f32.const": [0x43, "f32"],
  "i32.eqz": [0x45],
  "i32.eq": [0x46],
  "i32.ne": [0x47],
  "i32.lt_s": [0x48],
  "i32.lt_u": [0x49],
  "i32.gt_s": [0x4a],
  "i32.gt_u": [0x4b],
  "i32.le_s": [0x4c],
  "i32.le_u": [0x4d],
  "i32.ge_s": [0x4e],
  "i32.ge_u": [0x4f],
  "f32.eq": [0x5b],
  "f32.ne": [0x5c],
  "f32.lt": [0x5d],
  "f32.gt": [0x5e],
  "f32.le": [0x5f],
  "f32.ge": [0x60],
  "i32.add": [0x6a],
  "i32.sub": [0x6b],
  "i32.mul": [0x6c],
  "i32.div_s": [0x6d],
  "i32.div_u": [0x6e],
  "i32.rem_s": [0x6f],
  "i32.rem_u": [0x70],
  "i32.and": [0x71],
  "i32.or": [0x72],
  "i32.xor": [0x73],
  "i32.shl": [0x74],
  "i32.shr_s": [0x75],
  "i32.shr_u": [0x76],
  "i32.rotl": [0x77],
  "f32.abs": [0x8b],
  "f32.neg": [0x8c],
  "f32.floor": [0x8e],
  "f32.sqrt": [0x91],
  "f32.add": [0x92],
  "f32.sub": [0x93],
  "f32.mul": [0x94],
  "f32.div": [0x95],
  "f32.min": [0x96],
  "f32.max": [0x97],
  "i32.wrap_i64": [0xa7],
  "i64.extend_i32_u": [0xad],
  "i64.const": [0x42, "i32"],
  "i64.or": [0x84],
  "i64.shl": [0x86],
  "i64.shr_u": [0x88],
  "f32.convert_i32_s": [0xb2],
  "f32.convert_i32_u": [0xb3],
  "i32.reinterpret_f32": [0xbc],
  "f32.reinterpret_i32": [0xbe],
  "i32.trunc_sat_f32_s": [0xfc00],
  "i32.trunc_sat_f32_u": [0xfc01],
  "v128.load": [0xfd00, "offset"],
  "v128.load16x4_s": [0xfd03, "offset"],
  "v128.load32_splat": [0xfd09, "offset"],
  "v128.store": [0xfd0b, "offset"],
  "v128.const": [0xfd0c, "v128"],
  "i8x16.shuffle": [0xfd0d, "lanes"],
  "i32x4.splat": [0xfd11],
  "f32x4.splat": [0xfd13],
  "i32x4.extract_lane": [0xfd1b, "lane"],
  "i32x4.replace_lane": [0xfd1c, "lane"],
  "f32x4.extract_lane": [0xfd1f, "lane"],
  "f32x4.replace_lane": [0xfd20, "lane"],
  "i32x4.eq": [0xfd37],
  "i32x4.ne": [0xfd38],
  "i32x4.lt_s": [0xfd39],
  "i32x4.lt_u": [0xfd3a],
  "i32x4.gt_s": [0xfd3b],
  "i32x4.gt_u": [0xfd3c],
  "i32x4.le_s": [0xfd3d],
  "i32x4.le_u": [0xfd3e],
  "i32x4.ge_s": [0xfd3f],
  "i32x4.ge_u": [0xfd40],
  "f32x4.eq": [0xfd41],
  "f32x4.ne": [0xfd42],
  "f32x4.lt": [0xfd43],
  "f32x4.gt": [0xfd44],
  "f32x4.le": [0xfd45],
  "f32x4.ge": [0xfd46],
  "v128.not": [0xfd4d],
  "v128.and": [0xfd4e],
  "v128.andnot": [0xfd4f],
  "v128.or": [0xfd50],
  "v128.xor": [0xfd51],
  "v128.bitselect": [0xfd52],
  "v128.load32_lane": [0xfd56, "offset", "lane"],
  "v128.store32_lane": [0xfd5a, "offset", "lane"],
  "v128.store64_lane": [0xfd5b, "offset", "lane"],
  "v128.load32_zero": [0xfd5c, "offset"],
  "i32x4.abs": [0xfda0],
  "i32x4.neg": [0xfda1],
  "i32x4.shl": [0xfdab],
  "i32x4.shr_s": [0xfdac],
  "i32x4.shr_u": [0xfdad],
  "i32x4.add": [0xfdae],
  "i32x4.sub": [0xfdb1],
  "i32x4.mul": [0xfdb5],
  "i32x4.min_s": [0xfdb6],
  "i32x4.min_u": [0xfdb7],
  "i32x4.max_s": [0xfdb8],
  "i32x4.max_u": [0xfdb9],
  "f32x4.floor": [0xfd68],
  "f32x4.trunc": [0xfd69],
  "f32x4.nearest": [0xfd6a],
  "f32x4.abs": [0xfde0],
  "f32x4.neg": [0xfde1],
  "f32x4.sqrt": [0xfde3],
  "f32x4.add": [0xfde4],
  "f32x4.sub": [0xfde5],
  "f32x4.mul": [0xfde6],
  "f32x4.div": [0xfde7],
  "f32x4.min": [0xfde8],
  "f32x4.max": [0xfde9],
  "f32x4.pmin": [0xfdea],
  "f32x4.pmax": [0xfdeb],
  "i32x4.trunc_sat_f32x4_s": [0xfdf8],
  "i32x4.trunc_sat_f32x4_u": [0xfdf9],
  "f32x4.convert_i32x4_s": [0xfdfa],
  "f32x4.convert_i32x4_u": [0xfdfb],
  "f32x4.relaxed_madd": [0xfe05],
  "f32x4.relaxed_nmadd": [0xfe06],
} as const satisfies Readonly<Record<string, OpRow>>;
export type OpName = keyof typeof ops;

export type ValueType = "i32" | "f32" | "i64" | "v128";

export type Code =
  /** `name`: of the local, function or memory place that is meant, for readers. */
  | {
      readonly kind: "op";
      readonly op: OpName;
      readonly args: readonly Code[];
      readonly imm: readonly number[];
      readonly name?: string;
    }
  /** `br` to the label of a block goes to its end, of a loop to its beginning. */
  | { readonly kind: "block" | "loop"; readonly label: string; readonly body: readonly Code[] }
  | { readonly kind: "if"; readonly cond: Code; readonly then: readonly Code[]; readonly else: readonly Code[] }
  | { readonly kind: "br"; readonly label: string; readonly cond?: Code }
  | { readonly kind: "note"; readonly text: string };

/** Parameters come first in `locals`. */
export type Func = {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result?: ValueType;
  readonly locals: readonly { readonly name: string; readonly type: ValueType }[];
  readonly body: readonly Code[];
};

/** A module that imports one shared memory, `gyre.memory`, and exports its last function, by its name. */
export type Module = { readonly name: string; readonly funcs: readonly Func[] };

export const op = (name: OpName, args: readonly Code[] = [], ...imm: readonly number[]): Code => ({
  kind: "op",
  op: name,
  args,
  imm,
});
export const i32 = (value: number): Code => op("i32.const", [], value | 0);
export const f32 = (value: number): Code => op("f32.const", [], value);
/** Four times the same float, or the same integer. */
export const floats = (value: number): Code => op("v128.const", [], ...bitsOf(value));
export const ints = (value: number): Code => op("v128.const", [], value | 0);

const float = new Float32Array(1);
const word = new Int32Array(float.buffer);
function bitsOf(value: number): readonly number[] {
  float[0] = value;
  return [word[0]!];
}

/** The value of four floats as in `floats`, for readers. */
export function floatOf(bits: number): number {
  word[0] = bits;
  return float[0]!;
}
