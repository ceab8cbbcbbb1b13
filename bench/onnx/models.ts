/**
 * The workloads as ONNX models, twice: `fused` with onnxruntime's own attention operators (MultiHeadAttention where
 * every query sees every key, GroupQueryAttention for the masks it knows), `plain` with MatMul and Softmax.
 *
 * Models take their operands in the layout that suits them: `plain` by head, [1, H, S, D]; `fused` as [1, S, H * D].
 */
import { type Attention, type Mask, type Problem, WINDOW, type Workload } from "../workloads/workload.ts";
import { type Attribute, type Constant, encodeModel, type Node, type Tensor } from "./proto.ts";

export type Formulation = "plain" | "fused";

export type Model = {
  readonly bytes: Uint8Array;
  readonly inputs: readonly (Tensor & { readonly byHead?: { readonly heads: number } })[];
  readonly output: Tensor & { readonly byHead?: { readonly heads: number } };
};

/** `undefined` where the formulation has nothing of its own to offer. */
export function modelOf({ problem, inputs }: Workload, formulation: Formulation): Model | undefined {
  const graph = graphBuilder();
  switch (problem.kind) {
    case "attention": {
      if (formulation === "plain" && problem.keyHeads !== problem.heads) return undefined;
      const tensors = attentionInputs(problem, formulation);
      const out = attention(graph, problem, formulation, ["q", "k", "v"]);
      return graph.model(tensors, { ...tensors[0]!, name: out });
    }
    case "matmul": {
      if (formulation === "fused") return undefined;
      return graph.model(asTheyAre(inputs), {
        name: graph.add("MatMul", ["a", "b"]),
        shape: [problem.size, problem.size],
      });
    }
    case "feedforward": {
      if (formulation === "fused") return undefined;
      return graph.model(asTheyAre(inputs), { name: feedforward(graph, "x"), shape: [problem.length, problem.width] });
    }
    case "block":
      return graph.model(asTheyAre(inputs), {
        name: block(graph, problem, formulation),
        shape: [problem.length, problem.width],
      });
    default:
      return undefined;
  }
}

const asTheyAre = (inputs: Workload["inputs"]): readonly Tensor[] => inputs.map(({ name, shape }) => ({ name, shape }));

function attentionInputs({ length, heads, keyHeads, depth }: Attention, formulation: Formulation) {
  return ["q", "k", "v"].map((name) => {
    const n = name === "q" ? heads : keyHeads;
    return formulation === "plain"
      ? { name, shape: [1, n, length, depth], byHead: { heads: n } }
      : { name, shape: [1, length, n * depth] };
  });
}

// --- Parts of graphs -------------------------------------------------------------------------------------------------

type GraphBuilder = ReturnType<typeof graphBuilder>;

/** Nodes in the order they are added; each gives its result a fresh name. */
function graphBuilder() {
  const nodes: Node[] = [];
  const constants: Constant[] = [];
  const fresh = () => `t${nodes.length}_${constants.length}`;
  return {
    add(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, domain?: string) {
      const name = fresh();
      nodes.push({ op, inputs, outputs: [name], attributes, ...(domain === undefined ? {} : { domain }) });
      return name;
    },
    constant(shape: readonly number[], data: Constant["data"]) {
      const name = `c${constants.length}`;
      constants.push({ name, shape, data });
      return name;
    },
    model<T extends Tensor>(inputs: readonly T[], output: T): Model {
      return { bytes: encodeModel({ nodes, constants, inputs, outputs: [output] }), inputs, output };
    },
  };
}

const MICROSOFT = "com.microsoft";

function attention(g: GraphBuilder, of: Attention, formulation: Formulation, [q, k, v]: readonly string[]): string {
  return formulation === "plain" ? plainAttention(g, of, q!, k!, v!) : fusedAttention(g, of, q!, k!, v!);
}

function plainAttention(g: GraphBuilder, of: Attention, q: string, k: string, v: string): string {
  const { length, depth } = of;
  const transposed = g.add("Transpose", [k], { perm: { is: [0, 1, 3, 2] } });
  const scale = g.constant([], Float32Array.of(1 / Math.sqrt(depth)));
  const scaled = g.add("Mul", [g.add("MatMul", [q, transposed]), scale]);
  const bias = biasOf(of.mask, length);
  const s = bias ? g.add("Add", [scaled, g.constant([1, 1, length, length], bias)]) : scaled;
  return g.add("MatMul", [g.add("Softmax", [s], { axis: { i: -1 } }), v]);
}

function fusedAttention(g: GraphBuilder, of: Attention, q: string, k: string, v: string): string {
  const { mask, length, heads, keyHeads } = of;
  if (mask === "full") return g.add("MultiHeadAttention", [q, k, v], { num_heads: { i: heads } }, MICROSOFT);
  const last = g.constant([1], Int32Array.of(length - 1));
  const total = g.constant([1], Int32Array.of(length));
  return g.add(
    "GroupQueryAttention",
    [q, k, v, "", "", last, total],
    {
      num_heads: { i: heads },
      kv_num_heads: { i: keyHeads },
      ...(mask === "window" ? { local_window_size: { i: WINDOW } } : {}),
    },
    MICROSOFT,
  );
}

