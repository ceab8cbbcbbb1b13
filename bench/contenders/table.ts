/** Every contender, in the order of the report; the first of a group is what its others are compared with. */
import type { Contender } from "./contender.ts";

const gyre = () => import("./gyre.ts");
const onnx = () => import("./onnxruntime.ts");
const tensorflow = () => import("./tensorflow.ts");
const jaxjs = () => import("./jaxjs.ts");
const numpy = () => import("./numpy.ts");

export const contenders: readonly Contender[] = [
  {
    name: "gyre-wgsl",
    title: "Gyre, WGSL",
    group: "webgpu",
    from: async () => (await gyre()).onBackend("webgpu"),
  },
  {
    name: "handwritten-wgsl",
    title: "WGSL written by hand",
    group: "webgpu",
    from: async () => (await import("./handwritten.ts")).prepare,
  },
  {
    name: "jaxjs-webgpu",
    title: "jax-js",
    group: "webgpu",
    needs: "@jax-js/jax",
    from: async () => (await jaxjs()).onDevice("webgpu"),
  },
  {
    name: "tensorflow-webgpu",
    title: "TensorFlow.js",
    group: "webgpu",
    needs: "@tensorflow/tfjs-backend-webgpu",
    from: async () => (await tensorflow()).onBackend("webgpu"),
  },
  {
    name: "onnx-web-webgpu",
    title: "onnxruntime-web, MatMul and Softmax",
    group: "webgpu",
    needs: "onnxruntime-web",
    from: async () => (await onnx()).inBrowser("webgpu", 1, "plain"),
  },
  {
    name: "onnx-web-webgpu-fused",
    title: "onnxruntime-web, fused attention",
    group: "webgpu",
    needs: "onnxruntime-web",
    from: async () => (await onnx()).inBrowser("webgpu", 1, "fused"),
  },
  {
    name: "onnx-node-webgpu",
    title: "onnxruntime-node, MatMul and Softmax",
    group: "webgpu",
    needs: "onnxruntime-node",
    from: async () => (await onnx()).inNode("webgpu", 1, "plain"),
  },
  {
    name: "onnx-node-webgpu-fused",
    title: "onnxruntime-node, fused attention",
    group: "webgpu",
    needs: "onnxruntime-node",
    from: async () => (await onnx()).inNode("webgpu", 1, "fused"),
  },
  ...([1, 2] as const).flatMap((threads): readonly Contender[] => {
    const group = threads === 1 ? "1 thread" : "2 threads";
    return [
      {
        name: `gyre-cpu-${threads}`,
        title: "Gyre, CPU",
        group,
        from: async () => (await gyre()).onBackend("cpu", threads),
      },
      {
        name: `onnx-web-wasm-${threads}`,
        title: "onnxruntime-web, MatMul and Softmax",
        group,
        needs: "onnxruntime-web",
        from: async () => (await onnx()).inBrowser("wasm", threads, "plain"),
      },
      {
        name: `onnx-web-wasm-${threads}-fused`,
        title: "onnxruntime-web, fused attention",
        group,
        needs: "onnxruntime-web",
        from: async () => (await onnx()).inBrowser("wasm", threads, "fused"),
      },
      {
        name: `onnx-node-cpu-${threads}`,
        title: "onnxruntime-node (AVX), MatMul and Softmax",
        group,
        needs: "onnxruntime-node",
        from: async () => (await onnx()).inNode("cpu", threads, "plain"),
      },
      {
        name: `onnx-node-cpu-${threads}-fused`,
        title: "onnxruntime-node (AVX), fused attention",
        group,
        needs: "onnxruntime-node",
        from: async () => (await onnx()).inNode("cpu", threads, "fused"),
      },
      ...(threads === 1
        ? [
            {
              name: "jaxjs-wasm",
              title: "jax-js, wasm",
              group,
              needs: "@jax-js/jax",
              from: async () => (await jaxjs()).onDevice("wasm"),
            } as const,
            {
              name: "tensorflow-wasm",
              title: "TensorFlow.js, wasm",
              group,
              needs: "@tensorflow/tfjs-backend-wasm",
              from: async () => (await tensorflow()).onBackend("wasm"),
            } as const,
          ]
        : []),
      {
        name: `numpy-${threads}`,
        title: "numpy, OpenBLAS (AVX)",
        group,
        needs: "python3 with numpy",
        from: async () => (await numpy()).prepare,
        // Where they are set for another processor, numpy is slower than it need be.
        env: { OPENBLAS_CORETYPE: undefined, OPENBLAS_L2_SIZE: undefined, OPENBLAS_NUM_THREADS: String(threads) },
      },
    ];
  }),
];
