/** What a caller gives to `run`, checked against what the program asks for. */
import type { Port } from "../compiler/schedule/schedule.ts";
import { type DeviceArray, stateOf } from "./array.ts";
import { type Dtype, elementCount, type HostArray, isFloat, type Tensor } from "./dtype.ts";
import { fail } from "./errors.ts";
import type { Mesh, PartitionSpec } from "./layout.ts";

/**
 * An input: an array on the devices, a tensor, or bare elements in row-major order for the shape that the program has
 * (a number for a scalar). Floats of any width do for a float, integers and booleans for each other.
 */
export type InputValue = DeviceArray | Tensor | PartialTensor | HostArray | number | boolean;

/** An array of which only parts are wanted: each device's, when it is put there. It has the program's dtype. */
export type PartialTensor = {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** What the device at `position` of the mesh holds under `spec`, row-major. */
  readonly part: (spec: PartitionSpec, mesh: Mesh, position: number) => HostArray;
};

/** Every name in `given` is one of the program's. */
export function checkKnown(ports: readonly Port[], given: readonly string[]): void {
  const names = ports.map((p) => p.path);
  const unknown = given.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const near = nearest(unknown, names);
  const known =
    names.length === 0 ? "the program has none" : `the program has ${names.map((n) => `'${n}'`).join(", ")}`;
  fail("input", `there is no input '${unknown}'`, near === undefined ? known : `did you mean '${near}'? ${known}`);
}

/** Every input is in `given`. */
export function checkComplete(ports: readonly Port[], given: Readonly<Record<string, unknown>>): void {
  const missing = ports.filter((p) => given[p.path] === undefined);
  if (missing.length === 0) return;
  const list = missing.map((p) => `'${p.path}' (${typeOf(p)})`).join(", ");
  const some = missing.length > 1;
  fail("input", `input${some ? "s" : ""} ${list} ${some ? "are" : "is"} missing`, "give an array for each input");
}

/** The given value as a tensor of the port's dtype and shape; an array on the devices is not for here. */
export function tensorFor(port: Port, given: Exclude<InputValue, DeviceArray>): Tensor | PartialTensor {
  const count = elementCount(port.shape);
  if (typeof given === "number" || typeof given === "boolean") {
    if (port.shape.length > 0) mismatch(port, "is a number");
    return { dtype: port.dtype, shape: [], data: Float64Array.of(Number(given)) };
  }
  if (!ArrayBuffer.isView(given)) {
    checkShape(port, given.dtype, given.shape);
    checkKind(port, given.dtype);
    if ("part" in given) return given;
    return { dtype: port.dtype, shape: port.shape, data: given.data };
  }
  checkKind(port, given instanceof Float32Array || given instanceof Float64Array ? "f32" : "i32");
  if (given.length !== count) mismatch(port, `has ${given.length} elements`);
  return { dtype: port.dtype, shape: port.shape, data: given };
}

/** An array on the devices must have exactly the port's dtype and shape. */
export function checkDeviceArray(port: Port, array: DeviceArray): void {
  const state = stateOf(array)!;
  checkShape(port, state.dtype, state.shape);
  if (state.dtype !== port.dtype) mismatch(port, `is ${state.dtype}[${state.shape.join(", ")}]`);
}

function checkKind(port: Port, dtype: Dtype): void {
  if (isFloat(port.dtype) !== isFloat(dtype)) mismatch(port, isFloat(dtype) ? "holds floats" : "holds integers");
}

function checkShape(port: Port, dtype: Dtype, shape: readonly number[]): void {
  if (shape.length === port.shape.length && shape.every((n, i) => n === port.shape[i])) return;
  const rank = shape.length === port.shape.length ? "" : ` (${shape.length} dimensions, not ${port.shape.length})`;
  mismatch(port, `is ${dtype}[${shape.join(", ")}]${rank}`);
}

function mismatch(port: Port, is: string): never {
  return fail(
    "input",
    `input '${port.path}' ${is}, and the program asks for ${typeOf(port)}`,
    "give an array of that type, or compile for other dimensions",
  );
}

/** `f32[B, S, H, D] = f32[1, 1024, 8, 64]`: as written, and in numbers where they say more. */
function typeOf(port: Port): string {
  const written = `${port.dtype}[${port.written.join(", ")}]`;
  const numbers = `${port.dtype}[${port.shape.join(", ")}]`;
  if (port.shape.length === 0) return port.dtype;
  return written === numbers ? numbers : `${written} = ${numbers}`;
}

/** The name that is at most a third of its letters away, if there is one. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const scored = names.map((n) => ({ n, d: distance(name.toLowerCase(), n.toLowerCase()) })).sort((a, b) => a.d - b.d);
  const best = scored[0];
  return best && best.d <= Math.max(1, Math.floor(Math.max(name.length, best.n.length) / 3)) ? best.n : undefined;
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
