/** Kernels hand values round only where they may. */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { type CompileOptions, compile } from "../../compiler/compile.ts";

const texts = (options: CompileOptions): string => {
  const dims = { B: 1, S: 64, H: 1, D: 16 };
  const { compiled } = compile("examples/05-ring-attention.gyre", readSource, { ...options, dims });
  return compiled!.kernels.map((k) => k.text).join("\n");
};

test("on a software adapter with subgroups, rows are loaded once for four threads", () => {
  expect(texts({})).toContain("quadBroadcast(");
});
test("without subgroups, and on a GPU, no kernel asks for them", () => {
  for (const options of [{ subgroups: false }, { target: "gpu" } as const]) {
    expect(texts(options)).not.toContain("quadBroadcast(");
    expect(texts(options)).not.toContain("enable subgroups");
  }
});
