/**
 * Derivatives of elementwise ops. `dz` is the cotangent of z = op(x, y), and each formula says what it adds to the
 * cotangents of x and y. Where a function has a kink the conventions are JAX's.
 */
import type { Atom, Binary, Unary } from "../ir.ts";
import { on, type Terms, through, wanted } from "./terms.ts";
import type { OpRule, Rules } from "./transpose.ts";

const unary =
  (dx: (dz: Atom, x: Atom, z: Atom, t: Terms) => Atom): OpRule<Unary> =>
  ({ b, args, out, ct }) => [dx(ct, args[0]!, out, on(b))];

type Partial = (dz: Atom, x: Atom, y: Atom, t: Terms, z: Atom) => Atom;
const binary =
  (dx: Partial, dy: Partial): OpRule<Binary> =>
  (r) => {
    const [x, y] = r.args as [Atom, Atom];
    const part = (f: Partial) => () => f(r.ct, x, y, on(r.b), r.out);
    return wanted(r, part(dx), part(dy));
  };
/** where(first, dz, where(x = y, dz/2, 0)): the whole to the one that was taken, half each to equals. */
const share = (dz: Atom, first: Atom, x: Atom, y: Atom, { where, eq, mul }: Terms): Atom =>
  where(first, dz, where(eq(x, y), mul(dz, 0.5), 0));

export const elementwiseRules: Rules<Unary | Binary | "cast" | "select" | "random_uniform"> = {
  // dx = -dz
  neg: unary((dz, _x, _z, { neg }) => neg(dz)),
  // dx = dz z
  exp: unary((dz, _, z, { mul }) => mul(dz, z)),
  // dx = dz z ln 2
  exp2: unary((dz, _, z, { mul }) => mul(dz, mul(z, Math.LN2))),
  // dx = dz / x
  log: unary((dz, x, _, { div }) => div(dz, x)),
  // dx = dz / (x ln 2)
  log2: unary((dz, x, _, { div, mul }) => div(dz, mul(x, Math.LN2))),
  // dx = dz / 2z
  sqrt: unary((dz, _, z, { div, mul }) => div(dz, mul(z, 2))),
  // dx = -dz z³/2
  rsqrt: unary((dz, _, z, { mul }) => mul(dz, mul(mul(mul(z, z), z), -0.5))),
  // dx = dz (1 - z²)
  tanh: unary((dz, _, z, { mul, sub }) => mul(dz, sub(1, mul(z, z)))),
  // dx = dz z (1 - z)
  sigmoid: unary((dz, _, z, { mul, sub }) => mul(dz, mul(z, sub(1, z)))),
  // dx = dz cos x
  sin: unary((dz, x, _, { mul, cos }) => mul(dz, cos(x))),
  // dx = -dz sin x
  cos: unary((dz, x, _, { mul, sin, neg }) => neg(mul(dz, sin(x)))),
  // dx = dz sign(x), which is 0 at 0
  abs: unary((dz, x, _, { mul, sign }) => mul(dz, sign(x))),
  floor: null,
  sign: null,
  not: null,
  stop_gradient: null,

  // dx = dz, dy = dz
  add: binary(
    (dz) => dz,
    (dz) => dz,
  ),
  // dx = dz, dy = -dz
  sub: binary(
    (dz) => dz,
    (dz, _x, _y, { neg }) => neg(dz),
  ),
  // dx = dz y, dy = dz x
  mul: binary(
    (dz, _, y, { mul }) => mul(dz, y),
    (dz, x, _, { mul }) => mul(dz, x),
  ),
  // dx = dz / y, dy = -(dz / y) z
  div: binary(
    (dz, _, y, { div }) => div(dz, y),
    (dz, _, y, { div, mul, neg }, z) => neg(mul(div(dz, y), z)),
  ),
  // dx = dz, dy = -dz floor(x / y)
  mod: binary(
    (dz) => dz,
    (dz, x, y, { neg, mul, floor, div }) => neg(mul(dz, floor(div(x, y)))),
  ),
  // dx = dz y x^(y - 1), which is 0 for y = 0; dy = dz z log x, which is 0 for x = 0
  pow: binary(
    (dz, x, y, { mul, pow, where, eq, sub }) => mul(dz, mul(y, pow(x, where(eq(y, 0), 1, sub(y, 1))))),
    (dz, x, _, { mul, log, where, eq }, z) => mul(dz, mul(z, log(where(eq(x, 0), 1, x)))),
  ),
  min: binary(
    (dz, x, y, t) => share(dz, t.gt(y, x), x, y, t),
    (dz, x, y, t) => share(dz, t.gt(x, y), x, y, t),
  ),
  max: binary(
    (dz, x, y, t) => share(dz, t.gt(x, y), x, y, t),
    (dz, x, y, t) => share(dz, t.gt(y, x), x, y, t),
  ),
  eq: null,
  ne: null,
  lt: null,
  le: null,
  gt: null,
  ge: null,
  and: null,
  or: null,

  // dx = dz, in x's dtype
  cast: through,
  // where(c, x, y): dx = where(c, dz, 0), dy = where(c, 0, dz)
  select: (r) => {
    const { where } = on(r.b);
    const [c] = r.args as [Atom, Atom, Atom];
    return [
      undefined,
      ...wanted(
        { ...r, wants: r.wants.slice(1) },
        () => where(c, r.ct, 0),
        () => where(c, 0, r.ct),
      ),
    ];
  },
  random_uniform: null,
};
