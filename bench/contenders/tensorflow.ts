/** TensorFlow.js: MatMul and softmax, on WebGPU or WebAssembly. */
import { createRequire } from "node:module";
import type { Arrays, Attention, Problem, Workload } from "../workloads/workload.ts";
import { WINDOW } from "../workloads/workload.ts";
import type { Prepare } from "./contender.ts";
import { byHead, importPeer, peerPath } from "./peer.ts";
import { drained, offerWebGpu } from "./webgpu.ts";

type T = {
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
  dispose(): void;
};
type Tf = {
  ready(): Promise<void>;
  setBackend(name: string): Promise<boolean>;
  backend(): { readonly queue?: GPUQueue; endComputePassEncoder?(): void; submitQueue?(): void };
  tidy<R>(f: () => R): R;
  tensor(data: Float32Array, shape: readonly number[]): T;
  grads(f: (...operands: T[]) => T): (operands: readonly T[], dy: T) => readonly T[];
  matMul(a: T, b: T, transposeA?: boolean, transposeB?: boolean): T;
  softmax(x: T): T;
  add(a: T, b: T | number): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T | number): T;
  square(x: T): T;
  rsqrt(x: T): T;
  sigmoid(x: T): T;
  mean(x: T, axis: number, keepDims: boolean): T;
  reshape(x: T, shape: readonly number[]): T;
  transpose(x: T, perm: readonly number[]): T;
  slice(x: T, begin: readonly number[], size: readonly number[]): T;
  concat(parts: readonly T[], axis: number): T;
};

