/** Shared libraries by koffi. */
import { fail } from "./errors.ts";

type Koffi = typeof import("koffi");
export type Library = { readonly lib: ReturnType<Koffi["load"]>; readonly koffi: Koffi };

/** koffi unloads a library when its handle is collected. */
const held: unknown[] = [];
let configured = false;

/** Loads a library, and before it those that it looks for by name; throws koffi's error where it is not there. */
export async function loadLibrary(path: string, before: readonly string[] = []): Promise<Library> {
  const koffi = await import("koffi").catch((cause) =>
    fail(
      "no-device",
      `the package koffi has no build for ${process.platform} ${process.arch}`,
      "install again with `npm ci`",
      cause,
    ),
  );
  if (!configured) {
    configured = true;
    // NVRTC's compiler recurses deeply.
    quietly(() => koffi.config({ async_stack_size: 8 << 20 }));
  }
  for (const other of before) quietly(() => held.push(koffi.load(other, { global: true })));
  const lib = koffi.load(path);
  held.push(lib);
  return { lib, koffi };
}

function quietly(action: () => unknown): void {
  try {
    action();
  } catch {
    // what needs it says what is missing
  }
}
