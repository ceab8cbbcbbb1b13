/** The package's front door: what `import … from "gyre"` gives. */
export { GyreRuntimeError, type RuntimeErrorKind } from "./runtime/errors.ts";
