/**
 * Machine: what a schedule is simulated on, as plain JSON that a user can write. It is checked before it is believed.
 *
 *   { "name": "two-rooms", "about": "a sentence for people",
 *     "peak": { "bf16": 1e15, "f32": 6e13 },            flop/s of sums of products, by the dtype of the factors
 *     "vector": 6e13,                                   flop/s of everything else
 *     "efficiency": { "compute": 0.6, "memory": 0.8, "links": 0.9 },        the share of each rate that programs reach
 *     "memory": { "bytes": 8e10, "bandwidth": 3.3e12 }, of one device
 *     "launch": 3e-6,                                   seconds that a kernel takes besides its work
 *     "devicesPerNode": 8,
 *     "links": { "inside":  { "bandwidth": 4.5e11, "latency": 2e-6 },       from device to device, within a node …
 *                "between": { "bandwidth": 5e10, "latency": 5e-6 } } }      … and across
 *
 * Positions of a mesh are dealt to nodes in order: position p (row-major, the last axis runs fastest) is in node
 * ⌊p / devicesPerNode⌋. Bandwidths are one way, in bytes per second, and each device has its own.
 */
import type { Diagnostic } from "../base/diagnostic.ts";
import type { Machine } from "../base/machine.ts";
import { type ArgsOf, type Code, report } from "../base/messages.ts";
import type { Source } from "../base/source.ts";

export type { Link, Machine } from "../base/machine.ts";

/** The machine that a text describes, or what is wrong with it, each with its field. Nothing is thrown. */
export function readMachine(source: Source): {
  readonly machine?: Machine;
  readonly diagnostics: readonly Diagnostic[];
} {
  let json: unknown;
  try {
    json = JSON.parse(source.text);
  } catch (error) {
    const reason = String((error as Error).message);
    const at = Number(/position (\d+)/.exec(reason)?.[1] ?? 0);
    return { diagnostics: [report("GY8101", { source, start: at, end: at + 1 }, { reason })] };
  }
  const diagnostics: Diagnostic[] = [];
  const tell = <C extends Code>(code: C, path: readonly string[], args: ArgsOf<C>): void => {
    diagnostics.push(report(code, spanOf(source, path), args));
  };
  const value = read(MACHINE, json, [], tell);
  return diagnostics.length > 0 ? { diagnostics } : { machine: value as Machine, diagnostics };
}

// --- What a machine file may hold ------------------------------------------------------------------------------------

/** `is` describes the value, for messages. `or`: what it is where it is left out; without one, it must be there. */
type Field =
  | { readonly kind: "number"; readonly is: string; readonly ok: (n: number) => boolean; readonly or?: number }
  | { readonly kind: "text"; readonly is: string; readonly or?: string }
  | { readonly kind: "flag"; readonly is: string; readonly or: boolean }
  | {
      readonly kind: "record";
      readonly is: string;
      readonly fields: Fields;
      readonly or?: object;
      readonly some?: true;
    };
type Fields = Readonly<Record<string, Field & { readonly optional?: true }>>;

