/**
 * Lane -> WebAssembly with SIMD. A function `main(first, end, scratch, args)` runs the workgroups from `first` to before
 * `end`: `args` is the place of the buffers' addresses and then the scalars, one word each; `scratch` of memory for the
 * arrays of one thread. What is 4-wide in Lane is a v128, a bool in it a mask; a scalar that only 4-wide values are
 * computed from is held four times over.
 */
import type { LaneProgram } from "../lane/ir.ts";
import type { KernelText } from "./text.ts";
import { type Func, i32 } from "./wasm/code.ts";
import { declare, type Emit, get, memory, setNew, type WasmFeatures } from "./wasm/context.ts";
import { encode } from "./wasm/encode.ts";
import { scalar, wide } from "./wasm/expressions.ts";
import { print } from "./wasm/print.ts";
import { block, upTo } from "./wasm/statements.ts";
import { countUses } from "./wasm/uses.ts";

export function emitWasm(program: LaneProgram, features: WasmFeatures): KernelText {
  const params = ["first", "end", "scratch", "args"].map((name) => ({ name, type: "i32" as const }));
  const e: Emit = {
    program,
    features,
    uses: countUses(program.body),
    locals: [...params],
    names: new Map(),
    buffers: [],
    arrays: new Map(),
    functions: new Map(),
    funcs: [],
    scratch: 0,
    out: [],
    labels: 0,
    scalar: (x) => scalar(e, x),
    wide: (x) => wide(e, x),
  };
  const args = get({ index: 3, name: "args" });
  program.buffers.forEach((b, k) => {
    e.buffers.push(setNew(e, b.name, "i32", memory("i32.load", [args], 4 * k)));
  });
  program.scalars.forEach((s, k) => {
    declare(e, s.name, "i32", 1, memory("i32.load", [args], 4 * (program.buffers.length + k)));
  });
  const group = { index: 0, name: "first" };
  e.names.set("group", { own: group });
  const one = (): void => {
    if (program.threads === 1) {
      declare(e, "lane", "i32", 1, i32(0));
      block(e, program.body);
    } else {
      const lane = setNew(e, "lane", "i32", i32(0));
      e.names.set("lane", { own: lane });
      upTo(e, lane, i32(program.threads), 1, true, () => block(e, program.body));
    }
  };
  upTo(e, group, get({ index: 1, name: "end" }), 1, true, one);
  const main: Func = { name: "main", params: ["i32", "i32", "i32", "i32"], locals: e.locals, body: e.out };
  const module = { name: program.name, funcs: [...e.funcs, main] };
  return {
    name: program.name,
    text: [...header(program), print(module), ""].join("\n"),
    code: encode(module),
    entry: "main",
    groups: [program.groups, 1, 1],
    access: program.buffers.map((b) => b.access),
    sharedBytes: e.scratch,
  };
}

function header(p: LaneProgram): readonly string[] {
  const buffers = p.buffers.map(
    (b) => `;;   ${b.name}: ${b.dtype}[${b.shape.join(", ")}]${b.access === "read" ? "" : ", written"}`,
  );
  return [`;; ${p.name}: ${p.groups} workgroups of ${p.threads}`, ...buffers, ...p.notes.map((n) => `;; ${n}`)];
}
