/**
 * What holds of every Core program: each variable bound once and before it is used, each op at the type that its rule
 * gives, carries that keep their type, tiles that fill their results, and outputs that vary only where their spec says.
 * A type may say that a value varies over more axes than it must; never over fewer.
 */
import { type Dim, dimEqual, dimMul, printDim } from "../base/dim.ts";
import { sameType } from "./build.ts";
import type {
  Atom,
  Block,
  DerivativeEqn,
  Eqn,
  FoldEqn,
  IfEqn,
  Index,
  OpEqn,
  Program,
  TilesEqn,
  Type,
  Var,
  VjpEqn,
} from "./ir.ts";
import { isCollective } from "./meaning.ts";
import { axisSize, ringSize } from "./mesh-layout.ts";
import { printType } from "./print.ts";
import { arityOf, isProblem, typeOf } from "./typing.ts";
import { bindersOf, operandsOf, outsOf } from "./walk.ts";

type Scope = { readonly indices: ReadonlySet<number>; readonly inTiles: boolean };
type Checking = {
  readonly program: Program;
  /** Variables that can be seen here; those that a region binds go with it. */
  readonly vars: Set<number>;
  readonly everBound: Set<number>;
  readonly vjps: Map<number, VjpEqn>;
  readonly wrong: string[];
};

/** What is wrong, in order; nothing for a well-formed program. */
export function check(p: Program): readonly string[] {
  const c: Checking = { program: p, vars: new Set(), everBound: new Set(), vjps: new Map(), wrong: [] };
  const locals = p.inputs.map((i) => i.local);
  checkBlock(c, p.body, { indices: new Set(), inTiles: false }, locals);
  if (p.body.results.length !== p.outputs.length)
    c.wrong.push(`${p.body.results.length} results for ${p.outputs.length} outputs`);
  else for (const [i, port] of p.outputs.entries()) checkOutput(c, port, p.body.results[i]!);
  return c.wrong;
}

const named = (v: Var): string => (v.name ? `${v.name} (v${v.id})` : `v${v.id}`);

function bind(c: Checking, v: Var): void {
  if (c.everBound.has(v.id)) c.wrong.push(`${named(v)} is bound twice`);
  c.everBound.add(v.id);
  c.vars.add(v.id);
}
function use(c: Checking, a: Atom): void {
  if (a.kind === "var" && !c.vars.has(a.id)) c.wrong.push(`${named(a)} is used where it is not bound`);
  if (a.kind === "lit" && a.type.shape.length > 0) c.wrong.push("a literal is not a scalar");
}

/** A block, in which `binders` are bound at the start. */
function checkBlock(c: Checking, b: Block, scope: Scope, binders: readonly Var[] = []): void {
  for (const v of binders) bind(c, v);
  for (const e of b.eqns) {
    for (const a of operandsOf(e)) use(c, a);
    checkEqn(c, e, scope);
    for (const v of outsOf(e)) bind(c, v);
  }
  for (const a of b.results) use(c, a);
  for (const e of b.eqns) for (const v of outsOf(e)) c.vars.delete(v.id);
  for (const v of binders) c.vars.delete(v.id);
}

/** Whether a value of type `a` may stand where type `b` is declared. */
const fits = (a: Type, b: Type): boolean => sameType(a, b) && a.varying.every((axis) => b.varying.includes(axis));
/** `what` is asked only where it is told. */
function expect(c: Checking, what: () => string, a: Type, b: Type): void {
  if (!fits(a, b)) c.wrong.push(`${what()} is ${printType(a)}, declared ${printType(b)}`);
}
function sameCount(c: Checking, what: string, a: number, b: number): boolean {
  if (a !== b) c.wrong.push(`${what}: ${a} for ${b}`);
  return a === b;
}

function checkEqn(c: Checking, e: Eqn, scope: Scope): void {
  if (e.kind === "op") checkOp(c, e, scope);
  else if (e.kind === "fold") checkFold(c, e, scope);
  else if (e.kind === "if") checkIf(c, e, scope);
  else if (e.kind === "tiles") checkTiles(c, e, scope);
  else checkDerivative(c, e, scope);
}

