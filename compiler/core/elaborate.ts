/**
 * From source to Core: names, types, shapes and specs are checked, and everything that is known at compile time is gone.
 *
 * Elaboration is the check: it runs on symbolic dims, so `checkFiles` without sizes and `elaborateEntry` with them give the
 * same errors; sizes add only what hangs on them (does `S` divide by `sp`?).
 */
import { type Diagnostic, isError, sortDiagnostics } from "../base/diagnostic.ts";
import { type Dim, dimAtoms, evalDim, printDim, solveDim } from "../base/dim.ts";
import { InvariantError } from "../base/invariant.ts";
import { report } from "../base/messages.ts";
import { positionAt } from "../base/source.ts";
import { noSpan, type Span } from "../base/span.ts";
import type * as Ast from "../syntax/ast.ts";
import { type Choices, type Chosen, type Found, lookUp } from "./elaborate/choices.ts";
import { makeContext } from "./elaborate/context.ts";
import { checkItem, tieKnot } from "./elaborate/declarations.ts";
import { checkSizes, type EntryPort, type EntrySizes, entryBody, entryHead, type Head } from "./elaborate/entry.ts";
import { exportedBy, loadModule, type Module, type Modules, type Read } from "./elaborate/modules.ts";
import { resolveBlock } from "./elaborate/resolve.ts";
import { near } from "./elaborate/scope.ts";
import { isSound, markSound } from "./elaborate/sound.ts";
import { axisKey } from "./elaborate/value.ts";
import type { DType, Port, Program, Spec } from "./ir.ts";

export type EntryOptions = {
  /** Which exported `shard_map`; may be left out where there is one. */
  readonly entry?: string | undefined;
  /** Sizes of dimension variables. */
  readonly dims?: Readonly<Record<string, number>> | undefined;
  /** Sizes of mesh axes, over those in the source. */
  readonly meshSizes?: Readonly<Record<string, number>> | undefined;
  readonly choices?: Choices | undefined;
};

type Session = {
  readonly modules: Modules;
  readonly knot: ReturnType<typeof tieKnot>;
  readonly diagnostics: Diagnostic[];
};
function session(read: Read): Session {
  const diagnostics: Diagnostic[] = [];
  const modules: Modules = { read, diagnostics, loaded: new Map(), byScope: new Map() };
  return {
    modules,
    knot: tieKnot(
      diagnostics,
      (env) => modules.byScope.get(env)?.texts,
      (name) => exportedBy(modules, name),
    ),
    diagnostics,
  };
}
/** Of a line that could not be read (GY11xx, and some whose meaning was guessed), what else is said follows from that. */
const unread = /^GY(?:11..|1001|120[128]|1211)$/;
/** What is told: sorted, and without what the checker says of lines that could not be read. */
function told(all: readonly Diagnostic[]): readonly Diagnostic[] {
  const place = (d: Diagnostic) => `${d.span.source.path}:${positionAt(d.span.source, d.span.start).line}`;
  const lines = new Set(all.filter((d) => unread.test(d.code)).map(place));
  return sortDiagnostics(lines.size === 0 ? all : all.filter((d) => d.code < "GY2" || !lines.has(place(d))));
}
/** The root module; one that cannot be read is reported. */
function root(s: Session, path: string): Module | undefined {
  const module = loadModule(s.modules, path);
  if (!module) s.diagnostics.push(report("GY2004", noSpan, { path }));
  return module;
}
/** Nesting past what the machine's stack holds is the user's to mend; everything else that is thrown is our bug. */
function guarded<T>(s: Session, span: Span, run: () => T): T | undefined {
  try {
    return run();
  } catch (e) {
    if (!(e instanceof RangeError) || e instanceof InvariantError) throw e;
    s.diagnostics.push(report("GY2013", span, {}));
    return undefined;
  }
}

