/** What the checker says of derivatives. Rows of the table in messages.ts. */
import { listed, q, type Row, say } from "./say.ts";

const listOf = (names: readonly string[]): string => listed(names.map(q), "and");
const counted = (n: number, one: string, more = `${one}s`): string => `${n} ${n === 1 ? one : more}`;

export const derivativeMessages = {
  // --- GY90xx: grad, vjp, checkpoint -------------------------------------------------------------------------------
  GY9001: say(
    (a: { name: string; found: string; path: string }) =>
      `${q(a.name)} differentiates with respect to floating-point numbers, found ${a.found}${a.path && ` at ${q(a.path)}`}`,
    (a) =>
      `let the function close over what is no float: ${q(a.name === "vjp" ? "vjp(|s| f(s, i), s)" : `${a.name}(|s| f(s, i))(s)`)}`,
  ),
  GY9002: say(
    (a: { name: string; found: string }) => `${q(a.name)} needs a function that gives one float, found ${a.found}`,
    "sum it, as in `grad(|x| sum(f(x)))`; for the derivative of an array there is `vjp(f, x)`",
  ),
  GY9003: say((a: { name: string; found: string }) => `${q(a.name)} takes a function, found ${a.found}`),
  GY9004: say(
    (a: { found: string }) => `the function that \`vjp\` differentiates gives floats, found ${a.found}`,
    "compute what is no float outside of it",
  ),
  GY9005: say(
    (a: { wants: string; found: string }) =>
      `this pullback takes a cotangent like the value, ${q(a.wants)}, found ${a.found}`,
  ),
  GY9006: say(
    (a: { axis: string }) =>
      `this cotangent differs between devices along ${q(a.axis)}, but the value that it is of does not`,
    (a) => `combine the devices' cotangents first, with \`psum(g, ${a.axis})\` or \`pmean(g, ${a.axis})\``,
  ),
  GY9007: say(
    "a pullback cannot be called inside `tiles` when its `vjp` stands outside",
    "call `vjp` inside, on the block; or call the pullback outside and index what it gives",
  ),
  GY9008: say(
    (a: { found: string }) => `the policy of \`checkpoint\` is one of three names, found ${a.found}`,
    "they are `nothing_saveable`, `everything_saveable` and `dots_saveable`",
  ),
  GY9009: say(
    (a: { what: string }) => `${a.what} gives arrays, found a function`,
    "a function would close over values that are gone: make it outside",
  ),

  GY9010: say(
    (a: { axes: readonly string[] }) =>
      `a derivative adds up what the devices along ${listOf(a.axes)} have, but not all of them take this branch`,
    "take the derivative on all devices, outside of the `if`, and choose with `where`",
  ),

  // --- GY91xx: derivative rules ------------------------------------------------------------------------------------
  GY9101: say(
    (a: { name: string; near?: string }) => `this file declares no function ${q(a.name)} that could have a derivative`,
    (a) => (a.near === undefined ? "a rule stands in the file of its `fn`" : `did you mean ${q(a.near)}?`),
  ),
  GY9102: say((a: { name: string }) => `${q(a.name)} has two derivative rules`, "remove one of them"),
  GY9103: say(
    (a: { name: string; wants: readonly string[]; found: number }) =>
      `the rule of ${q(a.name)} has ${counted(a.found, "parameter")}, the function ${a.wants.length}${a.wants.length > 0 ? `: ${listOf(a.wants)}` : ""}`,
    "a rule has the parameters of its function, by position",
  ),
  GY9104: say(
    (a: { name: string; parameter: string }) =>
      `${q(a.parameter)} has a default in the derivative rule of ${q(a.name)}`,
    "remove it: a call takes the defaults of the function",
  ),
  GY9105: say(
    (a: { name: string; found: string }) => `the rule of ${q(a.name)} gives ${a.found}`,
    "a rule gives a pair: `(value, |g| (d_param, …))`",
  ),
  GY9106: say(
    (a: { name: string; wants: string; found: string }) =>
      `the value in the rule of ${q(a.name)} should be ${q(a.wants)}, as the function gives, found ${a.found}`,
  ),
  GY9107: say(
    (a: { name: string; axis: string }) =>
      `the value in the rule of ${q(a.name)} differs between devices along ${q(a.axis)}, but what the function gives does not`,
    (a) => `combine the devices' values with a collective over ${q(a.axis)}, as the function does`,
  ),
  GY9108: say(
    (a: { name: string; wants: readonly string[]; found: string }) =>
      `the pullback in the rule of ${q(a.name)} gives ${counted(a.wants.length, "cotangent")}, found ${a.found}`,
    (a) =>
      a.wants.length === 0
        ? "the function takes no floats: the pullback gives `()`"
        : `one for each parameter that has floats or is a function that gives them, in order: ${listOf(a.wants)}`,
  ),
  GY9109: say(
    (a: { name: string; parameter: string; wants: string; found: string }) =>
      `the cotangent of ${q(a.parameter)} in the rule of ${q(a.name)} should be ${q(a.wants)}, found ${a.found}`,
    "it has the type of the parameter; of one that the value does not hang on it is `zeros`",
  ),
  GY9110: say(
    (a: { name: string; parameter: string; found: string }) =>
      `the entry for the function ${q(a.parameter)} in the rule of ${q(a.name)} should be one \`f32\`, found ${a.found}`,
    (a) =>
      `its gradient is the cotangent of what ${q(a.parameter)} closes over: \`sum(stop_gradient(d) * ${a.parameter}(…))\`, or \`0.0\` where nothing is closed over`,
  ),
} as const satisfies Record<string, Row<never>>;