const positive = (is: string, or?: number): Field => ({
  kind: "number",
  is: `${is}, more than 0`,
  ok: (n) => n > 0,
  ...(or === undefined ? {} : { or }),
});
const share = (is: string): Field => ({
  kind: "number",
  is: `${is}, more than 0 and at most 1`,
  ok: (n) => n > 0 && n <= 1,
  or: 1,
});
const LINK: Field = {
  kind: "record",
  is: 'a link, as in `{ "bandwidth": 5e10, "latency": 5e-6 }`',
  fields: {
    bandwidth: positive("bytes per second, one way"),
    latency: { kind: "number", is: "seconds, 0 or more", ok: (n) => n >= 0, or: 0 },
    message: { kind: "number", is: "seconds, 0 or more", ok: (n) => n >= 0, or: 0 },
    duplex: { kind: "flag", is: "true or false", or: true },
    shared: { kind: "flag", is: "true or false", or: true },
  },
};
const peaks = Object.fromEntries(
  (["f32", "f16", "bf16"] as const).map((d) => [d, { ...positive("flop/s"), optional: true as const }]),
);
const MACHINE: Field = {
  kind: "record",
  is: "an object",
  fields: {
    name: { kind: "text", is: "a text", or: "" },
    about: { kind: "text", is: "a text", optional: true },
    peak: { kind: "record", is: 'flop/s by dtype, as in `{ "bf16": 1e15, "f32": 6e13 }`', fields: peaks, some: true },
    vector: positive("flop/s outside of sums of products"),
    efficiency: {
      kind: "record",
      is: 'shares, as in `{ "compute": 0.6, "memory": 0.8, "links": 0.9 }`',
      fields: { compute: share("a share"), memory: share("a share"), links: share("a share") },
      or: { compute: 1, memory: 1, links: 1 },
    },
    memory: {
      kind: "record",
      is: 'as in `{ "bytes": 8e10, "bandwidth": 3.3e12 }`',
      fields: { bytes: positive("bytes"), bandwidth: positive("bytes per second") },
    },
    launch: { kind: "number", is: "seconds, 0 or more", ok: (n) => n >= 0, or: 0 },
    devicesPerNode: {
      kind: "number",
      is: "a whole number, 1 or more",
      ok: (n) => Number.isSafeInteger(n) && n >= 1,
      or: 1,
    },
    links: {
      kind: "record",
      is: "`inside` and `between`, each a link",
      fields: { inside: { ...LINK, optional: true }, between: { ...LINK, optional: true } },
      or: {},
    },
  },
};

type Tell = <C extends Code>(code: C, path: readonly string[], args: ArgsOf<C>) => void;

/** The value of a field, defaults filled in. What is wrong is told, and the result is then of no use. */
function read(field: Field, value: unknown, path: readonly string[], tell: Tell): unknown {
  const name = path.join(".") || "the machine";
  const bad = (found: string): void => tell("GY8103", path, { field: name, is: field.is, found });
  switch (field.kind) {
    case "number":
      if (typeof value !== "number") return bad(described(value));
      return field.ok(value) ? value : bad(String(value));
    case "text":
      return typeof value === "string" ? value : bad(described(value));
    case "flag":
      return typeof value === "boolean" ? value : bad(described(value));
    case "record": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return bad(described(value));
      const names = Object.keys(field.fields);
      for (const key of Object.keys(value)) {
        if (names.includes(key)) continue;
        const near = names.find((n) => n.toLowerCase().startsWith(key.slice(0, 3).toLowerCase()));
        tell("GY8104", [...path, key], { field: [...path, key].join("."), near, fields: names });
      }
      if (field.some && Object.keys(value).length === 0) return bad("empty");
      const entries = Object.entries(field.fields).flatMap(([key, inner]): [string, unknown][] => {
        const given = (value as Record<string, unknown>)[key];
        const own = [...path, key];
        if (given !== undefined) return [[key, read(inner, given, own, tell)]];
        if (inner.optional) return [];
        if (inner.or === undefined) tell("GY8102", path, { field: own.join("."), is: inner.is });
        return [[key, inner.or]];
      });
      return Object.fromEntries(entries);
    }
  }
}

function described(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "string" ? `the text ${JSON.stringify(value)}` : `a ${typeof value}`;
}

/** Where a field stands: its name in the text, looked for after the names around it; for the whole, its first character. */
function spanOf(source: Source, path: readonly string[]): { source: Source; start: number; end: number } {
  let start = Math.max(0, source.text.search(/\S/));
  let end = start + 1;
  for (const key of path) {
    const at = source.text.indexOf(JSON.stringify(key), start);
    if (at < 0) break;
    start = at;
    end = at + JSON.stringify(key).length;
  }
  return { source, start, end };
}