function checkModule(s: Session, module: Module): void {
  const axes = [...(module.scope.meshAxes ?? [])].map((name) => ({ name }));
  const c = makeContext({ knot: s.knot, diagnostics: s.diagnostics, axes });
  for (const item of module.ast.items)
    guarded(s, item.span, () => {
      if (item.kind !== "shard_map") checkItem({ ...c, eqns: [] }, item, module.scope);
      else if (!isSound(item, module.texts)) checkEntry(s, module, item);
    });
}
function checkEntry(s: Session, module: Module, decl: Ast.ShardMapDecl): void {
  const before = s.diagnostics.length;
  const head = entryHead(s.knot, s.diagnostics, decl, module.scope);
  if (head) entryBody(head);
  if (s.diagnostics.length === before) markSound(decl, module.texts);
}

/**
 * Checks every declaration of the files at `paths`, and what they use of the modules that they import.
 * Gives all independent errors, sorted by place.
 */
export function checkFiles(paths: readonly string[], read: Read): readonly Diagnostic[] {
  const s = session(read);
  for (const path of paths) {
    const module = root(s, path);
    if (module) checkModule(s, module);
  }
  return told(s.diagnostics);
}

/** The names of the entry points of a module: its exported `shard_map`s, or all where none is exported. */
function entryNames(module: Ast.Module): readonly string[] {
  const all = module.items.filter((i): i is Ast.ShardMapDecl => i.kind === "shard_map");
  const exported = all.filter((i) => i.exported);
  return (exported.length > 0 ? exported : all).map((i) => i.name.name);
}
function findEntry(s: Session, module: Module, name: string | undefined): Ast.ShardMapDecl | undefined {
  const names = entryNames(module.ast);
  const span: Span = { source: module.ast.source, start: 0, end: 0 };
  if (name === undefined && names.length !== 1) {
    s.diagnostics.push(names.length === 0 ? report("GY6007", span, {}) : report("GY6006", span, { names }));
    return undefined;
  }
  const wanted = name ?? names[0]!;
  const found = module.ast.items.find((i): i is Ast.ShardMapDecl => i.kind === "shard_map" && i.name.name === wanted);
  if (!found) s.diagnostics.push(report("GY6005", span, { name: wanted, names, ...near(wanted, names) }));
  return found;
}

/** `found`: what there is to choose, where choices were given. */
export type ElaborateResult = {
  readonly program?: Program;
  readonly diagnostics: readonly Diagnostic[];
  readonly found?: Found;
};

