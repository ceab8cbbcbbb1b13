/**
 * The package's door for pages: what `import … from "gyre/browser"` gives. Programs are compiled in the page, and run there
 * on the threads of the CPU:
 *
 *   const { compiled } = compile("ring.gyre", read, { target: "cpu", dims, meshSizes: { sp: 4 } });
 *   const session = await open({ devices: 4 });
 *   const program = await session.load(compiled);
 *
 * `read` gives the text of a module by its path, and of the standard library's by `gyre/NAME` (files `gyre/stdlib/NAME.gyre`
 * of the package).
 */
import { openCpu } from "./runtime/cpu/browser.ts";
import { type Session, sessionOn } from "./runtime/session.ts";
import { inProcess } from "./runtime/transport/local.ts";

export { type Diagnostic, renderDiagnostics } from "./compiler/base/diagnostic.ts";
export { type Compiled, type CompileResult, compile } from "./compiler/compile.ts";
export type { CompileOptions } from "./compiler/options.ts";
export type { DeviceArray } from "./runtime/array.ts";
export { GyreRuntimeError, type RuntimeErrorKind } from "./runtime/errors.ts";
export type { LoadedProgram, RunOptions, Session } from "./runtime/session.ts";

/** `devices`: one for each mesh position. `timeoutMs`: how long a wait may last without progress. */
export type OpenSessionOptions = { readonly devices?: number; readonly timeoutMs?: number };

/** Opens devices. Errors: `no-device`, as GyreRuntimeError. */
export async function open({ devices = 1, timeoutMs }: OpenSessionOptions = {}): Promise<Session> {
  return sessionOn(await openCpu(devices, timeoutMs), { carrier: inProcess() });
}