function checkOp(c: Checking, e: OpEqn, scope: Scope): void {
  const arity = arityOf(e.op);
  if (arity !== undefined && !sameCount(c, `operands of ${e.op}`, e.args.length, arity)) return;
  if (scope.inTiles && isCollective(e.op)) c.wrong.push(`${e.op} inside tiles`);
  if (e.op === "pos") inScope(c, e.params.index, scope);
  if (e.op === "index") for (const s of e.params.selectors) if (s.kind === "block") inScope(c, s.index, scope);
  const type = typeOf(
    e.op,
    e.args.map((a) => a.type),
    e.params as never,
    c.program.mesh,
  );
  if (isProblem(type)) c.wrong.push(`${e.op} for ${named(e.out)}: ${problemText(type)}`);
  else expect(c, () => `${e.op} for ${named(e.out)}`, type, e.out.type);
}
const problemText = (p: object): string => JSON.stringify(p, (_, v) => (isDim(v) ? printDim(v) : v));
const isDim = (v: unknown): v is Dim => typeof v === "object" && v !== null && "terms" in v;
function inScope(c: Checking, i: Index, scope: Scope): void {
  if (!scope.indices.has(i.id)) c.wrong.push(`tile index ${i.name} is used outside its region`);
}

function checkFold(c: Checking, e: FoldEqn, scope: Scope): void {
  if (!sameCount(c, "initial values of a fold's carries", e.init.length, e.carry.length)) return;
  const inside = e.over.kind === "steps" ? scope : withIndices(c, scope, [e.over.index]);
  for (const [i, a] of e.init.entries()) expect(c, () => `initial ${named(e.carry[i]!)}`, a.type, e.carry[i]!.type);
  checkBlock(c, e.body, inside, bindersOf(e));
  if (!sameCount(c, "results of a fold's body", e.body.results.length, e.outs.length)) return;
  if (e.over.kind === "steps" && (e.over.step.type.dtype !== "i32" || e.over.step.type.shape.length > 0))
    c.wrong.push("a fold's step is not an i32 scalar");
  e.body.results.forEach((a, i) => {
    const carry = e.carry[i],
      out = e.outs[i]!;
    if (carry) {
      expect(c, () => `next ${named(carry)}`, a.type, carry.type);
      expect(c, () => `last ${named(carry)}`, carry.type, out.type);
    } else if (e.over.kind === "steps")
      expect(c, () => `collected ${named(out)}`, { ...a.type, shape: [e.over.count, ...a.type.shape] }, out.type);
  });
}

function checkIf(c: Checking, e: IfEqn, scope: Scope): void {
  const { dtype, shape, varying } = e.cond.type;
  if (dtype !== "bool" || shape.length > 0) c.wrong.push(`the condition of an if is ${printType(e.cond.type)}`);
  for (const [name, branch] of [
    ["then", e.then],
    ["else", e.else],
  ] as const) {
    checkBlock(c, branch, scope);
    if (sameCount(c, `results of ${name}`, branch.results.length, e.outs.length))
      for (const [i, a] of branch.results.entries())
        expect(c, () => `${name} of ${named(e.outs[i]!)}`, a.type, e.outs[i]!.type);
  }
  for (const v of e.outs) expect(c, () => `${named(v)} by its condition`, { ...v.type, varying }, v.type);
}

function withIndices(c: Checking, scope: Scope, indices: readonly Index[]): Scope {
  for (const i of indices) {
    if (scope.indices.has(i.id)) c.wrong.push(`tile index ${i.name} is bound twice`);
    if ((i.block === null) !== (i.element !== undefined))
      c.wrong.push(`tile index ${i.name} has both a block and an element, or neither`);
  }
  return { ...scope, indices: new Set([...scope.indices, ...indices.map((i) => i.id)]) };
}

