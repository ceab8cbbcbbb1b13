/** A module of code trees as the bytes of a WebAssembly module (binary format of the specification, chapter 5). */
import { invariant } from "../../base/invariant.ts";
import { type Code, type Func, type Module, ops, type ValueType } from "./code.ts";

const valueTypes: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, v128: 0x7b };
/** The shared memory that modules import may have as many pages as there are addresses. */
export const mostPages = 65536;

/** Bytes in the making. */
type Out = { bytes: Uint8Array; used: number };

function byte(out: Out, value: number): void {
  if (out.used === out.bytes.length) {
    const larger = new Uint8Array(2 * out.bytes.length);
    larger.set(out.bytes);
    out.bytes = larger;
  }
  out.bytes[out.used++] = value;
}
function unsigned(out: Out, value: number): void {
  let rest = value >>> 0;
  for (; rest >= 0x80; rest >>>= 7) byte(out, (rest & 0x7f) | 0x80);
  byte(out, rest);
}
function signed(out: Out, value: number): void {
  let rest = value | 0;
  for (; rest < -64 || rest >= 64; rest >>= 7) byte(out, (rest & 0x7f) | 0x80);
  byte(out, rest & 0x7f);
}
const float = new Float32Array(1);
const floatBytes = new Uint8Array(float.buffer);
function word(out: Out, value: number): void {
  for (let shift = 0; shift < 32; shift += 8) byte(out, (value >>> shift) & 0xff);
}
function text(out: Out, value: string): void {
  unsigned(out, value.length);
  for (const c of value) byte(out, c.charCodeAt(0));
}
const out = (): Out => ({ bytes: new Uint8Array(256), used: 0 });
function append(to: Out, from: Out): void {
  unsigned(to, from.used);
  for (let i = 0; i < from.used; i++) byte(to, from.bytes[i]!);
}
function section(to: Out, id: number, write: (o: Out) => void): void {
  const body = out();
  write(body);
  byte(to, id);
  append(to, body);
}

export function encode(module: Module): Uint8Array {
  const all = out();
  word(all, 0x6d736100);
  word(all, 1);
  const { funcs } = module;
  section(all, 1, (o) => {
    unsigned(o, funcs.length);
    for (const f of funcs) {
      byte(o, 0x60);
      unsigned(o, f.params.length);
      for (const p of f.params) byte(o, valueTypes[p]);
      unsigned(o, f.result ? 1 : 0);
      if (f.result) byte(o, valueTypes[f.result]);
    }
  });
  section(all, 2, (o) => {
    unsigned(o, 1);
    text(o, "gyre");
    text(o, "memory");
    byte(o, 0x02);
    byte(o, 0x03); // shared, with a limit
    unsigned(o, 1);
    unsigned(o, mostPages);
  });
  section(all, 3, (o) => {
    unsigned(o, funcs.length);
    funcs.forEach((_, i) => {
      unsigned(o, i);
    });
  });
  section(all, 7, (o) => {
    unsigned(o, 1);
    text(o, funcs.at(-1)!.name);
    byte(o, 0x00);
    unsigned(o, funcs.length - 1);
  });
  section(all, 10, (o) => {
    unsigned(o, funcs.length);
    for (const f of funcs) {
      const body = out();
      func(body, f);
      append(o, body);
    }
  });
  return all.bytes.slice(0, all.used);
}

function func(o: Out, f: Func): void {
  const own = f.locals.slice(f.params.length);
  const runs: { type: ValueType; count: number }[] = [];
  for (const { type } of own) {
    const last = runs.at(-1);
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  unsigned(o, runs.length);
  for (const { type, count } of runs) {
    unsigned(o, count);
    byte(o, valueTypes[type]);
  }
  const labels: string[] = [];
  for (const c of f.body) code(o, c, labels);
  byte(o, 0x0b);
}

const VOID = 0x40;

/** `labels`: of the blocks around, innermost last. */
function code(o: Out, c: Code, labels: string[]): void {
  switch (c.kind) {
    case "note":
      return;
    case "block":
    case "loop":
      byte(o, c.kind === "block" ? 0x02 : 0x03);
      byte(o, VOID);
      labels.push(c.label);
      for (const s of c.body) code(o, s, labels);
      labels.pop();
      byte(o, 0x0b);
      return;
    case "if":
      code(o, c.cond, labels);
      byte(o, 0x04);
      byte(o, VOID);
      labels.push("");
      for (const s of c.then) code(o, s, labels);
      if (c.else.length > 0) byte(o, 0x05);
      for (const s of c.else) code(o, s, labels);
      labels.pop();
      byte(o, 0x0b);
      return;
    case "br": {
      const at = labels.lastIndexOf(c.label);
      invariant(at >= 0, `${c.label} is a block around`);
      if (c.cond) code(o, c.cond, labels);
      byte(o, c.cond ? 0x0d : 0x0c);
      unsigned(o, labels.length - 1 - at);
      return;
    }
    case "op": {
      for (const a of c.args) code(o, a, labels);
      const [opcode, ...kinds] = ops[c.op];
      if (opcode < 0x100) byte(o, opcode);
      else {
        // 0xfe.. stands for the second hundred of the SIMD opcodes.
        byte(o, opcode >= 0xfd00 ? 0xfd : opcode >> 8);
        unsigned(o, opcode >= 0xfd00 ? opcode - 0xfd00 : opcode & 0xff);
      }
      kinds.forEach((kind, i) => {
        const value = c.imm[i]!;
        if (kind === "i32") signed(o, value);
        else if (kind === "f32") {
          float[0] = value;
          for (const b of floatBytes) byte(o, b);
        } else if (kind === "v128") for (let k = 0; k < 4; k++) word(o, c.imm[c.imm.length === 1 ? 0 : k]!);
        else if (kind === "lanes") for (const l of c.imm) byte(o, l);
        else if (kind === "lane") byte(o, value);
        else if (kind === "index") unsigned(o, value);
        else {
          unsigned(o, 0); // aligned to one byte: no promise
          unsigned(o, value);
        }
      });
    }
  }
}
