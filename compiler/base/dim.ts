/**
 * Dimensions: natural numbers that may be known only by name.
 *
 *   dim  ::= number | sum of terms
 *   term ::= (num/den) * atom^exp * …        exp < 0 is an exact division
 *
 * The sum is a normal form (terms sorted, no zero coefficients), so `S/sp * sp` *is* `S`, and two dims are
 * equal exactly when their difference is the number 0.
 */
export type Dim = number | SymDim;

/** A name that stands for a size: a dimension variable, a mesh axis, a tile index's block, or a quotient that does not reduce. */
export type DimAtom = {
  /** What makes it this atom: equal keys are equal sizes. */
  readonly key: string;
  /** How it is written in messages. */
  readonly name: string;
  /** For results of operations without a normal form: how to compute them. */
  readonly derived?: { readonly op: "div" | "floordiv" | "mod" | "min" | "max"; readonly a: Dim; readonly b: Dim };
};
export type DimTerm = {
  readonly num: number;
  readonly den: number;
  readonly powers: readonly { readonly atom: DimAtom; readonly exp: number }[];
};
export type SymDim = { readonly terms: readonly DimTerm[]; readonly split?: Split };

/**
 * How a local dimension came from a global one. It travels with the dim and takes no part in equality. `joined`: the last of
 * the axes, along which the parts of all devices were put together again, in the order of the devices.
 */
export type Split = {
  readonly axes: readonly string[];
  readonly layout: Layout;
  readonly global: Dim;
  readonly joined?: readonly string[];
};
export type Layout = "contiguous" | "striped" | "zigzag";

export const dimVar = (name: string, key: string = name): SymDim => fromAtom({ key, name });
const fromAtom = (atom: DimAtom): SymDim => ({ terms: [{ num: 1, den: 1, powers: [{ atom, exp: 1 }] }] });

/** The same size, tagged with where it came from. */
export const withSplit = (d: Dim, split: Split): SymDim => ({ terms: termsOf(d), split });
export const splitOf = (d: Dim): Split | undefined => (typeof d === "number" ? undefined : d.split);

const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));
const termKey = (t: DimTerm): string => t.powers.map((p) => `${p.atom.key}^${p.exp}`).join("*");
const termsOf = (d: Dim): readonly DimTerm[] =>
  typeof d === "number" ? (d === 0 ? [] : [{ num: d, den: 1, powers: [] }]) : d.terms;

/** Collects like terms, drops zeros, sorts; a sum without atoms becomes a plain number where it is whole. */
function normal(terms: readonly DimTerm[]): Dim {
  const byKey = new Map<string, DimTerm>();
  for (const t of terms) {
    const key = termKey(t);
    const old = byKey.get(key);
    const num = old ? old.num * t.den + t.num * old.den : t.num;
    const den = old ? old.den * t.den : t.den;
    const g = gcd(num, den) || 1;
    byKey.set(key, { num: num / g, den: den / g, powers: t.powers });
  }
  const kept = [...byKey.entries()].filter(([, t]) => t.num !== 0).sort(([a], [b]) => (a < b ? 1 : a > b ? -1 : 0));
  if (kept.length === 0) return 0;
  const only = kept[0]![1];
  if (kept.length === 1 && only.powers.length === 0 && only.den === 1) return only.num;
  return { terms: kept.map(([, t]) => t) };
}

function mulTerm(a: DimTerm, b: DimTerm): DimTerm {
  const powers = new Map<string, { atom: DimAtom; exp: number }>();
  for (const p of [...a.powers, ...b.powers]) {
    const old = powers.get(p.atom.key);
    powers.set(p.atom.key, { atom: p.atom, exp: (old?.exp ?? 0) + p.exp });
  }
  const kept = [...powers.values()].filter((p) => p.exp !== 0);
  kept.sort((x, y) => (x.atom.key < y.atom.key ? -1 : 1));
  return { num: a.num * b.num, den: a.den * b.den, powers: kept };
}
const invTerm = (t: DimTerm): DimTerm => ({
  num: t.num < 0 ? -t.den : t.den,
  den: Math.abs(t.num),
  powers: t.powers.map((p) => ({ atom: p.atom, exp: -p.exp })),
});

export const dimAdd = (a: Dim, b: Dim): Dim => (b === 0 ? a : a === 0 ? b : normal([...termsOf(a), ...termsOf(b)]));
export const dimNeg = (a: Dim): Dim => normal(termsOf(a).map((t) => ({ ...t, num: -t.num })));
export const dimSub = (a: Dim, b: Dim): Dim => (b === 0 ? a : dimAdd(a, dimNeg(b)));
export const dimMul = (a: Dim, b: Dim): Dim =>
  b === 1 ? a : a === 1 ? b : normal(termsOf(a).flatMap((x) => termsOf(b).map((y) => mulTerm(x, y))));
