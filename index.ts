/** The package's front door: what `import … from "gyre"` gives. */
export { readSource } from "./cli/sources.ts";
export { type Diagnostic, renderDiagnostics } from "./compiler/base/diagnostic.ts";
export { type Compiled, type CompileResult, compile } from "./compiler/compile.ts";
export type { CompileOptions } from "./compiler/options.ts";
export type { Schedule } from "./compiler/schedule/schedule.ts";
export { type OpenSessionOptions, open } from "./runtime/api.ts";
export type { DeviceArray } from "./runtime/array.ts";
export type { Dtype, HostArray, Tensor } from "./runtime/dtype.ts";
export { GyreRuntimeError, type RuntimeErrorKind } from "./runtime/errors.ts";
export type { InputValue } from "./runtime/inputs.ts";
export type { Executable, LoadedProgram, RunOptions, Session } from "./runtime/session.ts";
export { chromeTrace, type Trace, type TraceEvent } from "./runtime/trace.ts";
