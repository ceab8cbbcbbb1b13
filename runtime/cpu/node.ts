/** The CPU backend in Node: its threads are worker threads. All else of it runs in a browser too. */
import { availableParallelism, cpus } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Backend } from "../backend.ts";
import { hasRelaxedSimd } from "./engine.ts";
import { cpuOf } from "./host.ts";
import type { Spawn } from "./pool.ts";

export const cpu: Backend = {
  name: "cpu",
  noun: "CPU",
  find: async ({ among }) => {
    prepareEngine();
    const threads = Math.max(1, Math.floor(availableParallelism() / (among?.processes ?? 1)));
    const name = `${cpus()[0]?.model.trim() ?? process.arch}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    return cpuOf({ name, threads, spawn, arenas: 16, pages: 65536 });
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
