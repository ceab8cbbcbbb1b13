/** The CPU backend in a browser: its threads are web workers. */
import type { Device } from "../device.ts";
import { fail } from "../errors.ts";
import { cpuOf } from "./host.ts";
import type { Spawn } from "./pool.ts";
import type { News } from "./worker.ts";

/** What is used of a page; the sources are checked without the DOM's types. */
type Page = {
  readonly crossOriginIsolated?: boolean;
  readonly navigator: { readonly hardwareConcurrency: number };
  readonly Worker: new (url: string) => PageWorker;
};
type PageWorker = {
  onmessage: (event: { readonly data: News }) => void;
  onerror: (event: { readonly message: string }) => void;
  readonly postMessage: (message: unknown) => void;
  readonly terminate: () => void;
};
const page = globalThis as unknown as Page;

/** Browsers grant a page less memory than Node does. */
const ARENAS = 4;
const PAGES = 16384;

/** Opens `count` devices, one for each mesh position. Errors: `no-device`, where the page has no shared memory or no SIMD. */
export async function openCpu(count: number, timeoutMs?: number): Promise<readonly Device[]> {
  if (!page.crossOriginIsolated)
    fail(
      "no-device",
      "this page has no shared memory, for it is not cross-origin isolated",
      "serve it with the headers `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`",
    );
  const threads = Math.max(1, page.navigator.hardwareConcurrency);
  const { devices, why } = cpuOf({ name: `${threads} web workers`, threads, spawn, arenas: ARENAS, pages: PAGES });
  const [device] = devices;
  if (!device) return fail("no-device", why.join("; "), "use another browser");
  const names = Array.from({ length: count }, (_, i) => `cpu:${i}`);
  return device.open(names, timeoutMs === undefined ? {} : { timeoutMs });
}

/** Bundlers and loaders may name functions by a helper that the thread does not have. */
const boot = (source: string): string => `
const __name = (f) => f;
const serve = ${source};
let receive;
onmessage = ({ data }) => {
  if (receive) receive(data);
  else receive = serve(data, (news) => postMessage(news));
};`;

const spawn: Spawn = (source, heard, failed) => {
  const url = URL.createObjectURL(new Blob([boot(source)], { type: "text/javascript" }));
  const worker = new page.Worker(url);
  URL.revokeObjectURL(url);
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = (event) => failed(event.message);
  return { post: (message) => worker.postMessage(message), stop: () => worker.terminate(), hold: () => {} };
};
