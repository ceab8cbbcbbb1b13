/**
 * Every sentence that the compiler says to its user: one row for each code.
 *
 *   GY1xxx syntax                 GY5xxx tiles and fold
 *   GY2xxx names and imports      GY6xxx compile time and dimensions
 *   GY3xxx types and shapes       GY7xxx not supported yet
 *   GY4xxx specs, mesh, varying   GY8xxx input files and values
 *                                 GY9xxx derivatives
 *
 * To add a message, add a row: `CODE: say((a: { … }) => sentence, help?)`. Then `report("CODE", span, { … })` type-checks.
 * A sentence starts small, has no full stop, and quotes code with `q(…)`.
 */
import { checkMessages } from "./checkMessages.ts";
import { derivativeMessages } from "./derivativeMessages.ts";
import type { Diagnostic, Note } from "./diagnostic.ts";
import { declarationsElsewhere, signsElsewhere } from "./elsewhere.ts";
import { machineMessages } from "./machineMessages.ts";
import { q, type Row, say } from "./say.ts";
import type { Span } from "./span.ts";

const messages = {
  // --- GY10xx: characters and literals -----------------------------------------------------------------------------
  GY1001: say(
    (a: { char: string }) => `${q(a.char)} is not a character of Gyre outside strings and comments`,
    (a) => signsElsewhere.get(a.char),
  ),
  GY1002: say("this string is not closed on its line", 'strings are written "…", on one line'),
  GY1003: say((a: { text: string }) => `the integer ${q(a.text)} is too large to be exact`, "the largest is 2^53 - 1"),
  GY1004: say("`/* … */` is not a comment in Gyre", "begin each line of a comment with `//`"),
  GY1005: say("`#` does not begin a comment in Gyre", "comments begin with `//`"),
  GY1006: say(
    "single quotes do not make a string",
    'strings are written "…"; names, those of axes too, have no quotes',
  ),
  GY1007: say(
    (a: { text: string }) => `${q(a.text)} is an unfinished number`,
    (a) => `write ${q(a.text.startsWith(".") ? `0${a.text}` : `${a.text}0`)}`,
  ),
  GY1008: say((a: { written: string; gyre: string }) => `${q(a.written)} is written ${q(a.gyre)} in Gyre`),
  GY1009: say("there is no power operator", "write `pow(a, b)`, or the product"),
  GY1010: say(
    (a: { word: string }) => `there is no ${q(a.word)} in Gyre`,
    "a loop is written `fold i in N with x = init { next }`",
  ),

  // --- GY11xx: something else was expected -------------------------------------------------------------------------
  GY1101: say(
    (a: { expected: string; where: string; found: string; help: string | undefined }) =>
      `expected ${q(a.expected)}${a.where && ` ${a.where}`}, found ${a.found}`,
    (a) => a.help,
  ),
  GY1102: say(
    (a: { what: string; found: string; help: string | undefined }) => `expected ${a.what}, found ${a.found}`,
    (a) => a.help,
  ),
  GY1103: say(
    (a: { found: string; word: string }) => `expected a declaration, found ${a.found}`,
    (a) =>
      declarationsElsewhere.get(a.word) ??
      "a file holds `import`, `mesh`, `const`, `type`, `fn`, `shard_map` and `derivative` declarations",
  ),
  GY1104: say("a `let` stands inside a block", "at the top of a file a static value is `const NAME = …`"),
  GY1105: say(
    (a: { opener: string; closer: string }) => `this ${q(a.opener)} is never closed`,
    (a) => `add ${q(a.closer)}`,
  ),
  GY1106: say("this `}` closes nothing", "remove it, or look for a `{` that is missing above"),
  GY1107: say((a: { what: string }) => `expected ${q(",")} before this ${a.what}`),
  GY1108: say("expected a new line or `;` before this", "each `let` stands on its own line, or they are parted by `;`"),
  GY1109: say(
    (a: { limit: number }) => `this is nested more than ${a.limit} deep`,
    "give the inner parts names with `let`, or make them functions",
  ),

  // --- GY12xx: read, but not meant so ---------------------------------------------------------------------------------
  GY1201: say("comparisons do not chain", "write `a < b && b < c`"),
  GY1202: say("a positional argument comes before the named ones", "move it forward, or give it a name"),
  GY1203: say("this `if` has no `else`", "an `if` is an expression: `if c { a } else { b }`"),
  GY1204: say("a `shard_map` states the type and spec of its result", "write `-> f32[B, S] @ P(dp, sp)` after `)`"),
  GY1205: say("a `shard_map` states its mesh", "write `on MESH` before the body"),
  GY1206: say("this block has no value", "a block ends with an expression, on its last line"),
  GY1207: say(
    "the value of this expression is not used",
    "only the last line of a block is a bare expression; bind it with `let`, or remove it",
  ),
  GY1208: say(
    (_: { array: string | undefined }) => "nothing is assigned in Gyre",
    (a) =>
      a.array === undefined
        ? "bind a new name: `let x = e`"
        : `a new array is \`let ${a.array} = dynamic_update(${a.array}, value, start, dim = d)\`, or a \`where\` on element numbers`,
  ),
  GY1209: say("there is no `return`", "the last expression of a block is its value"),
  GY1210: say("`==` compares", "a name is bound with `=`"),
  GY1211: say("a slice is written with `..`", "write `a..b` for the elements from `a` up to, but without, `b`"),
  GY1212: say("`None` stands only between the brackets of an index", "there it adds a dimension: `x[:, None]`"),
  GY1213: say("a spec is written `P(…)`", "one entry for each dimension: `_`, an axis, or a tuple of axes"),
  GY1214: say("`None` in a spec is written `_`", "`_` says that the dimension is not split"),
  GY1215: say("an axis stands in a spec without quotes"),
  GY1216: say("the parts of a tuple have no names", "a record type is written `{ a: f32[N], b: i32 }`"),
  GY1217: say(
    (a: { what: string }) => `${a.what} cannot be exported`,
    "`export` goes before `mesh`, `const`, `type`, `fn` and `shard_map`; names are handed on with `export { a } from …`",
  ),
  GY1218: say("`tiles` has at least one index", "write `tiles i in N by 64 into [i] { … }`"),
  GY1219: say("`into` has at least one pattern", "write `into [i, j]`, or `into ([i], [i, j])` for two results"),

  // --- GY72xx: what kernels cannot do yet --------------------------------------------------------------------------
  GY7201: say((a: { what: string }) => `${a.what} is not supported yet`),

  // --- GY73xx: what has no derivative, found when derivatives are expanded -------------------------------------------
  GY7301: say(
    "a derivative goes through this kernel, and no rule says what it is",
    "put the `tiles` in a function of its own and give that a rule, `derivative f(params) { … (value, |g| (d_param, …)) }`; or take `stop_gradient` of what the kernel reads",
  ),
  GY7302: say(
    (a: { name: string; functions: readonly string[]; closed: readonly string[] }) =>
      `the derivative rule of \`${a.name}\` leaves out what ${a.functions.map((f) => `\`${f}\``).join(" or ")} closes over: ${a.closed.map((x) => `\`${x}\``).join(", ")}`,
    "in the rule, the entry for a function is a number whose gradient is the cotangent of what it closes over, as in `sum(stop_gradient(ds) * score(s))`; `stop_gradient` makes what is closed over a constant",
  ),
  GY7303: say(
    "a derivative inside `tiles` goes through a `fold`",
    "inside a kernel only straight code is differentiated: move the `fold` out of the function that `vjp` takes",
  ),

  // --- GY2xxx … GY9xxx: what the checker says ------------------------------------------------------------------------
  ...checkMessages,
  ...derivativeMessages,
  ...machineMessages,
} as const satisfies Record<string, Row<never>>;

type Messages = typeof messages;
export type Code = keyof Messages;
export type ArgsOf<C extends Code> = Messages[C] extends Row<infer A> ? A : never;

/** Every code, for tests and documentation. */
export const codes: readonly Code[] = Object.keys(messages) as Code[];

/** Makes the diagnostic of a row. `notes` are further places that matter. */
export function report<C extends Code>(code: C, span: Span, args: ArgsOf<C>, notes: readonly Note[] = []): Diagnostic {
  const row: Row<ArgsOf<C>> = messages[code] as unknown as Row<ArgsOf<C>>;
  const help = typeof row.help === "function" ? row.help(args) : row.help;
  return {
    code,
    severity: row.severity,
    message: row.text(args),
    span,
    notes,
    ...(help === undefined ? {} : { help }),
  };
}