/** Elaborates one entry at the sizes given. There is a program exactly when no diagnostic is an error. */
export function elaborateEntry(path: string, read: Read, options: EntryOptions = {}): ElaborateResult {
  const s = session(read);
  const { choices } = options;
  let chosen: Chosen | undefined;
  const done = (program?: Program): ElaborateResult => {
    const diagnostics = told(s.diagnostics);
    if (!program || diagnostics.some(isError)) return { diagnostics };
    return { program, diagnostics, ...(chosen && { found: chosen.found }) };
  };
  const module = root(s, path);
  const decl = module && findEntry(s, module, options.entry);
  if (!module || !decl) return done();
  checkModule(s, module);
  if (s.diagnostics.some(isError)) return done();
  // What nobody imports is loaded only where it is to be called.
  const scopeOf = (path: string) => {
    const loaded = s.modules.loaded.get(path);
    if (loaded && loaded !== "loading") return loaded.scope;
    return Object.keys(choices?.exchanges ?? {}).length > 0 ? loadModule(s.modules, path)?.scope : undefined;
  };
  chosen = choices && lookUp(choices, scopeOf);
  return done(guarded(s, decl.name.span, () => compileEntry(s, module, decl, options, chosen)));
}
function compileEntry(
  s: Session,
  module: Module,
  decl: Ast.ShardMapDecl,
  options: EntryOptions,
  chosen: Chosen | undefined,
): Program | undefined {
  const splits = Object.entries(options.choices?.splits ?? {});
  const whole = splits.map(([axis, sizes]) => [axis, sizes.reduce((n, size) => n * size, 1)] as const);
  const sizes: EntrySizes = {
    dims: new Map(Object.entries(options.dims ?? {})),
    mesh: new Map([...Object.entries(options.meshSizes ?? {}), ...whole]),
    choices: options.choices,
    chosen,
  };
  const open = entryHead(s.knot, s.diagnostics, decl, module.scope, { ...sizes, dims: new Map() });
  if (!open || !checkGiven(s, open, sizes)) return undefined;
  const head = entryHead(s.knot, s.diagnostics, decl, module.scope, sizes, true);
  if (!head || !checkSizes(head)) return undefined;
  const elaborated = entryBody(head);
  if (!elaborated || s.diagnostics.some(isError)) return undefined;
  const { block, params } = resolveBlock(elaborated.body, elaborated.inputs, head.c.sizes);
  return {
    name: decl.name.name,
    ...(decl.doc !== undefined && { doc: decl.doc }),
    mesh: { name: head.mesh.name.name, axes: head.axes.map((a) => ({ name: a.name, size: a.size! })) },
    dims: Object.fromEntries(decl.generics.map((g) => [g.name.name, sizes.dims.get(g.name.name)!])),
    inputs: head.inputs.map((p, i) => ({ port: portOf(head, p), local: params[i]! })),
    body: block,
    outputs: head.outputs.map((p) => portOf(head, p)),
  };
}
function portOf(h: Head, p: EntryPort): Port {
  const shape = p.type.shape.map((d) => {
    const v = evalDim(d, (a) => h.c.sizes.get(a.key));
    return v.kind === "missing" ? 0 : v.value;
  });
  return { path: p.path, dtype: p.type.dtype, shape, spec: specOf(p), written: p.type.shape.map(printDim) };
}
const specOf = (p: EntryPort): Spec =>
  p.type.spec?.entries.map(({ axes, layout }) => ({ axes, layout })) ??
  p.type.shape.map(() => ({ axes: [], layout: "contiguous" as const }));

/** All sizes that are needed are given, positive, and known to the entry. */
function checkGiven(s: Session, h: Head, sizes: EntrySizes): boolean {
  const before = s.diagnostics.length;
  const at = h.decl.name.span;
  const generics = h.decl.generics.map((g) => g.name.name),
    axes = h.declared.map((a) => a.name);
  const say = (d: Diagnostic) => s.diagnostics.push(d);
  for (const [name, n] of sizes.dims) {
    if (!generics.includes(name))
      say(report("GY6008", at, { name, entry: h.decl.name.name, names: generics, ...near(name, generics) }));
    if (!Number.isInteger(n) || n < 1) say(report("GY6010", at, { what: `dimension \`${name}\`` }));
  }
  for (const [name, n] of sizes.mesh) {
    if (!axes.includes(name))
      say(report("GY6009", h.decl.mesh.span, { name, mesh: h.mesh.name.name, names: axes, ...near(name, axes) }));
    if (!Number.isInteger(n) || n < 1) say(report("GY6010", h.decl.mesh.span, { what: `mesh axis \`${name}\`` }));
  }
  const dims = generics.filter((g) => !sizes.dims.has(g));
  if (dims.length > 0) say(report("GY6001", at, { names: dims }));
  for (const name of Object.keys(sizes.choices?.layouts ?? {}))
    if (!generics.includes(name))
      say(report("GY6008", at, { name, entry: h.decl.name.name, names: generics, ...near(name, generics) }));
  const open = h.declared.filter((a) => a.size === undefined).map((a) => a.name);
  if (open.length > 0) say(report("GY6002", h.decl.mesh.span, { mesh: h.mesh.name.name, names: open }));
  return s.diagnostics.length === before;
}

// --- Signatures ------------------------------------------------------------------------------------------------------

/** An array at the edge: its global shape in terms of the entry's dimension variables. */
export type SignaturePort = {
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  readonly written: readonly string[];
  readonly spec: Spec;
  readonly span: Span;
};
export type Signature = {
  readonly name: string;
  readonly doc?: string;
  readonly dims: readonly string[];
  readonly mesh: { readonly name: string; readonly axes: readonly { readonly name: string; readonly size?: number }[] };
  /** In the order of parameters, records and tuples taken apart. */
  readonly inputs: readonly SignaturePort[];
  readonly outputs: readonly SignaturePort[];
};

