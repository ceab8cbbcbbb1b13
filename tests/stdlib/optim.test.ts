/** gyre/optim against its formulas, on meshes of 1, 2, 4 and 8 devices. */
import { array, type Element, type Expected, scalar, sum, trial } from "../programs/harness.ts";

const program = "stdlib/optim";
const [M, N] = [4, 16];
const dims = { M, N };
const shapes = { w: [M, N], "tied.up": [N], "tied.down": [N], bias: [] } as const;
type Leaf = keyof typeof shapes;
const leaves = Object.keys(shapes) as Leaf[];
type Path = `params.${Leaf}`;
const inputs = Object.fromEntries(leaves.map((name) => [`params.${name}`, undefined])) as Record<Path, undefined>;
type Params = Readonly<Record<Path, Element>>;

/** Results for every leaf under `path`, each element from that of the parameters. */
const everywhere = (path: string, params: Params, f: (p: number) => number): Record<string, Expected> =>
  Object.fromEntries(
    leaves.map((leaf) => [
      path === "" ? leaf : `${path}.${leaf}`,
      array(shapes[leaf], (...i) => f(params[`params.${leaf}`](...i))),
    ]),
  );
/** Three steps of an optimiser on one number, with the gradients that the program makes up. */
const steps = <S>(p: number, state: S, step: (p: number, g: number, state: S, t: number) => [number, S]): [number, S] =>
  [0, 1, 2].reduce<[number, S]>(([p, s], t) => step(p, 2 * Math.sin(p + t), s, t), [p, state]);

const descent = (p: number) =>
  steps(p, 0, (p, g, m) => {
    const next = 0.9 * m + g;
    return [p - 0.1 * next, next];
  });
type Moments = { readonly m: number; readonly v: number };
const adam = (p: number, b2: number, decay: number, rate: (t: number) => number) =>
  steps<Moments>(p, { m: 0, v: 0 }, (p, g, s, t) => {
    const m = 0.9 * s.m + 0.1 * g;
    const v = b2 * s.v + (1 - b2) * g * g;
    const change = m / (1 - 0.9 ** (t + 1)) / (Math.sqrt(v / (1 - b2 ** (t + 1))) + 1e-8);
    return [p - rate(t) * (change + decay * p), { m, v }];
  });
const schedule = (t: number, peak: number, warmup: number, total: number, end: number): number =>
  t < warmup
    ? (peak * t) / warmup
    : end + ((peak - end) * (1 + Math.cos((Math.PI * (Math.min(t, total) - warmup)) / (total - warmup)))) / 2;
const rate = (t: number): number => schedule(t, 0.2, 1, 4, 0.05);

for (const mesh of [
  { dp: 1, fsdp: 1, tp: 1 },
  { dp: 1, fsdp: 2, tp: 1 },
  { dp: 1, fsdp: 2, tp: 2 },
  { dp: 2, fsdp: 2, tp: 2 },
]) {
  const on = JSON.stringify(mesh);
  trial(`sgd with momentum, ${on}`, {
    program,
    entry: "sgd_steps",
    dims,
    mesh,
    inputs,
    expect: (params) => ({
      ...everywhere("p", params, (p) => descent(p)[0]),
      ...everywhere("m", params, (p) => descent(p)[1]),
    }),
  });
  trial(`adamw on a schedule, ${on}`, {
    program,
    entry: "adamw_steps",
    dims,
    mesh,
    inputs,
    expect: (params) => ({
      ...everywhere("p", params, (p) => adam(p, 0.95, 0.1, rate)[0]),
      ...everywhere("m", params, (p) => adam(p, 0.95, 0.1, rate)[1].m),
      ...everywhere("v", params, (p) => adam(p, 0.95, 0.1, rate)[1].v),
      step: scalar(3),
      rates: array([3], (t) => rate(t!)),
    }),
  });
  for (const limit of [0.5, 50])
    trial(`gradients clipped at ${limit}, ${on}`, {
      program,
      entry: "clipped",
      dims,
      mesh,
      inputs: { ...inputs, limit: () => limit },
      expect: (params) => {
        const squares =
          sum(M, (i) => sum(N, (j) => params["params.w"](i, j) ** 2)) +
          sum(N, (i) => params["params.tied.up"](i) ** 2 + params["params.tied.down"](i) ** 2) +
          params["params.bias"]() ** 2;
        const norm = Math.sqrt(squares);
        return { norm: scalar(norm), ...everywhere("clipped", params, (p) => p * Math.min(1, limit / norm)) };
      },
    });
}

trial("adam without decay", {
  program,
  entry: "adam_steps",
  dims,
  inputs,
  expect: (params) => everywhere("", params, (p) => adam(p, 0.999, 0, () => 0.1)[0]),
  // 1 - 0.999^t has lost three digits in f32.
  bound: 1e-4,
});

trial("bf16 parameters: arithmetic and state are f32", {
  program,
  entry: "half",
  dims: { N: 8 },
  mesh: { fsdp: 2 },
  inputs: { p: (i) => [1, -2, 0.5, 3, 1.5, -0.25, 8, 0.125][i!]! },
  expect: ({ p }) => ({
    // The first step of Adam is `rate` long, whatever the gradient.
    p: array([8], (i) => p(i!) - 0.5 * Math.sign(p(i!))),
    m: array([8], (i) => 0.1 * p(i!)),
  }),
});

trial("warm-up and cosine", {
  program,
  entry: "rates",
  dims: { N: 16 },
  inputs: {},
  expect: () => ({ "": array([16], (t) => schedule(t!, 0.5, 4, 12, 0.1)) }),
});
