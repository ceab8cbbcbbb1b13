/** Modules: reading files, following imports, and the names that each one holds. */
import type { Diagnostic } from "../../base/diagnostic.ts";
import { report } from "../../base/messages.ts";
import type { Source } from "../../base/source.ts";
import type { Span } from "../../base/span.ts";
import type * as Ast from "../../syntax/ast.ts";
import { type Parsed, parse } from "../../syntax/parse.ts";
import { frame, near } from "./scope.ts";
import type { Binding, Scope } from "./value.ts";

/**
 * Gives the text of a module: `gyre/nn`, or a path that ends in `.gyre`. Undefined where there is none. For `gyre` it may
 * give the names of the standard library's modules, one to a line: where a name is not known, it is looked for there.
 */
export type Read = (path: string) => string | undefined;

export type Module = {
  readonly path: string;
  readonly ast: Ast.Module;
  readonly scope: Scope;
  /** Names that other modules may import. */
  readonly exported: ReadonlySet<string>;
  /** This module's text and those that it imports, directly or not: what a verdict on its functions hangs on. */
  readonly texts: readonly Ast.Module[];
};
export type Modules = {
  readonly read: Read;
  readonly diagnostics: Diagnostic[];
  readonly loaded: Map<string, Module | "loading">;
  readonly byScope: Map<Scope, Module>;
};

/** Parsed texts, so that an unchanged file (the standard library, above all) is parsed once for each process. */
const parsed = new Map<string, { readonly text: string; readonly parsed: Parsed }>();
function parseText(path: string, text: string): Parsed {
  const old = parsed.get(path);
  if (old?.text === text) return old.parsed;
  const source: Source = { path, text };
  const fresh = parse(source);
  if (parsed.size > 500) parsed.clear();
  parsed.set(path, { text, parsed: fresh });
  return fresh;
}

/** The module at a path; undefined (reported by the caller's span, where there is one) if it cannot be read. */
export function loadModule(m: Modules, path: string): Module | undefined {
  const known = m.loaded.get(path);
  if (known && known !== "loading") return known;
  const text = m.read(path);
  if (text === undefined) return undefined;
  m.loaded.set(path, "loading");
  const { module: ast, diagnostics } = parseText(path, text);
  m.diagnostics.push(...diagnostics);
  const rules = ast.items.filter((i): i is Ast.DerivativeDecl => i.kind === "derivative");
  // Of two rules the first one holds; the other is reported when it is checked.
  const derivatives = new Map([...rules].reverse().map((r) => [r.name.name, r]));
  const meshAxes = new Set<string>();
  const scope: Scope = { ...frame(undefined), derivatives, meshAxes };
  const exported = new Set<string>();
  const imported: Module[] = [];
  const places = new Map<string, Span>();
  const declare = (name: Ast.Ident, binding: Binding, isExported: boolean) => {
    const first = places.get(name.name);
    if (first) {
      m.diagnostics.push(
        report("GY2006", name.span, { name: name.name }, [{ span: first, message: "it is declared here first" }]),
      );
      return;
    }
    places.set(name.name, name.span);
    scope.names.set(name.name, binding);
    if (binding.kind === "meshDecl") for (const axis of binding.decl.axes) meshAxes.add(axis.name.name);
    if (isExported) exported.add(name.name);
  };
  const meant: string[] = [];
  for (const item of ast.items) {
    if (item.kind === "import") {
      const other = importNames(m, item, path, declare, meant);
      if (other) imported.push(other);
    } else if (item.kind !== "derivative") declare(item.name, bindingOf(item, scope), item.exported);
  }
  // A name that an import spells wrongly is mostly right where it is used: there is nothing more to say of it.
  for (const name of meant) if (!scope.names.has(name)) scope.names.set(name, { kind: "error" });
  const module: Module = {
    path,
    ast,
    scope,
    exported,
    texts: [...new Set([ast, ...imported.flatMap((x) => x.texts)])],
  };
  m.loaded.set(path, module);
  m.byScope.set(scope, module);
  return module;
}
function bindingOf(item: Exclude<Ast.Item, Ast.ImportDecl | Ast.DerivativeDecl>, env: Scope): Binding {
  switch (item.kind) {
    case "fn":
      return { kind: "value", value: { kind: "fn", fn: "decl", decl: item, env } };
    case "const":
      return { kind: "constDecl", decl: item, env };
    case "type":
      return { kind: "typeDecl", decl: item, env };
    case "mesh":
      return { kind: "meshDecl", decl: item, env };
    case "shard_map":
      return { kind: "shardMap", decl: item, env };
  }
}

