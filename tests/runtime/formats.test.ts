import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { roundTo, type Tensor } from "../../runtime/dtype.ts";
import type { GyreRuntimeError } from "../../runtime/errors.ts";
import { readNpy, writeNpy } from "../../runtime/formats/npy.ts";
import { readNpz, writeNpz } from "../../runtime/formats/npz.ts";
import { readSafetensors, writeSafetensors } from "../../runtime/formats/safetensors.ts";

/** A header as NumPy writes it, and the elements. */
function npy(header: string, elements: Uint8Array, version = 1): Uint8Array {
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  length.writeUIntLE(header.length, 0, length.length);
  return Buffer.concat([
    Buffer.from(`\x93NUMPY${String.fromCharCode(version)}\0`, "latin1"),
    length,
    Buffer.from(header),
    elements,
  ]);
}
const dict = (descr: string, shape: string, fortran = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;
const bytesOf = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const f32 = (...values: number[]) => bytesOf(Float32Array.from(values));
const inputError = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    const { kind, message, help } = error as GyreRuntimeError;
    expect(kind).toBe("input");
    expect(help).not.toBe("");
    return message;
  }
  throw new Error("no error");
};

const tensors: fc.Arbitrary<Tensor> = fc
  .record({
    dtype: fc.constantFrom("f32", "f16", "bf16", "i32", "u32", "bool" as const),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
    seed: fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 64, maxLength: 64 }),
  })
  .map(({ dtype, shape, seed }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { dtype, shape, data: roundTo(Float64Array.from(seed.slice(0, count)), dtype) };
  });

describe(".npy", () => {
  // numpy.save(file, numpy.arange(6, dtype="float32").reshape(2, 3)), as NumPy 2.4 writes it.
  const FROM_NUMPY =
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAACAPwAAAEAAAEBAAACAQAAAoEA=";

  test("NumPy's own bytes are read, and written the same", () => {
    const bytes = Buffer.from(FROM_NUMPY, "base64");
    const tensor = readNpy(bytes, "x.npy");
    expect(tensor).toEqual({ dtype: "f32", shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) });
    expect(Buffer.from(writeNpy(tensor)).equals(bytes)).toBe(true);
  });

  test("all versions, orders and kinds of elements", () => {
    const read = (header: string, elements: Uint8Array, version = 1) =>
      readNpy(npy(header, elements, version), "x.npy");
    for (const version of [1, 2, 3]) expect(read(dict("<f4", "(2,)"), f32(1, 2), version).shape).toEqual([2]);
    expect(read(dict("<f4", "()"), f32(2.5))).toEqual({ dtype: "f32", shape: [], data: Float32Array.of(2.5) });
    expect(read(dict("<f4", "(2, 3)", "True"), f32(0, 3, 1, 4, 2, 5)).data).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
    expect(read(dict("<f4", "(2, 2, 2)", "True"), f32(0, 4, 2, 6, 1, 5, 3, 7)).data).toEqual(
      Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7),
    );
    expect(read(dict(">f8", "(1,)"), Uint8Array.of(0x3f, 0xf8, 0, 0, 0, 0, 0, 0)).data).toEqual(Float64Array.of(1.5));
    expect(read(dict(">i2", "(2,)"), Uint8Array.of(1, 0, 0xff, 0xff)).data).toEqual(Int32Array.of(256, -1));
    expect(read(dict("<f2", "(2,)"), Uint8Array.of(0, 0x3c, 0, 0xc1)).data).toEqual(Float32Array.of(1, -2.5));
    expect(read(dict("<V2", "(1,)"), Uint8Array.of(0x80, 0x3f))).toMatchObject({
      dtype: "bf16",
      data: Float32Array.of(1),
    });
    expect(read(dict("<i8", "(1,)"), bytesOf(BigInt64Array.of(-7n))).data).toEqual(Int32Array.of(-7));
    expect(read(dict("<u8", "(1,)"), bytesOf(BigUint64Array.of(7n))).data).toEqual(Uint32Array.of(7));
    expect(read(dict("|u1", "(1,)"), Uint8Array.of(200))).toMatchObject({ dtype: "u32", data: Uint32Array.of(200) });
    expect(read(dict("|b1", "(2,)"), Uint8Array.of(1, 0))).toMatchObject({ dtype: "bool", data: Uint8Array.of(1, 0) });
    expect(read(dict("<f4", "(0, 3)"), f32()).shape).toEqual([0, 3]);
  });

  test("wrong files are errors with the file's name", () => {
    const read = (bytes: Uint8Array) => inputError(() => readNpy(bytes, "q.npy"));
    expect(read(Buffer.from("hello, world"))).toBe("q.npy is not an .npy file");
    expect(read(new Uint8Array(0))).toBe("q.npy is not an .npy file");
    expect(read(npy(dict("<f4", "(3,)"), f32(1, 2)))).toMatch(
      /^q.npy is cut off: \d+ bytes are announced, \d+ are there$/,
    );
    expect(read(npy(dict("<f4", "(3,)"), f32(1)).subarray(0, 20))).toMatch(/cut off/);
    expect(read(npy(dict("<c8", "(1,)"), f32(1, 2)))).toBe("q.npy has elements of dtype '<c8'");
    expect(read(npy("{'descr': [('a', '<f4')], 'shape': (1,)}", f32(1)))).toBe("q.npy holds records");
    expect(read(npy("{}", f32(1)))).toMatch(/header that cannot be read/);
    expect(read(npy(dict("<i8", "(1,)"), bytesOf(BigInt64Array.of(2n ** 40n))))).toMatch(/1099511627776.*32 bits/);
  });

  test("law: read after write is nothing, but for bf16, which NumPy lacks", () => {
    fc.assert(
      fc.property(tensors, (tensor) => {
        const back = readNpy(writeNpy(tensor), "x.npy");
        expect(back).toEqual(tensor.dtype === "bf16" ? { ...tensor, dtype: "f32" } : tensor);
      }),
    );
  });
});