export const onBackend =
  (backend: "webgpu" | "wasm"): Prepare =>
  async (workload, inputs) => {
    if (backend === "webgpu") await offerWebGpu();
    const core = (await importPeer("@tensorflow/tfjs-core/dist/tf-core.node.js")) as { default: Tf };
    const tf = core.default;
    // A module of imports without endings, which only `require` resolves.
    if (workload.problem.kind === "gradients")
      createRequire(import.meta.url)(peerPath("@tensorflow/tfjs-core/dist/register_all_gradients.js"));
    if (backend === "webgpu") await importPeer("@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.node.js");
    else {
      const wasm = (await importPeer("@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.node.js")) as {
        default: { setWasmPaths(folder: string): void };
      };
      wasm.default.setWasmPaths(peerPath("@tensorflow/tfjs-backend-wasm/wasm-out/"));
    }
    if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js has no backend ${backend} here`);
    await tf.ready();
    const compute = programFor(tf, workload, inputs);
    if (!compute) return undefined;
    let last: Readonly<Record<string, T>> = {};
    const run = async (): Promise<undefined> => {
      for (const x of Object.values(last)) x.dispose();
      last = tf.tidy(compute);
      const device = tf.backend();
      device.endComputePassEncoder?.();
      device.submitQueue?.();
      if (device.queue) await drained(device.queue);
    };
    await run();
    return {
      run,
      results: async (): Promise<Arrays> =>
        Object.fromEntries(
          await Promise.all(
            Object.entries(last).map(async ([name, x]) => {
              const data = await x.data();
              const [heads, length] = x.shape;
              return [name, x.shape.length === 3 ? byHead(data, heads!, length!) : data] as const;
            }),
          ),
        ),
    };
  };

function programFor(tf: Tf, { problem, inputs: specs }: Workload, inputs: Arrays) {
  const operand = (name: string): T => tf.tensor(inputs[name]!, specs.find((spec) => spec.name === name)!.shape);
  switch (problem.kind) {
    case "attention":
    case "gradients": {
      if (problem.keyHeads !== problem.heads) return undefined;
      const { length, heads, depth } = problem;
      const [q, k, v] = ["q", "k", "v"].map((name) =>
        tf.tensor(byHead(inputs[name]!, length, heads), [heads, length, depth]),
      );
      const bias = biasOf(tf, problem);
      const forward = (q: T, k: T, v: T) => attention(tf, q, k, v, bias);
      if (problem.kind === "attention") return () => ({ out: forward(q!, k!, v!) });
      const g = tf.tensor(byHead(inputs.d_out!, length, heads), [heads, length, depth]);
      return () => {
        const [dq, dk, dv] = tf.grads(forward)([q!, k!, v!], g);
        return { out: forward(q!, k!, v!), dq: dq!, dk: dk!, dv: dv! };
      };
    }
    case "matmul": {
      const [a, b] = [operand("a"), operand("b")];
      return () => ({ out: tf.matMul(a, b) });
    }
    case "feedforward": {
      const [x, w1, w3, w2] = ["x", "w1", "w3", "w2"].map(operand) as [T, T, T, T];
      return () => ({ out: feedforward(tf, x, w1, w3, w2) });
    }
    case "block":
      return block(tf, problem, operand);
    default:
      return undefined;
  }
}

function biasOf(tf: Tf, { mask, length }: Pick<Attention, "mask" | "length">): T | undefined {
  if (mask === "full") return undefined;
  const bias = new Float32Array(length * length).fill(-1e30);
  for (let i = 0; i < length; i++) {
    const from = mask === "window" ? Math.max(0, i + 1 - WINDOW) : 0;
    bias.fill(0, i * length + from, i * length + i + 1);
  }
  return tf.tensor(bias, [1, length, length]);
}

/** [H, S, D] each. */
function attention(tf: Tf, q: T, k: T, v: T, bias: T | undefined): T {
  const scaled = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(q.shape[2]!));
  return tf.matMul(tf.softmax(bias ? tf.add(scaled, bias) : scaled), v);
}

function feedforward(tf: Tf, x: T, w1: T, w3: T, w2: T): T {
  const gate = tf.matMul(x, w1);
  return tf.matMul(tf.mul(tf.mul(gate, tf.sigmoid(gate)), tf.matMul(x, w3)), w2);
}

function block(tf: Tf, of: Extract<Problem, { kind: "block" }>, operand: (name: string) => T) {
  const { length, heads, depth } = of;
  const half = depth / 2;
  const names = ["x", "attention_norm", "wq", "wk", "wv", "wo", "feedforward_norm", "w1", "w3", "w2"];
  const [x, attentionNorm, wq, wk, wv, wo, feedforwardNorm, w1, w3, w2] = names.map(operand) as [
    T,
    T,
    T,
    T,
    T,
    T,
    T,
    T,
    T,
    T,
  ];
  const table = (f: (angle: number) => number) =>
    tf.tensor(
      Float32Array.from({ length: length * half }, (_, n) =>
        f(Math.floor(n / half) * 10000 ** ((-2 * (n % half)) / depth)),
      ),
      [1, length, half, 1],
    );
  const [cos, sin] = [table(Math.cos), table(Math.sin)];
  const bias = biasOf(tf, { mask: "causal", length });
  const norm = (x: T, weight: T) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6))), weight);
  const project = (n: T, w: T) => tf.transpose(tf.reshape(tf.matMul(n, w), [length, heads, depth]), [1, 0, 2]);
  const rotary = (x: T) => {
    const pairs = tf.reshape(x, [heads, length, half, 2]);
    const a = tf.slice(pairs, [0, 0, 0, 0], [heads, length, half, 1]);
    const b = tf.slice(pairs, [0, 0, 0, 1], [heads, length, half, 1]);
    const first = tf.sub(tf.mul(a, cos), tf.mul(b, sin));
    const second = tf.add(tf.mul(a, sin), tf.mul(b, cos));
    return tf.reshape(tf.concat([first, second], 3), [heads, length, depth]);
  };
  return () => {
    const n = norm(x, attentionNorm);
    const seen = attention(tf, rotary(project(n, wq)), rotary(project(n, wk)), project(n, wv), bias);
    const together = tf.reshape(tf.transpose(seen, [1, 0, 2]), [length, heads * depth]);
    const y = tf.add(x, tf.matMul(together, wo));
    return { out: tf.add(y, feedforward(tf, norm(y, feedforwardNorm), w1, w3, w2)) };
  };
}