/** 0 where a query sees a key, -inf elsewhere. */
function biasOf(mask: Mask, length: number): Float32Array | undefined {
  if (mask === "full") return undefined;
  const bias = new Float32Array(length * length).fill(-Infinity);
  for (let i = 0; i < length; i++)
    bias.fill(0, i * length + (mask === "window" ? Math.max(0, i + 1 - WINDOW) : 0), i * length + i + 1);
  return bias;
}

function feedforward(g: GraphBuilder, x: string): string {
  const gate = g.add("MatMul", [x, "w1"]);
  const activated = g.add("Mul", [gate, g.add("Sigmoid", [gate])]);
  return g.add("MatMul", [g.add("Mul", [activated, g.add("MatMul", [x, "w3"])]), "w2"]);
}

function block(g: GraphBuilder, of: Extract<Problem, { kind: "block" }>, formulation: Formulation): string {
  const { length, heads, depth } = of;
  const causal: Attention = { mask: "causal", length, heads, keyHeads: heads, depth };
  const ints = (...values: number[]) => g.constant([values.length], BigInt64Array.from(values.map(BigInt)));
  const normed = norm(g, "x", "attention_norm", formulation);
  const byHead = (x: string) =>
    g.add("Transpose", [g.add("Reshape", [x, ints(1, length, heads, depth)])], { perm: { is: [0, 2, 1, 3] } });
  const operands = ["wq", "wk", "wv"].map((w) => {
    const x = g.add("MatMul", [normed, w]);
    const turned = w === "wv" ? undefined : angles(g, length, depth);
    if (formulation === "fused") {
      const whole = g.add("Reshape", [x, ints(1, length, heads * depth)]);
      return turned ? fusedRotary(g, whole, turned, heads, length) : whole;
    }
    return turned ? plainRotary(g, byHead(x), turned, of) : byHead(x);
  });
  const seen = attention(g, causal, formulation, operands);
  const together = formulation === "fused" ? seen : g.add("Transpose", [seen], { perm: { is: [0, 2, 1, 3] } });
  const rows = g.add("Reshape", [together, ints(length, heads * depth)]);
  const y = g.add("Add", ["x", g.add("MatMul", [rows, "wo"])]);
  return g.add("Add", [y, feedforward(g, norm(g, y, "feedforward_norm", formulation))]);
}

const EPSILON = 1e-6;

function norm(g: GraphBuilder, x: string, weight: string, formulation: Formulation): string {
  if (formulation === "fused")
    return g.add("SimplifiedLayerNormalization", [x, weight], { axis: { i: -1 }, epsilon: { f: EPSILON } });
  const squares = g.add("ReduceMean", [g.add("Mul", [x, x])], { axes: { is: [-1] } });
  const root = g.add("Sqrt", [g.add("Add", [squares, g.constant([], Float32Array.of(EPSILON))])]);
  return g.add("Mul", [g.add("Div", [x, root]), weight]);
}

type Angles = { readonly cos: string; readonly sin: string };

/** cos and sin of position * 10000^(-2i/depth), [length, depth / 2]. */
function angles(g: GraphBuilder, length: number, depth: number): Angles {
  const half = depth / 2;
  const table = (f: (angle: number) => number) =>
    g.constant(
      [length, half],
      Float32Array.from({ length: length * half }, (_, n) =>
        f(Math.floor(n / half) * 10000 ** ((-2 * (n % half)) / depth)),
      ),
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

function fusedRotary(g: GraphBuilder, x: string, { cos, sin }: Angles, heads: number, length: number): string {
  const positions = g.constant(
    [1, length],
    BigInt64Array.from({ length }, (_, i) => BigInt(i)),
  );
  return g.add(
    "RotaryEmbedding",
    [x, positions, cos, sin],
    { interleaved: { i: 1 }, num_heads: { i: heads } },
    MICROSOFT,
  );
}

/** x is [1, H, S, D]. */
function plainRotary(
  g: GraphBuilder,
  x: string,
  { cos, sin }: Angles,
  { heads, length, depth }: { heads: number; length: number; depth: number },
): string {
  const ints = (...values: number[]) => g.constant([values.length], BigInt64Array.from(values.map(BigInt)));
  const pairs = g.add("Reshape", [x, ints(1, heads, length, depth / 2, 2)]);
  const part = (i: number) => g.add("Squeeze", [g.add("Slice", [pairs, ints(i), ints(i + 1), ints(4)]), ints(4)]);
  const [a, b] = [part(0), part(1)];
  const times = (y: string, by: string) => g.add("Mul", [y, by]);
  const first = g.add("Sub", [times(a, cos), times(b, sin)]);
  const second = g.add("Add", [times(a, sin), times(b, cos)]);
  const turned = [first, second].map((y) => g.add("Unsqueeze", [y, ints(4)]));
  return g.add("Reshape", [g.add("Concat", turned, { axis: { i: 4 } }), ints(1, heads, length, depth)]);
}
