/** The package's front door: what `import … from "gyre"` gives. */
export { type OpenSessionOptions, open } from "./runtime/api.ts";
export type { DeviceArray } from "./runtime/array.ts";
export type { Dtype, HostArray, Tensor } from "./runtime/dtype.ts";
export { GyreRuntimeError, type RuntimeErrorKind } from "./runtime/errors.ts";
export type { InputValue } from "./runtime/inputs.ts";
export type { Executable, LoadedProgram, RunOptions, Session } from "./runtime/session.ts";
export { chromeTrace, type Trace, type TraceEvent } from "./runtime/trace.ts";