function checkTiles(c: Checking, e: TilesEqn, scope: Scope): void {
  if (scope.inTiles) c.wrong.push("tiles inside tiles");
  checkBlock(c, e.body, { ...withIndices(c, scope, e.indices), inTiles: true }, bindersOf(e));
  if (!sameCount(c, "results of a tile", e.body.results.length, e.outs.length)) return;
  if (!sameCount(c, "patterns of tiles", e.into.length, e.outs.length)) return;
  e.body.results.forEach((value, k) => {
    const out = e.outs[k]!,
      pattern = e.into[k]!;
    const ids = pattern.flatMap((p) => (p.kind === "index" ? [p.id] : []));
    if (ids.length !== e.indices.length || e.indices.some((i) => !ids.includes(i.id)))
      c.wrong.push(`the pattern of ${named(out)} does not name every index once`);
    // A blocked index and ":" each take the value's next dimension; an index of single elements takes none.
    let next = 0;
    const shape = pattern.map((p): Dim => {
      if (p.kind === "all") return value.type.shape[next++] ?? Number.NaN;
      const index = e.indices.find((i) => i.id === p.id);
      if (!index) return Number.NaN;
      if (index.block !== null && !dimEqual(value.type.shape[next++] ?? Number.NaN, index.size))
        c.wrong.push(`dimension ${next - 1} of a tile of ${named(out)} is not the block of ${index.name}`);
      return index.extent;
    });
    if (next !== value.type.shape.length)
      c.wrong.push(`a tile of ${named(out)} has ${value.type.shape.length} dimensions, its pattern takes ${next}`);
    expect(c, () => `tiles for ${named(out)}`, { ...value.type, shape }, out.type);
  });
}

/** Values of the types that are declared for them, one for each. */
function checkResults(
  c: Checking,
  what: string,
  results: readonly { readonly type: Type }[],
  declared: readonly Type[],
): void {
  if (!sameCount(c, `results of ${what}`, results.length, declared.length)) return;
  for (const [i, a] of results.entries()) expect(c, () => `result ${i} of ${what}`, a.type, declared[i]!);
}

function checkDerivative(c: Checking, e: DerivativeEqn, scope: Scope): void {
  const types = e.outs.map((v) => v.type);
  switch (e.kind) {
    case "vjp":
      checkBlock(c, e.body, scope, e.params);
      checkResults(
        c,
        "what vjp takes",
        e.args,
        e.params.map((v) => v.type),
      );
      checkResults(c, "vjp", e.body.results, types);
      c.vjps.set(e.id, e);
      return;
    case "pullback": {
      const of = c.vjps.get(e.of);
      if (!of) {
        c.wrong.push(`pullback of a vjp ${e.of} that is not there`);
        return;
      }
      checkResults(
        c,
        "what pullback takes",
        e.args,
        of.outs.map((v) => v.type),
      );
      checkResults(c, "pullback", of.args, types);
      return;
    }
    case "checkpoint":
      checkBlock(c, e.body, scope);
      checkResults(c, "checkpoint", e.body.results, types);
      return;
    case "rule":
      checkRule(c, e, scope);
  }
}
function checkRule(c: Checking, e: Extract<DerivativeEqn, { kind: "rule" }>, scope: Scope): void {
  const what = `rule of ${e.name}`;
  const types = e.outs.map((v) => v.type);
  for (const [name, b] of [
    [e.name, e.primal],
    [what, e.forward],
  ] as const) {
    checkBlock(c, b, scope);
    checkResults(c, name, b.results.slice(0, types.length), types);
  }
  const given = [...e.forward.results.slice(types.length).map((a) => a.type), ...types];
  checkResults(c, `params of the ${what}`, e.pullback.params, given);
  checkBlock(c, e.pullback.body, scope, e.pullback.params);
  // A cotangent may vary over more axes than what it is of: it is summed over them.
  const wide = e.pullback.body.results.map((a, i) => ({ ...a.type, varying: e.args[i]?.type.varying ?? [] }));
  const wanted = [
    ...e.args.map((a) => a.type),
    ...e.functions.map((): Type => ({ dtype: "f32", shape: [], varying: [] })),
  ];
  if (sameCount(c, `results of the pullback of the ${what}`, wide.length, wanted.length))
    for (const [i, t] of wide.entries()) expect(c, () => `result ${i} of the pullback of the ${what}`, t, wanted[i]!);
}

function checkOutput(c: Checking, port: Program["outputs"][number], a: Atom): void {
  const { mesh } = c.program;
  const name = port.path === "" ? "the output" : `output ${port.path}`;
  const global = a.type.shape.map((d, i) => dimMul(d, ringSize(mesh, port.spec[i]?.axes ?? [])));
  const whole: Type = { ...a.type, shape: global };
  if (!sameType(whole, { ...whole, dtype: port.dtype, shape: port.shape }))
    c.wrong.push(`${name} is ${printType(whole)} in all, declared ${port.dtype}[${port.shape.join(", ")}]`);
  for (const axis of a.type.varying)
    if (axisSize(mesh, axis) > 1 && !port.spec.some((e) => e.axes.includes(axis)))
      c.wrong.push(`${name} varies over ${axis}, which its spec leaves out`);
}
