/** Sessions on devices made of nothing: what is checked, who owns what memory, and when it is given back. */
import { afterEach, expect, test } from "vitest";
import { plan } from "../../compiler/schedule/plan.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import type { DeviceArray } from "../../runtime/array.ts";
import { type Executable, sessionOn } from "../../runtime/session.ts";
import { launch, metaOf, programBuilder, ringSum, update } from "../schedule/programs.ts";
import { type FakeDevice, type FakeOptions, fakeDevice, fakeSource } from "./fake.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function fakeSession(count: number, options: FakeOptions = {}) {
  const devices = Array.from({ length: count }, (_, p): FakeDevice => fakeDevice(`fake:${p}`, options));
  const session = sessionOn(devices);
  closing.push(session.close);
  const live = () => devices.map((d) => d.live.size);
  return { session, devices, live };
}

function executable(program: DeviceProgram): Executable {
  const meta = metaOf(program);
  const kernels = meta.map((k) =>
    fakeSource(
      k.name,
      k.bindings.map((b) => b.access),
      k.bindings.map((b) => b.shape.reduce((n, d) => n * d, 1)),
      k.scalars.length,
    ),
  );
  return { schedule: plan(program, meta), kernels, replan: (donate) => plan(program, meta, { donate }) };
}

/** next = f(state, x); two inputs of other dtypes and ranks. */
function step(): DeviceProgram {
  const b = programBuilder("step", { sp: 2 });
  const state = b.input("state", [4], "sp");
  const x = b.input("x", [4, 3], null);
  b.input("ids", [4], null, "i32");
  b.input("rate", [], null);
  const [t, next] = [b.array("t", [4]), b.array("next", [4])];
  const one = b.kernel("one", ["read", "write"], [4]);
  const put = b.kernel("put", ["update"], [4]);
  b.output(next, "state", "sp");
  const program = b.finish([launch(one, x, t), update(put, [next], 0, state)]);
  const shaped = program.kernels.map((k) =>
    k.name === "one" ? { ...k, buffers: [{ ...k.buffers[0]!, shape: [4, 3] }, k.buffers[1]!] } : k,
  );
  return { ...program, kernels: shaped };
}
const good = () => ({ state: new Float32Array(8), x: new Float32Array(12), ids: new Int32Array(4), rate: 0.5 });

test("inputs that do not fit are told apart, in the words of the source", async () => {
  const program = await fakeSession(2).session.load(executable(step()));
  const wrong = (change: object) =>
    program.run({ ...good(), ...change }).catch((e) => `${e.kind}: ${e.message} | ${e.help}`);
  expect(await wrong({ stat: new Float32Array(8) })).toBe(
    "input: there is no input 'stat' | did you mean 'state'? the program has 'state', 'x', 'ids', 'rate'",
  );
  expect(await wrong({ x: undefined, ids: undefined })).toBe(
    "input: inputs 'x' (f32[4, 3]), 'ids' (i32[4]) are missing | give an array for each input",
  );
  expect(await wrong({ x: { dtype: "f32", shape: [12], data: new Float32Array(12) } })).toMatch(
    "input 'x' is f32[12] (1 dimensions, not 2), and the program asks for f32[4, 3]",
  );
  expect(await wrong({ x: { dtype: "f32", shape: [3, 4], data: new Float32Array(12) } })).toMatch(
    "input 'x' is f32[3, 4], and",
  );
  expect(await wrong({ ids: new Float32Array(4) })).toMatch(
    "input 'ids' holds floats, and the program asks for i32[4]",
  );
  expect(await wrong({ x: new Int32Array(12) })).toMatch("input 'x' holds integers");
  expect(await wrong({ x: new Float32Array(11) })).toMatch("input 'x' has 11 elements");
  expect(await wrong({ x: 3 })).toMatch("input 'x' is a number");
  await expect(program.run(good(), { donate: ["stat"] })).rejects.toThrow("there is no input 'stat'");
  await expect(program.put("stat", 1)).rejects.toThrow("there is no input 'stat'");
  await expect(program.run(good())).resolves.toHaveProperty("state");
});

