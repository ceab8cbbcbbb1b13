/** Mappings are data that is checked: candidates are legal, all that is legal means the same, and what is not is refused. */
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { compile } from "../../compiler/compile.ts";
import { allowedOf, choiceOf, mappingOf } from "../../compiler/lane/allowed.ts";
import { candidatesOf } from "../../compiler/lane/candidates.ts";
import { checkMapping } from "../../compiler/lane/checkMapping.ts";
import { chooseMapping } from "../../compiler/lane/choose.ts";
import { chooseSimd, cpuTarget } from "../../compiler/lane/chooseSimd.ts";
import { lowerKernel } from "../../compiler/lane/lower.ts";
import {
  type AxisChoice,
  isWritten,
  type Mapping,
  type MappingChoice,
  softwareTarget,
} from "../../compiler/lane/map.ts";
import { unevenAxes } from "../../compiler/lane/order.ts";
import { deriveBounds } from "../../compiler/tile/bounds.ts";
import { evalKernel } from "../../compiler/tile/eval.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import { interpret } from "./interpret.ts";
import { dice, randomKernel, randomTarget } from "./random.ts";

test("every candidate of random kernels on random machines is legal", () => {
  for (let seed = 0; seed < 60; seed++) {
    const { kernel } = randomKernel(seed, 10);
    const allowed = allowedOf(kernel);
    for (const target of [softwareTarget, randomTarget(seed)])
      for (const choice of candidatesOf(allowed, target))
        expect(checkMapping(allowed, mappingOf(allowed, choice)), printKernel(kernel)).toEqual([]);
  }
});

test("whatever is legal gives the same results", () => {
  let tried = 0;
  let crossed = 0;
  let written = 0;
  for (let seed = 0; seed < 100; seed++) {
    const { kernel, buffers, scalars } = randomKernel(seed, 9);
    const bounded = deriveBounds(kernel);
    const allowed = allowedOf(bounded);
    const d = dice(seed);
    const expected = evalKernel(kernel, buffers, scalars).map((x) => [...x.data].map((n) => n + 0));
    for (let n = 0; n < 5; n++) {
      // Every other time four threads along one axis, who can hold all other axes crosswise.
      const shared = n % 2 === 1 ? allowed.axes.find((a) => a.role === "grid" && a.extent >= 4) : undefined;
      const choice = {
        axes: allowed.axes.map((a): AxisChoice => {
          const asked = a.role === "inner" || a.block === "auto" ? a.extent : Math.min(a.extent, a.block);
          const whole = [4, 8, 16].filter((u) => a.extent % u === 0 && asked % u === 0);
          const some = [1, 2, 3, 4, 8].filter((u) => u <= a.extent && (a.role === "grid" || asked % u === 0));
          const unroll = d.pick(shared && a !== shared && whole.length > 0 ? whole : some);
          const lanes =
            a === shared
              ? 4
              : a.role === "grid" && !shared
                ? d.pick([1, 2, 4].filter((l) => l <= Math.ceil(a.extent / unroll)))
                : 1;
          const dealt = a.role === "grid" && allowed.free.has(a.id);
          return { axis: a.name, block: dealt ? unroll * lanes : d.chance(0.3) ? unroll : asked, lanes, unroll };
        }),
        spread: shared !== undefined || d.chance(0.5),
        ...(d.chance(0.5) && { written: true as const }),
      };
      const mapping = mappingOf(allowed, choice);
      if (checkMapping(allowed, mapping).length > 0) continue;
      tried++;
      if ([...mapping.axes.values()].some((m) => m.crosswise)) crossed++;
      if ([...mapping.axes.values()].some((m) => m.loop > 1 && isWritten(mapping, m, 1))) written++;
      const after = interpret(lowerKernel(bounded, mapping), buffers, scalars);
      const got = after.flatMap((x, i) =>
        kernel.buffers[i]!.access === "read" ? [] : [[...x.data].map((v) => v + 0)],
      );
      expect(got, `${JSON.stringify(choice)}\n${printKernel(kernel)}`).toEqual(expected);
    }
  }
  expect(tried).toBeGreaterThan(40);
  expect(crossed).toBeGreaterThan(2);
  expect(written).toBeGreaterThan(10);
});

