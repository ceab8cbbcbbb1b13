/** Buffers as kernels for Hopper copy boxes of them: tensor maps, which the driver encodes and a launch takes by value. */
import type { TensorView } from "../../compiler/emit/text.ts";
import type { Driver, Handle } from "./driver.ts";
import type { Failed } from "./refusals.ts";

/** CUtensorMapDataType, CUtensorMapSwizzle, and what to fetch into the second-level cache at once: 256 bytes. */
const TYPES = { f16: 6, f32: 7, bf16: 9 } as const;
const SPANS = { 0: 0, 32: 1, 64: 2, 128: 3 } as const;
const L2_256_BYTES = 3;

const MAP_BYTES = 128;
/** Where a launch's buffers go round, their maps are kept. */
const KEPT_MAPS = 64;

/** A view's maps. `at` gives where the map of a buffer lies in memory, for the driver to read at the launch. */
export function tensorMaps(driver: Driver, view: TensorView): { readonly at: (f: Failed, address: Handle) => Handle } {
  const kept = new Map<Handle, { readonly memory: Uint8Array; readonly at: Handle }>();
  return {
    at(f, address) {
      const known = kept.get(address);
      if (known) return known.at;
      if (kept.size >= KEPT_MAPS) kept.clear();
      const memory = new Uint8Array(new ArrayBuffer(2 * MAP_BYTES));
      const start = driver.addressOf(memory);
      const map = { memory, at: start + ((64n - (start % 64n)) % 64n) };
      encode(driver, f, view, address, map.at);
      kept.set(address, map);
      return map.at;
    },
  };
}

/** Dimensions go the fastest first, and there are at least two. */
function encode(driver: Driver, f: Failed, view: TensorView, address: Handle, to: Handle): void {
  const { shape, box } = view;
  const bytes = view.dtype === "f32" ? 4 : 2;
  const dims = [...shape].reverse();
  const strides = dims.map((_, k) => bytes * dims.slice(0, k).reduce((n, d) => n * d, 1));
  driver.call(
    f,
    "cuTensorMapEncodeTiled",
    to,
    TYPES[view.dtype as keyof typeof TYPES],
    dims.length,
    address,
    BigUint64Array.from(dims, BigInt),
    BigUint64Array.from(strides.slice(1), BigInt),
    Uint32Array.from([...box].reverse()),
    Uint32Array.from(dims, () => 1),
    0,
    SPANS[view.span],
    L2_256_BYTES,
    0,
  );
}
