/** Functions that take functions to their derivatives. */
import type { Policy } from "../ir.ts";
import { arg, type Builtin, type Call } from "./builtin.ts";
import { fail } from "./context.ts";
import { vjp } from "./derivatives.ts";
import { describe, errorValue, type FnValue, type Value } from "./value.ts";

/** The first argument, a function; undefined after an error. */
function fnArg(k: Call): FnValue | undefined {
  const { value, span } = arg(k, 0);
  if (value.kind === "fn") return value;
  fail(k.c, "GY9003", span, { name: k.name, found: describe(value) });
  return undefined;
}
const gradient = (withValue: boolean): Builtin => ({
  params: ["f"],
  required: 1,
  usage: `${withValue ? "value_and_grad" : "grad"}(f)(x)`,
  run: (k) => {
    const of = fnArg(k);
    return of ? { kind: "fn", fn: "grad", of, withValue } : errorValue;
  },
});

const policies: readonly Policy[] = ["nothing_saveable", "everything_saveable", "dots_saveable"];
/** A policy is a name; undefined where a value is none. */
const policyOf = (v: Value): Policy | undefined =>
  policies.find(
    (p) => (v.kind === "fn" && v.fn === "builtin" && v.name === p) || (v.kind === "string" && v.value === p),
  );

export const derivativeBuiltins: Readonly<Record<string, Builtin>> = {
  grad: gradient(false),
  value_and_grad: gradient(true),
  vjp: {
    params: ["f", "x"],
    required: 2,
    usage: "vjp(f, x, …)",
    rest: true,
    run: (k) => {
      const f = fnArg(k);
      return f ? vjp(k.c, f, [arg(k, 1), ...k.rest], k.span) : errorValue;
    },
  },
  checkpoint: {
    params: ["f", "policy"],
    required: 1,
    usage: "checkpoint(f, policy = nothing_saveable)(x)",
    run: (k) => {
      const of = fnArg(k);
      const given = k.args[1];
      const written = given ? policyOf(given.value) : "nothing_saveable";
      const { chosen } = k.c;
      if (given && written && chosen && !chosen.found.policies.includes(written)) chosen.found.policies.push(written);
      const policy = given && written ? (chosen?.policy ?? written) : written;
      if (given && !policy) return fail(k.c, "GY9008", given.span, { found: describe(given.value) });
      return of && policy ? { kind: "fn", fn: "checkpoint", of, policy } : errorValue;
    },
  },
  ...Object.fromEntries(
    policies.map((p) => [p, { params: [], required: 0, run: () => ({ kind: "string", value: p }) } satisfies Builtin]),
  ),
};
