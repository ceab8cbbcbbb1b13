/**
 * jax-js, jitted. Its arrays are owned: an operation consumes its operands, `.ref` keeps one for another use.
 */
import type { Arrays, Attention, Problem, Workload } from "../workloads/workload.ts";
import { WINDOW } from "../workloads/workload.ts";
import type { Prepare } from "./contender.ts";
import { importPeer } from "./peer.ts";
import { offerWebGpu } from "./webgpu.ts";

type Array_ = {
  readonly ref: Array_;
  readonly shape: readonly number[];
  reshape(shape: readonly number[]): Array_;
  transpose(axes?: readonly number[]): Array_;
  slice(...at: unknown[]): Array_;
  add(x: Array_ | number): Array_;
  sub(x: Array_ | number): Array_;
  mul(x: Array_ | number): Array_;
  div(x: Array_ | number): Array_;
  data(): Promise<Float32Array>;
  dispose(): void;
  blockUntilReady(): Promise<Array_>;
};
type JaxJs = {
  init(device: string): Promise<readonly string[]>;
  defaultDevice(device: string): string;
  jit<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: A) => R;
  vjp(f: (...args: Array_[]) => Array_, at: readonly Array_[]): [Array_, (cotangent: Array_) => Array_[]];
  readonly numpy: {
    array(data: Float32Array, options?: { shape?: readonly number[] }): Array_;
    matmul(a: Array_, b: Array_): Array_;
    mean(a: Array_, axis: number, options?: { keepdims: boolean }): Array_;
    sqrt(a: Array_): Array_;
    stack(arrays: readonly Array_[], axis: number): Array_;
  };
  readonly nn: {
    silu(x: Array_): Array_;
    dotProductAttention(q: Array_, k: Array_, v: Array_, options: object): Array_;
  };
};

export const onDevice =
  (device: "webgpu" | "wasm"): Prepare =>
  async (workload, inputs) => {
    if (device === "webgpu") await offerWebGpu();
    iteratorHelpers();
    const jax = (await importPeer("@jax-js/jax/dist/index.js")) as JaxJs;
    if (!(await jax.init(device)).includes(device)) throw new Error(`jax-js has no device ${device} here`);
    jax.defaultDevice(device);
    const program = programFor(jax, workload.problem);
    if (!program) return undefined;
    const { names, compute } = program;
    const f = jax.jit(compute);
    const tables = program.tables ?? {};
    const shapes = {
      ...shapesOf(workload),
      ...Object.fromEntries(Object.entries(tables).map(([n, t]) => [n, t.shape])),
    };
    const data = { ...inputs, ...Object.fromEntries(Object.entries(tables).map(([n, t]) => [n, t.data])) };
    const operands = names.map((name) => jax.numpy.array(data[name]!, { shape: shapes[name]! }));
    const once = async () => {
      const made = f(...operands.map((x) => x.ref));
      return Promise.all(Object.entries(made).map(async ([name, x]) => [name, await x.blockUntilReady()] as const));
    };
    let results = await once();
    return {
      run: async () => {
        for (const [, x] of results) x.dispose();
        results = await once();
        return undefined;
      },
      results: async (): Promise<Arrays> =>
        Object.fromEntries(await Promise.all(results.map(async ([name, x]) => [name, await x.ref.data()] as const))),
    };
  };

/** jax-js takes iterators to have `map` and `filter`, which Node's have from version 22. */
function iteratorHelpers(): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  prototype.map ??= function* map<A, B>(this: Iterable<A>, f: (x: A) => B) {
    for (const x of this) yield f(x);
  };
  prototype.filter ??= function* filter<A>(this: Iterable<A>, keep: (x: A) => boolean) {
    for (const x of this) if (keep(x)) yield x;
  };
}

const shapesOf = ({ inputs }: Workload) => Object.fromEntries(inputs.map(({ name, shape }) => [name, shape]));

type Table = { readonly shape: readonly number[]; readonly data: Float32Array };
type Compute = {
  readonly names: readonly string[];
  readonly tables?: Readonly<Record<string, Table>>;
  readonly compute: (...operands: Array_[]) => Record<string, Array_>;
};