test("elements held crosswise, and rounds written out, mean the same", () => {
  const text = `import { attention, causal, bias_of } from "gyre/attention"
    mesh one(x: 1)
    export shard_map product<M, K, N>(a: f32[M, K] @ P(_, _), b: f32[K, N] @ P(_, _), c: f32[N] @ P(_)) -> f32[M, N] @ P(_, _) on one {
      a @ b + c
    }
    export shard_map across<M, K, N>(a: f32[K, M] @ P(_, _), b: f32[N, K] @ P(_, _)) -> f32[M, N] @ P(_, _) on one {
      transpose(a, (1, 0)) @ transpose(b, (1, 0))
    }
    export shard_map attend<S, D>(
      q: f32[1, S, 1, D] @ P(_, _, _, _), k: f32[1, S, 1, D] @ P(_, _, _, _), v: f32[1, S, 1, D] @ P(_, _, _, _),
      bias: f32[1, 1, S, S] @ P(_, _, _, _),
    ) -> f32[1, S, 1, D] @ P(_, _, _, _) on one {
      attention(q, k, v, mask = causal(), bias = bias_of(bias))
    }`;
  const read = (p: string) => (p === "x.gyre" ? text : readSource(p));
  const found = new Set<string>();
  for (const [entry, dims] of Object.entries({
    product: { M: 16, K: 32, N: 32 },
    across: { M: 16, K: 16, N: 16 },
    attend: { S: 32, D: 16 },
  })) {
    const { compiled, diagnostics } = compile("x.gyre", read, { entry, dims, target: "software" });
    expect(diagnostics).toEqual([]);
    const kernel = compiled!.tile.kernels.at(-1)!;
    const d = dice(7);
    const buffers = kernel.buffers.map(({ shape, dtype }) => {
      const size = shape.reduce((n, s) => n * s, 1);
      return { shape, dtype, data: Float64Array.from({ length: size }, () => d.below(9) - 4) };
    });
    const wanted = evalKernel(kernel, buffers, []).map((x) => [...x.data]);
    const allowed = allowedOf(kernel);
    const ways = candidatesOf(allowed, { ...softwareTarget, rows: 8, columns: 16 });
    const crosses = (c: MappingChoice): boolean => [...mappingOf(allowed, c).axes.values()].some((m) => m.crosswise);
    const some = ways.filter(crosses).filter((_, n) => n % 3 === 0);
    for (const choice of some.flatMap((c) => [c, { ...c, written: true as const }])) {
      const mapping = mappingOf(allowed, choice);
      found.add(entry);
      const after = interpret(lowerKernel(kernel, mapping), buffers, []);
      const got = after.filter((_, i) => kernel.buffers[i]!.access !== "read").map((x) => [...x.data]);
      const off = got.flatMap((data, i) => data.map((x, n) => Math.abs(x - wanted[i]![n]!)));
      expect(Math.max(...off), JSON.stringify(choice)).toBeLessThan(1e-4);
    }
  }
  expect([...found]).toEqual(["product", "across", "attend"]);
});

test("what is wrong with a mapping is said", () => {
  const { kernel } = randomKernel(3, 8);
  const allowed = allowedOf(kernel);
  const right = chooseMapping(kernel, softwareTarget);
  expect(checkMapping(allowed, right)).toEqual([]);
  const [id, first] = [...right.axes][0]!;
  const changed = (change: Partial<typeof first>): Mapping => ({
    ...right,
    axes: new Map(right.axes).set(id, { ...first, ...change }),
  });
  expect(checkMapping(allowed, changed({ unroll: first.unroll * 3 })).join()).toMatch(/are no block of/);
  expect(checkMapping(allowed, changed({ unroll: 0 })).join()).toMatch(/whole numbers from 1 on/);
  expect(checkMapping(allowed, { ...right, threads: right.threads + 1 }).join()).toMatch(/lanes/);
  expect(checkMapping(allowed, { ...right, axes: new Map() }).join()).toMatch(/has no mapping/);
  expect(checkMapping(allowed, right, 0).join()).toMatch(/more than 0/);
});

