/** One launch of a kernel as a WebAssembly module, here and now. */
import { type NDArray, ndarray } from "../../compiler/core/ndarray.ts";
import type { WasmFeatures } from "../../compiler/emit/wasm/context.ts";
import { mostPages } from "../../compiler/emit/wasm/encode.ts";
import { emitWasm } from "../../compiler/emit/wasm.ts";
import type { LaneProgram } from "../../compiler/lane/ir.ts";
import { deviceBytes, fromDevice, hostArray, toDevice } from "../../runtime/dtype.ts";

const memory = new WebAssembly.Memory({ initial: 64, maximum: mostPages, shared: true });
const FIRST = 1 << 20;

/** The contents of the buffers after all workgroups ran. Outputs begin as zeros, what lies between buffers as it was. */
export function runWasm(
  program: LaneProgram,
  contents: readonly NDArray[],
  scalars: readonly number[],
  features: WasmFeatures = { relaxedSimd: false },
): NDArray[] {
  const { code, groups, sharedBytes } = emitWasm(program, features);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code!), {
    gyre: { memory },
  });
  const count = (x: NDArray): number => x.shape.reduce((n, m) => n * m, 1);
  const args: number[] = [];
  let next = FIRST;
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(0xff, 0, sharedBytes); // NaN: arrays are written before they are read
  for (const [k, x] of contents.entries()) {
    const size = deviceBytes(x.dtype, count(x));
    args.push(next);
    bytes.fill(0, next, next + size);
    if (program.buffers[k]!.access === "read") {
      const host = hostArray(x.dtype, count(x));
      host.set([...x.data]);
      const data = toDevice(host, x.dtype);
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), next);
    }
    next += (size + 63) & ~15;
  }
  new Int32Array(memory.buffer, next, args.length + scalars.length).set([...args, ...scalars]);
  (exports.main as (...words: number[]) => void)(0, groups[0], 0, next);
  return contents.map((x, k) => {
    const at = args[k]!;
    const data = new Uint8Array(deviceBytes(x.dtype, count(x)));
    data.set(bytes.subarray(at, at + data.length));
    return ndarray(x.dtype, x.shape, fromDevice(data, x.dtype, count(x)));
  });
}
