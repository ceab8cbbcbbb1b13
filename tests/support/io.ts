/** Standard streams of a command under test, as two strings. */
import type { Io } from "../../cli/io.ts";

export type CapturedIo = Io & { readonly outText: () => string; readonly errText: () => string };

/** Neither a terminal nor colours. */
export function nullIo(): CapturedIo {
  let out = "";
  let err = "";
  return {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    live: false,
    outColor: false,
    errColor: false,
    columns: 100,
    env: {},
    outText: () => out,
    errText: () => err,
  };
}