test("memory goes from run to run: steps with donation need no more", async () => {
  const { session, live } = fakeSession(2);
  const program = await session.load(executable(step()));
  let state = (await program.run(good())).state!;
  state = (await program.run({ ...good(), state }, { donate: ["state"] })).state!;
  const after = live();
  for (let i = 0; i < 10; i++) state = (await program.run({ ...good(), state }, { donate: ["state"] })).state!;
  expect(live()).toEqual(after);
  expect((await state.read()).shape).toEqual([8]);
});

test("an array that is donated or freed is dead, and says why", async () => {
  const program = await fakeSession(2).session.load(executable(step()));
  const first = (await program.run(good())).state!;
  await program.run({ ...good(), state: first }, { donate: ["state"] });
  await expect(program.run({ ...good(), state: first })).rejects.toThrow(
    "cannot use as input 'state' 'state' (f32[8]): it was donated to 'step'",
  );
  const second = (await program.run(good())).state!;
  second.free();
  second.free();
  await expect(second.read()).rejects.toThrow("cannot read 'state' (f32[8]): it was freed");
});

test("an array of another sharding, dtype or session goes by way of the host, or is refused", async () => {
  const { session } = fakeSession(2);
  const program = await session.load(executable(step()));
  const elsewhere = await fakeSession(2).session.load(executable(step()));
  const state = (await program.run({ ...good(), state: Float32Array.from({ length: 8 }, (_, i) => i) })).state!;
  const { data } = await state.read();
  const moved = (await elsewhere.put("state", state)) as DeviceArray;
  expect(moved).not.toBe(state);
  expect((await moved.read()).data).toEqual(data);
  expect(await program.put("state", state)).toBe(state);
  await expect(program.run({ ...good(), x: state })).rejects.toThrow("input 'x' is f32[8] (1 dimensions, not 2)");
});

test("one array for two inputs is fine, unless one of them is donated", async () => {
  const b = programBuilder("two", { sp: 2 });
  const [p, q] = [b.input("p", [4], "sp"), b.input("q", [4], "sp")];
  const out = b.array("out", [4]);
  const k = b.kernel("k", ["read", "read", "write"], [4]);
  b.output(out, "", "sp");
  const program = await fakeSession(2).session.load(executable(b.finish([launch(k, p, q, out)])));
  const x = await program.put("p", new Float32Array(8));
  await expect(program.run({ p: x, q: x })).resolves.toBeDefined();
  await expect(program.run({ p: x, q: x }, { donate: ["p"] })).rejects.toThrow("'p' is donated and is also input 'q'");
});

test("limits are known before anything runs, with the mesh that would do", async () => {
  const { session } = fakeSession(4, { maxBytes: 1024 });
  const error = await session.load(executable(ringSum(4, 1000))).catch((e) => e);
  expect(error.kind).toBe("limit");
  expect(error.message).toBe("'x' needs 3.91 KiB on each device, and fake allows 1 KiB for one array (maxBufferSize)");
  expect(error.help).toBe("with --mesh sp=16 it would fit (1000 bytes on each device); or use smaller dimensions");
  const few = await fakeSession(2)
    .session.load(executable(ringSum(4)))
    .catch((e) => e);
  expect(few.message).toBe("'ring_sum' is for a mesh of 4 devices (sp: 4), and this session has 2");
});

test("a failed run leaves its memory to the driver, and a session that goes on", async () => {
  let fail = false;
  const { session, live } = fakeSession(2, {
    before: () => {},
    delay: () => {
      if (fail) throw new Error("broken");
      return 0;
    },
  });
  const made = executable(step());
  const program = await session.load(made);
  expect(await session.load(made)).toBe(program);
  const kept = await program.put("state", new Float32Array(8));
  const before = live();
  fail = true;
  await expect(program.run({ ...good(), state: kept })).rejects.toThrow("broken");
  fail = false;
  expect(live()).toEqual(before);
  await expect(program.run({ ...good(), state: kept })).resolves.toBeDefined();
  session.close();
  await expect(program.run(good())).rejects.toThrow("the session was closed");
});
