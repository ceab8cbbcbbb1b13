/**
 * ONNX models as bytes: as much of Protocol Buffers' wire format, and of onnx.proto, as models made in code need.
 *
 * A field is a key (number << 3 | type) and a varint (type 0), a 32-bit word (type 5), or a length and bytes (type 2).
 */

type Bytes = Uint8Array;

function concat(parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function varint(value: number): Bytes {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    const low = Number(rest & 127n);
    if (rest < 128n) return Uint8Array.from([...bytes, low]);
    bytes.push(low | 128);
  }
}

const integer = (field: number, value: number): Bytes => concat([varint(field << 3), varint(value)]);
const bytes = (field: number, value: Bytes): Bytes => concat([varint((field << 3) | 2), varint(value.length), value]);
const text = (field: number, value: string): Bytes => bytes(field, new TextEncoder().encode(value));
const float = (field: number, value: number): Bytes =>
  concat([varint((field << 3) | 5), new Uint8Array(Float32Array.of(value).buffer)]);

// --- onnx.proto ------------------------------------------------------------------------------------------------------

/** `i` integers, `f` a float, `is` a list of integers. */
export type Attribute = { readonly i: number } | { readonly f: number } | { readonly is: readonly number[] };

export type Node = {
  readonly op: string;
  /** `com.microsoft` for onnxruntime's own operators; ONNX's when left out. */
  readonly domain?: string;
  /** Names; an empty one stands for an input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
};

export type Tensor = { readonly name: string; readonly shape: readonly number[] };
export type Constant = Tensor & { readonly data: Float32Array | Int32Array | BigInt64Array };

export type Graph = {
  readonly nodes: readonly Node[];
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly constants: readonly Constant[];
};

const FLOAT = 1;

function attribute(name: string, value: Attribute): Bytes {
  if ("f" in value) return concat([text(1, name), float(2, value.f), integer(20, 1)]);
  if ("i" in value) return concat([text(1, name), integer(3, value.i), integer(20, 2)]);
  return concat([text(1, name), ...value.is.map((i) => integer(8, i)), integer(20, 7)]);
}

const node = ({ op, domain, inputs, outputs, attributes = {} }: Node): Bytes =>
  concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value))),
    ...(domain === undefined ? [] : [text(7, domain)]),
  ]);

function constant({ name, shape, data }: Constant): Bytes {
  const type = data instanceof Float32Array ? FLOAT : data instanceof Int32Array ? 6 : 7;
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return concat([...shape.map((size) => integer(1, size)), integer(2, type), text(8, name), bytes(9, raw)]);
}

function valueInfo({ name, shape }: Tensor): Bytes {
  const dims = concat(shape.map((size) => bytes(1, integer(1, size))));
  return concat([text(1, name), bytes(2, bytes(1, concat([integer(1, FLOAT), bytes(2, dims)])))]);
}

/** A model whose inputs and outputs are f32. */
export function encodeModel({ nodes, inputs, outputs, constants }: Graph): Uint8Array {
  const graph = concat([
    ...nodes.map((n) => bytes(1, node(n))),
    text(2, "graph"),
    ...constants.map((c) => bytes(5, constant(c))),
    ...inputs.map((t) => bytes(11, valueInfo(t))),
    ...outputs.map((t) => bytes(12, valueInfo(t))),
  ]);
  const opset = (domain: string, version: number) => bytes(8, concat([text(1, domain), integer(2, version)]));
  return concat([integer(1, 8), bytes(7, graph), opset("", 17), opset("com.microsoft", 1)]);
}