function programFor(jax: JaxJs, problem: Problem): Compute | undefined {
  const { numpy: np } = jax;
  switch (problem.kind) {
    case "attention":
      return { names: ["q", "k", "v"], compute: (q, k, v) => ({ out: attention(jax, problem, q!, k!, v!) }) };
    case "gradients":
      return {
        names: ["q", "k", "v", "d_out"],
        compute: (q, k, v, g) => {
          const [out, pull] = jax.vjp((q, k, v) => attention(jax, problem, q!, k!, v!), [q!, k!, v!]);
          const [dq, dk, dv] = pull(g!);
          return { out, dq: dq!, dk: dk!, dv: dv! };
        },
      };
    case "matmul":
      return { names: ["a", "b"], compute: (a, b) => ({ out: np.matmul(a!, b!) }) };
    case "feedforward":
      return {
        names: ["x", "w1", "w3", "w2"],
        compute: (x, w1, w3, w2) => ({ out: feedforward(jax, x!, w1!, w3!, w2!) }),
      };
    case "block":
      return block(jax, problem);
    default:
      return undefined;
  }
}

/** [S, H, D] each. */
const attention = (jax: JaxJs, { mask }: Pick<Attention, "mask">, q: Array_, k: Array_, v: Array_): Array_ =>
  jax.nn.dotProductAttention(q, k, v, {
    ...(mask === "full" ? {} : { isCausal: true }),
    ...(mask === "window" ? { localWindowSize: [WINDOW - 1, 0] } : {}),
  });

const feedforward = ({ numpy: np, nn }: JaxJs, x: Array_, w1: Array_, w3: Array_, w2: Array_): Array_ =>
  np.matmul(nn.silu(np.matmul(x.ref, w1)).mul(np.matmul(x, w3)), w2);

function block(jax: JaxJs, of: Extract<Problem, { kind: "block" }>): Compute {
  const { numpy: np } = jax;
  const { length, heads, depth } = of;
  const half = depth / 2;
  const table = (f: (angle: number) => number): Table => ({
    shape: [length, 1, half],
    data: Float32Array.from({ length: length * half }, (_, n) =>
      f(Math.floor(n / half) * 10000 ** ((-2 * (n % half)) / depth)),
    ),
  });
  const norm = (x: Array_, weight: Array_) =>
    x.ref.div(np.sqrt(np.mean(x.ref.mul(x), -1, { keepdims: true }).add(1e-6))).mul(weight);
  const rotary = (x: Array_, cos: Array_, sin: Array_) => {
    const pairs = x.reshape([length, heads, half, 2]);
    const a = pairs.ref.slice([], [], [], 0);
    const b = pairs.slice([], [], [], 1);
    const first = a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref));
    const second = a.mul(sin).add(b.mul(cos));
    return np.stack([first, second], -1).reshape([length, heads, depth]);
  };
  return {
    names: ["x", "attention_norm", "wq", "wk", "wv", "wo", "feedforward_norm", "w1", "w3", "w2", "cos", "sin"],
    tables: { cos: table(Math.cos), sin: table(Math.sin) },
    compute: (...operands) => {
      const [x, attentionNorm, wq, wk, wv, wo, feedforwardNorm, w1, w3, w2, cos, sin] = operands as [
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
        Array_,
      ];
      const n = norm(x.ref, attentionNorm);
      const project = (n: Array_, w: Array_) => np.matmul(n, w).reshape([length, heads, depth]);
      const q = rotary(project(n.ref, wq), cos.ref, sin.ref);
      const k = rotary(project(n.ref, wk), cos, sin);
      const seen = attention(jax, { mask: "causal" }, q, k, project(n, wv));
      const y = x.add(np.matmul(seen.reshape([length, heads * depth]), wo));
      return { out: y.ref.add(feedforward(jax, norm(y, feedforwardNorm), w1, w3, w2)) };
    },
  };
}