export const dimProduct = (dims: readonly Dim[]): Dim => dims.reduce(dimMul, 1);

/** Exact division; whether it is exact is known only when sizes are (`evalDim` says). Division by 0 gives NaN. */
export function dimDiv(a: Dim, b: Dim): Dim {
  if (b === 1) return a;
  if (b === 0) return Number.NaN;
  const divisor = termsOf(b);
  if (divisor.length === 1) return normal(termsOf(a).map((t) => mulTerm(t, invTerm(divisor[0]!))));
  const ratio = proportion(a, b);
  return ratio ?? derived("div", a, b);
}
/** k with a = k·b for a single term k, where there is one. */
function proportion(a: Dim, b: Dim): Dim | undefined {
  const x = termsOf(a),
    y = termsOf(b);
  if (x.length === 0) return 0;
  if (x.length !== y.length) return undefined;
  const k = normal([mulTerm(x[0]!, invTerm(y[0]!))]);
  return dimEqual(a, dimMul(k, b)) ? k : undefined;
}
function derived(op: NonNullable<DimAtom["derived"]>["op"], a: Dim, b: Dim): Dim {
  const word = { div: "/", floordiv: "//", mod: "%", min: "min", max: "max" }[op];
  const name =
    op === "min" || op === "max" ? `${op}(${printDim(a)}, ${printDim(b)})` : `(${printDim(a)} ${word} ${printDim(b)})`;
  const key = op === "min" || op === "max" ? `${op}(${dimKey(a)},${dimKey(b)})` : `(${dimKey(a)}${word}${dimKey(b)})`;
  return fromAtom({ key, name, derived: { op, a, b } });
}
const whole = (d: Dim): d is number => typeof d === "number";
/** Floor division of static integers (`n / 2` in an expression, where it need not be exact). */
export const dimFloorDiv = (a: Dim, b: Dim): Dim =>
  whole(a) && whole(b) ? (b === 0 ? Number.NaN : Math.floor(a / b)) : b === 1 ? a : derived("floordiv", a, b);
/** Non-negative remainder of static integers. */
export const dimMod = (a: Dim, b: Dim): Dim =>
  whole(a) && whole(b)
    ? b === 0
      ? Number.NaN
      : ((a % b) + b) % b
    : dimEqual(a, b) || b === 1
      ? 0
      : derived("mod", a, b);
export const dimMin = (a: Dim, b: Dim): Dim =>
  whole(a) && whole(b) ? Math.min(a, b) : dimEqual(a, b) ? a : derived("min", a, b);
export const dimMax = (a: Dim, b: Dim): Dim =>
  whole(a) && whole(b) ? Math.max(a, b) : dimEqual(a, b) ? a : derived("max", a, b);

/** Equal for every value of the names in them. */
export const dimEqual = (a: Dim, b: Dim): boolean => a === b || dimKey(a) === dimKey(b);
/** Equal for equal dims; a number that carries a split has the number's key. */
export const dimKey = (d: Dim): string =>
  termsOf(d)
    .map((t) => `${t.num}/${t.den}:${termKey(t)}`)
    .join("+");
export const dimsEqual = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((d, i) => dimEqual(d, b[i]!));

/** The number that a dim without names is, tagged with a split or not. */
export function dimNumber(d: Dim): number | undefined {
  if (typeof d === "number") return d;
  const n = normal(d.terms);
  return typeof n === "number" ? n : undefined;
}

/** Every atom in a dim, those inside quotients included. */
export function dimAtoms(d: Dim): readonly DimAtom[] {
  const found = new Map<string, DimAtom>();
  const visit = (x: Dim): void => {
    for (const t of termsOf(x))
      for (const { atom } of t.powers) {
        if (atom.derived) {
          visit(atom.derived.a);
          visit(atom.derived.b);
        } else found.set(atom.key, atom);
      }
  };
  visit(d);
  return [...found.values()];
}