test("where a mask leaves some workgroups more to do than others, the longest begin first", () => {
  const program = `import { attention, causal } from "gyre/attention"
mesh one(x: 1)
export shard_map f<S>(q: f32[1, S, 2, 8] @ P(_, _, _, _)) -> f32[1, S, 2, 8] @ P(_, _, _, _) on one {
  attention(q, q, q, mask = MASK)
}`;
  const order = (mask: string) => {
    const read = (path: string) => (path === "p.gyre" ? program.replace("MASK", mask) : readSource(path));
    const [kernel] = compile("p.gyre", read, { dims: { S: 256 } }).compiled!.tile.kernels;
    return [...unevenAxes(kernel!, (a) => (a.block === "auto" ? 32 : a.block))].map(([id, longest]) => [
      kernel!.grid.find((a) => a.id === id)!.name,
      longest,
    ]);
  };
  expect(order("causal()")).toEqual([["i", "last"]]);
  expect(order("|q, k| q <= k")).toEqual([["i", "first"]]);
  expect(order("|q, k| true")).toEqual([]);
});

test("a processor's vectors use all of what is fetched from memory, and threads have enough to share", () => {
  const text = `mesh one(x: 1)
    export shard_map columns<N, E>(a: f32[N, E] @ P(_, _)) -> f32[E] @ P(_) on one { sum(a * a, dim = 0) }
    export shard_map turned<N, E>(a: f32[N, E] @ P(_, _)) -> f32[E, N] @ P(_, _) on one { transpose(2 * a, (1, 0)) }
    export shard_map rows<N, E>(a: f32[N, E] @ P(_, _)) -> f32[N] @ P(_) on one { sum(a * a, dim = 1) }`;
  const mappingFor = (entry: string): Mapping => {
    const options = { entry, dims: { N: 2048, E: 1024 } };
    const { compiled } = compile("x.gyre", (p) => (p === "x.gyre" ? text : readSource(p)), options);
    return chooseSimd(compiled!.tile.kernels[0]!, cpuTarget);
  };
  const registers = (m: Mapping): Record<string, number> =>
    Object.fromEntries([...m.axes.values()].map(({ axis, unroll }) => [axis.name, unroll]));
  // 16 columns are a line of the cache; of a transpose, what is read for one row is there for 15 others.
  expect(registers(mappingFor("columns"))).toMatchObject({ i: 16 });
  expect(registers(mappingFor("turned"))).toEqual({ i: 16, j: 4 });
  expect(mappingFor("columns").groups).toBe(64);
  expect(mappingFor("rows").groups).toBe(2048);
});

test("a fold whose blocks the mapping chooses has whole vectors in them, however few elements there are", () => {
  const text = `mesh one(x: 1)
    export shard_map f<N>(x: f32[2, 5] @ P(_, _), y: f32[N, 5] @ P(_, _), s: i32[N] @ P(_)) -> f32[2, 5] @ P(_, _) on one {
      let (l, o) = tiles i in 2 by 4 into ([i], [i, :]) {
        fold j in N by 4 with (l, o) = (zeros, zeros) {
          let e = where(s[pos(i)][:, None] == s[j], exp(x[i] @ y[j].T), 0)
          (l + sum(e, dim = 1), o + e @ y[j])
        }
      }
      o / l[:, None]
    }`;
  for (const N of [3, 5, 7, 30, 33]) {
    const { compiled } = compile("x.gyre", (p) => (p === "x.gyre" ? text : readSource(p)), { dims: { N } });
    const kernel = compiled!.tile.kernels[0]!;
    expect(checkMapping(allowedOf(kernel), chooseSimd(kernel, cpuTarget)), `${N} elements`).toEqual([]);
    expect(compiled!.retarget({ target: "cpu" }).kernels).toHaveLength(compiled!.tile.kernels.length);
  }
});

test("a mapping survives JSON", () => {
  const { kernel } = randomKernel(5, 8);
  const mapping = chooseMapping(kernel, softwareTarget);
  const back = mappingOf(allowedOf(kernel), JSON.parse(JSON.stringify(choiceOf(mapping))));
  expect(back).toEqual(mapping);
});
