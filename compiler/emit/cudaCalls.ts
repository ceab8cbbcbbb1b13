/** What CUDA kernels call, noted as it is called: helpers stand before the kernels that use them (cudaHelpers.ts). */
import type { Half } from "../core/half.ts";
import { isHalf } from "../core/half.ts";
import type { DType } from "../core/ir.ts";
import type { LaneBuffer } from "../lane/ir.ts";
import { elementwise, type HelperName } from "./cudaHelpers.ts";
import type { WarpgroupProducts } from "./cudaHopper.ts";

/** What kernels use: helpers, functions of four with their text, products of warpgroups (`bf16 shared`) with their columns. */
export type Uses = {
  readonly helpers: Set<HelperName>;
  readonly wide: Map<string, string>;
  readonly products: Map<string, Set<number>>;
};

/** Calls of functions: `own` ones are helpers, `plain` ones the target's. Where four are meant, an overload is made. */
export type Call = {
  readonly own: (name: HelperName, wide: boolean, result: string, params: readonly string[], args: Args) => string;
  readonly plain: (name: string, wide: boolean, result: string, params: readonly string[], args: Args) => string;
  /** Helpers that are templates, or have their overloads in their text. */
  readonly generic: (helper: HelperName, name: string, args: Args) => string;
  /** Notes that products of warpgroups with so many columns are used. */
  readonly product: (dtype: Half, left: WarpgroupProducts["left"], columns: number) => void;
};
export type Args = readonly string[];
export function caller(uses: Uses): Call {
  const plain: Call["plain"] = (name, wide, result, params, args) => {
    if (wide) uses.wide.set(`${name} ${params.join(" ")}`, elementwise(name, result, params));
    return `${name}(${args.join(", ")})`;
  };
  return {
    plain,
    own: (name, wide, result, params, args) => {
      uses.helpers.add(name);
      return plain(name, wide, result, params, args);
    },
    product: (dtype, left, columns) => {
      const name = `${dtype} ${left}`;
      uses.products.set(name, (uses.products.get(name) ?? new Set()).add(columns));
    },
    generic: (helper, name, args) => {
      uses.helpers.add(helper);
      return `${name}(${args.join(", ")})`;
    },
  };
}

/** How elements are stored. bool: as u32. */
export const stored: Readonly<Record<DType, string>> = {
  f32: "float",
  f16: "f16",
  bf16: "bf16",
  i32: "int",
  u32: "unsigned",
  bool: "unsigned",
};
/** A buffer of 16-bit floats: of which. */
export const sixteen = (b: LaneBuffer): "f16" | "bf16" | undefined => (isHalf(b.dtype) ? b.dtype : undefined);