function importNames(
  m: Modules,
  item: Ast.ImportDecl,
  from: string,
  declare: (name: Ast.Ident, b: Binding, exported: boolean) => void,
  meant: string[],
): Module | undefined {
  const target = resolvePath(item.from.value, from);
  const say = (d: Diagnostic) => m.diagnostics.push(d);
  const other =
    target === undefined ? undefined : m.loaded.get(target) === "loading" ? "loading" : loadModule(m, target);
  if (other === "loading") say(report("GY2005", item.from.span, { path: item.from.value }));
  else if (!other) {
    const meant = meantModule(m, item.from.value, from);
    say(report("GY2004", item.from.span, { path: item.from.value, ...(meant !== undefined && { meant }) }));
  }
  for (const n of item.names) {
    if (!other || other === "loading") {
      declare(n.alias, { kind: "error" }, false);
      continue;
    }
    const binding = other.scope.names.get(n.name.name);
    const found = binding && other.exported.has(n.name.name);
    if (binding && !found) say(report("GY2003", n.name.span, { name: n.name.name, path: item.from.value }));
    if (!binding) {
      const library = exportedBy(m, n.name.name);
      const like = near(n.name.name, [...other.exported]);
      if (like.near !== undefined && n.alias === n.name) meant.push(like.near);
      say(
        report("GY2002", n.name.span, {
          name: n.name.name,
          path: item.from.value,
          ...like,
          ...(library !== undefined && { library }),
        }),
      );
    }
    declare(n.alias, found ? binding : { kind: "error" }, item.exported && found === true);
  }
  return other === "loading" ? undefined : other;
}
/** The modules of the standard library. */
const libraryModules = (m: Modules): readonly string[] =>
  m
    .read("gyre")
    ?.match(/[\w-]+/g)
    ?.map((n) => `gyre/${n}`) ?? [];
/** The first module of the standard library that exports a name: asked only where a name is not known. */
export function exportedBy(m: Modules, name: string): string | undefined {
  return libraryModules(m).find((path) => loadModule(m, path)?.exported.has(name));
}
/** The module that was meant by the path of none: one of the library, or a file beside this one. */
function meantModule(m: Modules, written: string, from: string): string | undefined {
  const library = libraryModules(m);
  if (library.includes(`gyre/${written}`)) return `gyre/${written}`;
  const beside = [`./${written}`, `${written}.gyre`, `./${written}.gyre`].find((path) => {
    const target = resolvePath(path, from);
    return target?.endsWith(".gyre") && m.read(target) !== undefined;
  });
  if (beside || !written.startsWith("gyre/")) return beside;
  const length = "gyre/abc".length;
  return library.find((path) => path.slice(0, length) === written.slice(0, length)) ?? near(written, library).near;
}
/** `gyre/NAME` as it is; `./a.gyre` and `../a.gyre` beside the importing file. */
function resolvePath(written: string, from: string): string | undefined {
  if (written.startsWith("gyre/")) return written;
  if (!written.startsWith("./") && !written.startsWith("../")) return undefined;
  const parts = from.split("/").slice(0, -1);
  for (const p of written.split("/")) {
    if (p === "..") {
      if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
      else parts.push("..");
    } else if (p !== ".") parts.push(p);
  }
  return parts.join("/");
}
