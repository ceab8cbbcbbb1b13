/** The CPU backend in Node: its threads are worker threads. All else of it runs in a browser too. */
import { availableParallelism, cpus } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { type Backend, type FoundDevice, TIMEOUT_MS } from "../backend.ts";
import type { DeviceLimits } from "../device.ts";
import { cpuDevices } from "./device.ts";
import { hasRelaxedSimd, hasSimd } from "./engine.ts";
import type { Spawn } from "./pool.ts";

/** 4 GiB, all that a WebAssembly memory can have. */
const PAGES = 65536;
/** Memories of that size that a process reserves addresses for; mesh positions beyond share them. */
const ARENAS = 16;

const limits: DeviceLimits = {
  maxBufferBytes: 2 ** 32 - 2 ** 26,
  maxBindingBytes: 2 ** 32 - 2 ** 26,
  maxStorageBuffers: 64,
  maxWorkgroupInvocations: 1,
  maxWorkgroupsPerDimension: 2 ** 31 - 1,
  maxWorkgroupSize: [1, 1, 1],
  workgroupMemoryBytes: 0,
};

export const cpu: Backend = {
  name: "cpu",
  noun: "CPU",
  find: async () => {
    prepareEngine();
    if (!hasSimd()) return { devices: [], why: ["this engine has no WebAssembly SIMD"] };
    const name = `${cpus()[0]?.model.trim() ?? process.arch}, ${availableParallelism()} threads`;
    const features = { subgroups: false, f16: true, timestamps: true, relaxedSimd: hasRelaxedSimd() } as const;
    const device: FoundDevice = {
      name,
      software: true,
      limits,
      features,
      open: async (names, { timeoutMs = TIMEOUT_MS }) =>
        cpuDevices(names, {
          spawn,
          threads: availableParallelism(),
          arenas: ARENAS,
          pages: PAGES,
          info: { backend: "cpu", adapter: name, software: true, limits, features },
          timeoutMs,
        }),
    };
    return { devices: [device], why: [] };
  },
};

let prepared = false;
/**
 * Node 20's V8 has relaxed SIMD behind a flag. Kernels run long in few calls, so they are wanted from the optimising
 * compiler at once: the quick one's code would be left at the next call only.
 */
function prepareEngine(): void {
  if (prepared) return;
  prepared = true;
  if (!hasRelaxedSimd()) setFlagsFromString("--experimental-wasm-relaxed-simd");
  setFlagsFromString("--no-liftoff");
}

/** Bundlers and loaders may name functions by a helper that the thread does not have. */
const boot = (source: string): string => `
const { parentPort } = require("node:worker_threads");
const __name = (f) => f;
const serve = ${source};
let receive;
parentPort.on("message", (message) => {
  if (receive) receive(message);
  else receive = serve(message, (news) => parentPort.postMessage(news));
});`;

const spawn: Spawn = (source, heard, failed) => {
  const worker = new Worker(boot(source), { eval: true, execArgv: [], stdout: false });
  let stopped = false;
  worker.on("message", heard);
  worker.on("error", (error) => failed(String(error)));
  worker.on("exit", (code) => {
    if (!stopped) failed(`a thread ended with code ${code}`);
  });
  return {
    post: (message) => worker.postMessage(message),
    stop() {
      stopped = true;
      void worker.terminate();
    },
    hold: (on) => (on ? worker.ref() : worker.unref()),
  };
};
