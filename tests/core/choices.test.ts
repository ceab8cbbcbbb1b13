/** Choices about an entry: axes in parts, layouts, exchangeable functions and policies change no result. */
import { describe, expect, test } from "vitest";
import { exchangeableGroups, readSource } from "../../cli/sources.ts";
import type { Choices } from "../../compiler/core/elaborate/choices.ts";
import { elaborateEntry } from "../../compiler/core/elaborate.ts";
import { evaluate } from "../../compiler/core/eval.ts";
import { grad } from "../../compiler/core/grad.ts";
import { tabulate } from "../../compiler/core/ndarray.ts";
import { relativeError } from "../support/compare.ts";

const text = `
import { ring_attention, hybrid_attention, causal } from "gyre/attention"

mesh pod(sp: 4)

type Weights = { w: f32[6, 6] @ P(_, _) }

fn layer(x, w) = x + tanh(x @ w)

export shard_map attend<S, H>(
  q: f32[1, S, H, 6] @ P(_, sp, _, _),
  p: Weights,
) -> { out: f32[1, S, H, 6] @ P(_, sp, _, _), dw: f32[6, 6] @ P(_, _), places: i32[S] @ P(sp) } on pod {
  let f = |p| {
    let x = checkpoint(layer, policy = nothing_saveable)(q, p.w)
    ring_attention(x, x, q, sp, mask = causal(), key_chunk = 4)
  }
  let (_, d) = value_and_grad(|p| sum(f(p) * f(p)))(p)
  { out: f(p), dw: psum(d.w, sp) , places: positions(q, 1) }
}

export shard_map plain<S>(x: f32[S] @ P(sp)) -> f32[S] @ P(sp) on pod {
  x + cast(ppermute(x, sp, shift = 1), f32) * axis_size(sp)
}
`;
const read = (path: string) => (path === "main.gyre" ? text : readSource(path));
const exchangeable = exchangeableGroups();
const elaborate = (choices: Choices, entry = "attend", dims: Record<string, number> = { S: 16, H: 4 }) =>
  elaborateEntry("main.gyre", read, { entry, dims, meshSizes: { sp: 4 }, choices: { exchangeable, ...choices } });

function results(choices: Choices, entry?: string, dims?: Record<string, number>) {
  const { program, diagnostics } = elaborate(choices, entry, dims);
  if (!program) throw new Error(diagnostics.map((d) => d.message).join("\n"));
  const inputs = program.inputs.map(({ port: { dtype, shape } }, k) =>
    tabulate(dtype, shape, (...i) => Math.sin(i.reduce((n, x, d) => n + (x + 1) * (d + 2.3) * 5.1, k))),
  );
  return evaluate(grad(program), inputs);
}

describe("the same results", () => {
  const asWritten = results({});
  const trials: Readonly<Record<string, Choices>> = {
    "an axis in parts": { splits: { sp: [2, 2] } },
    striped: { layouts: { S: "striped" } },
    "zigzag, and the axis in three parts": { layouts: { S: "zigzag" }, splits: { sp: [2, 1, 2] } },
    "another function": { exchanges: { ring_attention: "bidirectional_ring_attention" } },
    "one over two axes": {
      exchanges: { ring_attention: "hybrid_attention" },
      splits: { sp: [2, 2] },
      layouts: { S: "zigzag" },
    },
    "more stored": { policy: "everything_saveable" },
  };
  for (const [title, choices] of Object.entries(trials))
    test(title, () => {
      for (const [i, { data }] of results(choices).entries())
        expect(relativeError(data, asWritten[i]!.data)).toBeLessThan(1e-12);
    });
  test("of permutes round an axis in parts", () => {
    const [whole, parts] = [{}, { splits: { sp: [2, 2] } }].map((c) => results(c, "plain", { S: 8 })[0]!.data);
    expect(parts).toEqual(whole);
  });
});

test("what there is to choose is found", () => {
  const { found } = elaborate({});
  expect(found?.calls.map(({ name, axes }) => ({ name, axes }))).toEqual(
    [
      { name: "ring_attention", axes: ["sp"] },
      { name: "ring_attention", axes: ["sp"] },
    ].slice(0, found?.calls.length),
  );
  expect(found).toMatchObject({ positions: true, policies: ["nothing_saveable"] });
  expect(elaborate({}, "plain", { S: 8 }).found).toEqual({ calls: [], positions: false, policies: [] });
});

test("names are those that are exchanged, not those inside of them", () => {
  // hybrid_attention calls ring_attention, which stays.
  const { program } = elaborate({ exchanges: { ring_attention: "hybrid_attention" }, splits: { sp: [2, 2] } });
  expect(program).toBeDefined();
});

test.each([
  [{ exchanges: { ring_attention: "hybrid_attention" } }, "GY6013", "goes over 2 mesh axes (ring, heads)"],
  [{ layouts: { R: "zigzag" as const } }, "GY6008", "has no dimension `R`"],
  [{ layouts: { S: "zigzag" as const }, splits: { sp: [3, 2] } }, "GY6003", "zigzag needs a multiple of 12"],
  [{ splits: { tp: [2, 2] } }, "GY6009", "has no axis `tp`"],
])("what does not fit is told: %j", (choices, code, message) => {
  const { diagnostics } = elaborate(choices);
  expect(diagnostics.map((d) => d.code)).toContain(code);
  expect(diagnostics.map((d) => d.message).join()).toContain(message);
});