/** Replaces atoms by dims. `lookup` gives undefined for an atom that stays. */
export function substituteDim(d: Dim, lookup: (atom: DimAtom) => Dim | undefined): Dim {
  if (typeof d === "number") return d;
  let sum: Dim = 0;
  for (const t of d.terms) {
    let product: Dim = normal([{ num: t.num, den: t.den, powers: [] }]);
    for (const { atom, exp } of t.powers) {
      const by = substituteAtom(atom, lookup);
      for (let i = 0; i < Math.abs(exp); i++) product = exp > 0 ? dimMul(product, by) : dimDiv(product, by);
    }
    sum = dimAdd(sum, product);
  }
  return sum;
}
function substituteAtom(atom: DimAtom, lookup: (atom: DimAtom) => Dim | undefined): Dim {
  if (!atom.derived) return lookup(atom) ?? fromAtom(atom);
  const { op } = atom.derived;
  const a = substituteDim(atom.derived.a, lookup),
    b = substituteDim(atom.derived.b, lookup);
  return { div: dimDiv, floordiv: dimFloorDiv, mod: dimMod, min: dimMin, max: dimMax }[op](a, b);
}

/** What a dim comes to when sizes are known. */
export type DimValue =
  | { readonly kind: "value"; readonly value: number }
  | { readonly kind: "missing"; readonly atoms: readonly DimAtom[] }
  | { readonly kind: "inexact"; readonly value: number };

/** The number a dim stands for; `missing` names the atoms without a size, `inexact` is a division that leaves a rest. */
export function evalDim(d: Dim, sizeOf: (atom: DimAtom) => number | undefined): DimValue {
  const missing = dimAtoms(d).filter((a) => sizeOf(a) === undefined);
  if (missing.length > 0) return { kind: "missing", atoms: missing };
  const value = numeric(d, sizeOf);
  const rounded = Math.round(value);
  return Math.abs(value - rounded) < 1e-9 * Math.max(1, Math.abs(value))
    ? { kind: "value", value: rounded }
    : { kind: "inexact", value };
}
function numeric(d: Dim, sizeOf: (atom: DimAtom) => number | undefined): number {
  if (typeof d === "number") return d;
  let sum = 0;
  for (const t of d.terms) {
    let up = t.num,
      down = t.den;
    for (const { atom, exp } of t.powers) {
      const size = atomNumber(atom, sizeOf);
      for (let i = 0; i < Math.abs(exp); i++) exp > 0 ? (up *= size) : (down *= size);
    }
    sum += up / down;
  }
  return sum;
}
function atomNumber(atom: DimAtom, sizeOf: (atom: DimAtom) => number | undefined): number {
  if (!atom.derived) return sizeOf(atom) ?? Number.NaN;
  const a = numeric(atom.derived.a, sizeOf),
    b = numeric(atom.derived.b, sizeOf);
  switch (atom.derived.op) {
    case "div":
      return a / b;
    case "floordiv":
      return Math.floor(a / b);
    case "mod":
      return ((a % b) + b) % b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
  }
}

/**
 * Finds the one unknown atom of a pattern: with pattern `2*N/sp` and actual `d`, N = d*sp/2.
 * `unknown` says which atoms may be solved for; gives undefined when the pattern is not a single term linear in one of them.
 */
export function solveDim(
  pattern: Dim,
  actual: Dim,
  unknown: (atom: DimAtom) => boolean,
): { readonly atom: DimAtom; readonly value: Dim } | undefined {
  const terms = termsOf(pattern);
  const withUnknown = terms.filter((t) => t.powers.some((p) => unknown(p.atom)));
  if (withUnknown.length !== 1) return undefined;
  const term = withUnknown[0]!;
  const hits = term.powers.filter((p) => unknown(p.atom));
  if (hits.length !== 1 || hits[0]!.exp !== 1) return undefined;
  const rest = normal(terms.filter((t) => t !== term));
  const factor = normal([{ ...term, powers: term.powers.filter((p) => p !== hits[0]) }]);
  const left = dimSub(actual, rest);
  return { atom: hits[0]!.atom, value: factor === 1 && rest === 0 ? actual : dimDiv(left, factor) };
}

/** As a user would write it: `S/sp`, `2*N + 1`, `B/(dp*fsdp)`. */
export function printDim(d: Dim): string {
  if (typeof d === "number") return String(d);
  return d.terms
    .map((t, i) => {
      const negative = t.num < 0;
      const up = t.powers.filter((p) => p.exp > 0).flatMap((p) => Array<string>(p.exp).fill(p.atom.name));
      const down = t.powers.filter((p) => p.exp < 0).flatMap((p) => Array<string>(-p.exp).fill(p.atom.name));
      if (Math.abs(t.num) !== 1 || up.length === 0) up.unshift(String(Math.abs(t.num)));
      if (t.den !== 1) down.unshift(String(t.den));
      const below = down.length > 1 ? `(${down.join("*")})` : down[0];
      const text = below ? `${up.join("*")}/${below}` : up.join("*");
      return i === 0 ? (negative ? `-${text}` : text) : negative ? ` - ${text}` : ` + ${text}`;
    })
    .join("");
}