describe(".npz", () => {
  // numpy.savez_compressed(file, a=numpy.arange(6, dtype="float32").reshape(2, 3), b=numpy.array([1, 2], "int32"))
  const FROM_NUMPY =
    "UEsDBC0AAAAIAAAAIQBP6QAq//////////8FABQAYS5ucHkBABAAmAAAAAAAAABVAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CsaaOgq1CmQDLgYwaLAHEg5ABMQNQLzAAQBQSwMELQAAAAgAAAAhAAv5qi3//////////wUAFABiLm5weQEAEACIAAAAAAAAAEsAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNpoq6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaRjqaOgq1ChQALkYGBgYmIAYAUEsBAi0DLQAAAAgAAAAhAE/pACpVAAAAmAAAAAUAAAAAAAAAAAAAAIABAAAAAGEubnB5UEsBAi0DLQAAAAgAAAAhAAv5qi1LAAAAiAAAAAUAAAAAAAAAAAAAAIABjAAAAGIubnB5UEsFBgAAAAACAAIAZgAAAA4BAAAAAA==";

  test("NumPy's own bytes are read", () => {
    const arrays = readNpz(Buffer.from(FROM_NUMPY, "base64"), "x.npz");
    expect([...arrays.keys()]).toEqual(["a", "b"]);
    expect(arrays.get("a")).toEqual({ dtype: "f32", shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) });
    expect(arrays.get("b")!.data).toEqual(Int32Array.of(1, 2));
  });

  test("what is written is read", () => {
    const a: Tensor = { dtype: "f32", shape: [3], data: Float32Array.of(1, 2, 3) };
    const arrays = new Map<string, Tensor>([
      ["a", a],
      ["p.w1", { dtype: "bool", shape: [], data: Uint8Array.of(1) }],
    ]);
    expect(readNpz(writeNpz(arrays), "x.npz")).toEqual(arrays);
    expect(readNpz(writeNpz(new Map()), "x.npz").size).toBe(0);
  });

  test("damaged files are errors with the file's name", () => {
    const whole = Buffer.from(FROM_NUMPY, "base64");
    const read = (bytes: Uint8Array) => inputError(() => readNpz(bytes, "w.npz"));
    expect(read(whole.subarray(0, 200))).toMatch(/^w.npz is no whole .npz file: its directory is missing/);
    const flipped = Buffer.from(whole);
    flipped[70]! ^= 1;
    expect(read(flipped)).toMatch(/w.npz.*'a.npy'/);
  });
});

describe(".safetensors", () => {
  test("law: read after write is nothing, for every dtype", () => {
    fc.assert(
      fc.property(fc.array(tensors, { maxLength: 3 }), (list) => {
        const arrays = new Map(list.map((tensor, i) => [`layer.${i}`, tensor]));
        expect(readSafetensors(writeSafetensors(arrays), "w.safetensors")).toEqual(arrays);
      }),
    );
  });

  const file = (header: object, data: Uint8Array) => {
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, json, data]);
  };

  test("metadata is passed over, and other dtypes are read", () => {
    const entry = { dtype: "I64", shape: [1], data_offsets: [0, 8] };
    const bytes = file({ __metadata__: { format: "pt" }, n: entry }, bytesOf(BigInt64Array.of(5n)));
    expect([...readSafetensors(bytes, "w").entries()]).toEqual([
      ["n", { dtype: "i32", shape: [1], data: Int32Array.of(5) }],
    ]);
  });

  test("wrong files are errors with the file's name", () => {
    const read = (bytes: Uint8Array) => inputError(() => readSafetensors(bytes, "w.safetensors"));
    expect(read(Buffer.from("hi"))).toBe("w.safetensors is no .npy, .npz or whole .safetensors file");
    expect(read(Buffer.from("hello, world, hello, world"))).toBe(
      "w.safetensors is no .npy, .npz or whole .safetensors file",
    );
    const entry = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
    expect(read(file({ x: entry }, f32(1)))).toMatch(/w.safetensors is cut off: 'x'/);
    expect(read(file({ x: { ...entry, shape: [3] } }, f32(1, 2)))).toMatch(/'x' in w.safetensors has 8 bytes for 3/);
    expect(read(file({ x: { ...entry, dtype: "F8_E4M3" } }, f32(1, 2)))).toMatch(/has dtype F8_E4M3/);
    expect(read(file({ x: { dtype: "F32" } }, f32()))).toMatch(/cannot be read/);
  });
});