/** What an entry takes and gives, without sizes. */
export function entrySignature(
  path: string,
  read: Read,
  options: Pick<EntryOptions, "entry" | "meshSizes"> = {},
): { readonly signature?: Signature; readonly diagnostics: readonly Diagnostic[] } {
  const s = session(read);
  const module = root(s, path);
  const decl = module && findEntry(s, module, options.entry);
  const mesh = new Map(Object.entries(options.meshSizes ?? {}));
  const head =
    decl &&
    guarded(s, decl.name.span, () => entryHead(s.knot, s.diagnostics, decl, module.scope, { dims: new Map(), mesh }));
  const diagnostics = sortDiagnostics(s.diagnostics);
  if (!head || !decl) return { diagnostics };
  const port = (p: EntryPort): SignaturePort => ({
    path: p.path,
    dtype: p.type.dtype,
    shape: p.type.shape,
    written: p.type.shape.map(printDim),
    spec: specOf(p),
    span: "result" in p.decl ? p.decl.result.span : p.decl.span,
  });
  return {
    signature: {
      name: decl.name.name,
      ...(decl.doc !== undefined && { doc: decl.doc }),
      dims: decl.generics.map((g) => g.name.name),
      mesh: { name: head.mesh.name.name, axes: head.declared },
      inputs: head.inputs.map(port),
      outputs: head.outputs.map(port),
    },
    diagnostics,
  };
}

/**
 * Finds sizes of dimension variables from the shapes of inputs, beside those that are given already.
 * Shapes that contradict the signature, each other or `given` are reported at the parameter.
 */
export function inferDims(
  signature: Signature,
  shapes: Readonly<Record<string, readonly number[]>>,
  given: Readonly<Record<string, number>> = {},
): { readonly dims: Readonly<Record<string, number>>; readonly diagnostics: readonly Diagnostic[] } {
  const dims = new Map(Object.entries(given));
  for (const a of signature.mesh.axes) if (a.size !== undefined) dims.set(axisKey(a.name), a.size);
  const diagnostics: Diagnostic[] = [];
  const ports = signature.inputs.filter((p) => shapes[p.path]);
  for (const p of ports) {
    const shape = shapes[p.path]!;
    if (shape.length !== p.shape.length)
      diagnostics.push(report("GY8001", p.span, { path: p.path, wants: p.written, found: shape, sizes: [] }));
  }
  const fitting = ports.filter((p) => shapes[p.path]!.length === p.shape.length);
  // A dim with two unknown names can be solved once one of them is found elsewhere.
  for (let before = -1; before !== dims.size; ) {
    before = dims.size;
    for (const p of fitting)
      for (const [i, d] of p.shape.entries()) {
        const open = dimAtoms(d).filter((a) => !dims.has(a.key));
        if (open.length !== 1) continue;
        const solved = solveDim(d, shapes[p.path]![i]!, (a) => a.key === open[0]!.key);
        const v = solved && evalDim(solved.value, (a) => dims.get(a.key));
        if (v?.kind === "value") dims.set(open[0]!.key, v.value);
      }
  }
  for (const p of fitting) {
    const shape = shapes[p.path]!;
    const off = p.shape.some((d, i) => {
      const v = evalDim(d, (a) => dims.get(a.key));
      return v.kind === "inexact" || (v.kind === "value" && v.value !== shape[i]);
    });
    const sizes = [...new Set(p.shape.flatMap((d) => dimAtoms(d).map((a) => a.key)))].flatMap((k) =>
      dims.has(k) ? [`${k.replace(/^@/, "")} = ${dims.get(k)}`] : [],
    );
    if (off) diagnostics.push(report("GY8001", p.span, { path: p.path, wants: p.written, found: shape, sizes }));
  }
  const found = Object.fromEntries([...dims].filter(([k]) => signature.dims.includes(k)));
  return { dims: found, diagnostics };
}
