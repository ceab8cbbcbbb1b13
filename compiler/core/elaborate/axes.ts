/** Mesh axes as values. */
import { type Dim, dimProduct, dimVar } from "../../base/dim.ts";
import type { Context } from "./context.ts";
import { axisKey } from "./value.ts";

/** The number of devices along axes. */
export const axisSize = (c: Context, axes: readonly string[]): Dim =>
  dimProduct(axes.map((name) => c.typing.axes.find((a) => a.name === name)?.size ?? dimVar(name, axisKey(name))));
