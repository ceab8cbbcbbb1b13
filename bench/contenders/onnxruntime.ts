/** onnxruntime: in Node on the processor or on Dawn, and its WebAssembly build for browsers on either. */
import { availableParallelism } from "node:os";
import { type Formulation, type Model, modelOf } from "../onnx/models.ts";
import type { Arrays, Workload } from "../workloads/workload.ts";
import type { Prepare, Prepared } from "./contender.ts";
import { byHead, importPeer } from "./peer.ts";
import { drained, offerWebGpu } from "./webgpu.ts";

type Tensor = { readonly data: Float32Array; getData(): Promise<Float32Array>; dispose(): void };
type Session = {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
};
type Ort = {
  readonly Tensor: (new (
    type: "float32",
    data: Float32Array,
    dims: readonly number[],
  ) => Tensor) & {
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: "float32"; dims: readonly number[] }): Tensor;
  };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly env: {
    logLevel: string;
    readonly wasm: { numThreads: number; wasmPaths?: string | object };
    readonly webgpu: { adapter?: GPUAdapter; readonly device?: GPUDevice | Promise<GPUDevice> };
  };
};

/** The build for browsers: WebAssembly with SIMD and threads, or WebGPU. */
export const inBrowser =
  (provider: "wasm" | "webgpu", threads: number, formulation: Formulation): Prepare =>
  async (workload, inputs) => {
    const model = modelOf(workload, formulation);
    if (!model) return undefined;
    if (provider === "wasm") {
      const ort = (await importPeer("onnxruntime-web/dist/ort.node.min.mjs")) as Ort;
      ort.env.wasm.numThreads = threads;
      return onHost(ort, model, workload, inputs, { executionProviders: ["wasm"] });
    }
    const gpu = await offerWebGpu();
    const ort = (await importPeer("onnxruntime-web/dist/ort.webgpu.mjs")) as Ort;
    ort.env.wasm.numThreads = 1;
    const adapter = await gpu.requestAdapter();
    if (adapter) ort.env.webgpu.adapter = adapter;
    const session = await ort.InferenceSession.create(model.bytes, {
      executionProviders: ["webgpu"],
      preferredOutputLocation: "gpu-buffer",
    });
    const device = await ort.env.webgpu.device!;
    const feeds = Object.fromEntries(
      model.inputs.map(({ name, shape }) => {
        const data = arranged(model, workload, name, inputs[name]!);
        const buffer = device.createBuffer({
          size: data.byteLength,
          usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
        });
        device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
        return [name, ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape })];
      }),
    );
    let last: Tensor | undefined;
    const run = async (): Promise<undefined> => {
      last?.dispose();
      last = (await session.run(feeds))[model.output.name]!;
      await drained(device.queue);
    };
    await run();
    return { run, results: async () => ({ out: back(model, workload, await last!.getData()) }) };
  };

/** The native build: vector instructions of the processor, or the Dawn that it carries on the same driver. */
export const inNode =
  (provider: "cpu" | "webgpu", threads: number, formulation: Formulation): Prepare =>
  async (workload, inputs) => {
    const model = modelOf(workload, formulation);
    if (!model) return undefined;
    // Loads the driver into the process, where the native build's Dawn finds it.
    if (provider === "webgpu") await offerWebGpu();
    const module = (await importPeer("onnxruntime-node/dist/index.js")) as { default: Ort } & Ort;
    return onHost(module.default ?? module, model, workload, inputs, {
      executionProviders: [provider],
      intraOpNumThreads: provider === "webgpu" ? availableParallelism() : threads,
      interOpNumThreads: 1,
    });
  };

async function onHost(ort: Ort, model: Model, workload: Workload, inputs: Arrays, options: object): Promise<Prepared> {
  const session = await ort.InferenceSession.create(model.bytes, { graphOptimizationLevel: "all", ...options });
  const feeds = Object.fromEntries(
    model.inputs.map(({ name, shape }) => [
      name,
      new ort.Tensor("float32", arranged(model, workload, name, inputs[name]!), shape),
    ]),
  );
  let last: Tensor | undefined;
  const run = async (): Promise<undefined> => {
    last = (await session.run(feeds))[model.output.name]!;
  };
  await run();
  return { run, results: async () => ({ out: back(model, workload, last!.data) }) };
}

/** An input in the layout that the model takes. */
function arranged(model: Model, workload: Workload, name: string, data: Float32Array): Float32Array {
  const heads = model.inputs.find((input) => input.name === name)!.byHead?.heads;
  const length = workload.inputs.find((input) => input.name === name)!.shape[0]!;
  return heads === undefined ? data : byHead(data, length, heads);
}

/** The result in the workload's layout. */
function back(model: Model, workload: Workload, data: Float32Array): Float32Array {
  const heads = model.output.byHead?.heads;
  return heads === undefined ? data : byHead(data, heads, workload.inputs[0]!.shape[0]!);
}
