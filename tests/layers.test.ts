/**
 * Holds the imports to the picture in ARCHITECTURE.md:
 *
 *   base ← syntax ← core ← tile ← { schedule, emit } ← compile.ts        runtime: types and the Schedule       cli: everything
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");

type Import = { readonly to: string; readonly typeOnly: boolean; readonly lazy: boolean };
type File = {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  readonly barrel: boolean;
};

const files: ReadonlyMap<string, File> = new Map(
  ["compiler", "runtime", "planner", "cli", "stdlib", "inspector"]
    .flatMap(listed)
    .concat("index.ts", "browser.ts")
    .map((path) => [path, read(path)]),
);
const under = (folder: string): readonly File[] => [...files.values()].filter((f) => f.path.startsWith(`${folder}/`));

/** What a folder may import besides itself; `compile.ts` and `pass.ts` stand for themselves. */
const below: Readonly<Record<string, readonly string[]>> = {
  "compiler/base": [],
  "compiler/syntax": ["compiler/base"],
  "compiler/core": ["compiler/base", "compiler/syntax"],
  "compiler/tile": ["compiler/base", "compiler/core"],
  "compiler/lane": ["compiler/base", "compiler/core", "compiler/tile"],
  "compiler/schedule": ["compiler/base", "compiler/core", "compiler/tile"],
  "compiler/emit": ["compiler/base", "compiler/core", "compiler/tile", "compiler/lane", "compiler/schedule"],
};

/** The data that both sides of the line between compiler and runtime know. */
const scheduleData = /^compiler\/schedule\/(schedule|ir)\.ts$/;
/** What every language has besides passes. */
const facts = /\/(ir|ast|schedule|ops|print|check|eval|builder|build|targets|meaning|allowed)\.ts$/;

describe("layers", () => {
  for (const [folder, may] of Object.entries(below)) {
    test(`${folder} imports only ${[folder, ...may].join(", ")}`, () => {
      const wrong = under(folder).flatMap((f) =>
        f.imports
          .filter((i) => i.to.startsWith("compiler/") && i.to !== "compiler/pass.ts")
          .filter((i) => ![folder, ...may].includes(dirname(i.to).split("/").slice(0, 2).join("/")))
          .map((i) => `${f.path} → ${i.to}`),
      );
      expect(wrong).toEqual([]);
    });
  }

  test("the compiler knows no runtime, no command line, no Node and no DOM", () => {
    const packages = ["chevrotain", "ts-morph"];
    const wrong = under("compiler").flatMap((f) => [
      ...f.imports
        .filter((i) => !i.to.startsWith("compiler/") && !packages.includes(i.to))
        .map((i) => `${f.path} → ${i.to}`),
      ...globalsIn(f).map((name) => `${f.path} uses ${name}`),
    ]);
    expect(wrong).toEqual([]);
  });

  test("ts-morph is loaded only when bindings are made", () => {
    const eager = [...files.values()].flatMap((f) =>
      f.imports.filter((i) => i.to === "ts-morph" && !i.typeOnly && !i.lazy).map(() => f.path),
    );
    expect(eager).toEqual([]);
  });

  test("the runtime sees the Schedule, and of the rest of the compiler only types", () => {
    const wrong = under("runtime").flatMap((f) =>
      f.imports
        .filter(
          (i) => i.to.startsWith("cli/") || (i.to.startsWith("compiler/") && !i.typeOnly && !scheduleData.test(i.to)),
        )
        .map((i) => `${f.path} → ${i.to}`),
    );
    expect(wrong).toEqual([]);
  });

  test("the planner stands on the compiler alone", () => {
    const wrong = under("planner").flatMap((f) => [
      ...f.imports.filter((i) => !/^(planner|compiler)\//.test(i.to)).map((i) => `${f.path} → ${i.to}`),
      ...globalsIn(f).map((name) => `${f.path} uses ${name}`),
    ]);
    expect(wrong).toEqual([]);
  });

  test("only the command line and the package's front door stand above compiler and runtime", () => {
    const wrong = [...under("compiler"), ...under("runtime")].flatMap((f) =>
      f.imports.filter((i) => i.to.startsWith("cli/") || i.to === "index.ts").map((i) => `${f.path} → ${i.to}`),
    );
    expect(wrong).toEqual([]);
  });

  test("a language's definition imports no pass", () => {
    const wrong = under("compiler")
      .filter((f) => /\/(ir|ast|schedule)\.ts$/.test(f.path))
      .flatMap((f) => f.imports.filter((i) => passes().has(i.to)).map((i) => `${f.path} → ${i.to}`));
    expect(wrong).toEqual([]);
  });

  test("no pass imports a pass: only compile.ts and passes.ts know the order", () => {
    const wrong = [...passes()].flatMap((path) =>
      (files.get(path)?.imports ?? []).filter((i) => !i.typeOnly && passes().has(i.to)).map((i) => `${path} → ${i.to}`),
    );
    expect(wrong).toEqual([]);
  });

  test("there are no import cycles", () => {
    expect(cycles()).toEqual([]);
  });

  test("there are no barrel files but the package's front door", () => {
    expect([...files.values()].filter((f) => f.barrel).map((f) => f.path)).toEqual(["index.ts"]);
  });

  test("the compiler has never heard of attention", () => {
    const wrong = under("compiler").flatMap((f) =>
      f.text
        .split("\n")
        .flatMap((line, i) => (/attention|softmax|flash/i.test(line) ? [`${f.path}:${i + 1}: ${line.trim()}`] : [])),
    );
    expect(wrong).toEqual([]);
  });
});

/** The passes: what these files put in order. */
function passes(): ReadonlySet<string> {
  const order = ["compile", "passes", "lowering"].map((name) => `compiler/${name}.ts`);
  const imports = order.flatMap((path) => files.get(path)!.imports).filter((i) => !order.includes(i.to));
  return new Set(imports.filter((i) => !i.typeOnly && !facts.test(i.to) && !/\/base\//.test(i.to)).map((i) => i.to));
}

/** Every cycle of imports (types included), once, as `a → b → a`. */
function cycles(): readonly string[] {
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) found.add([...way.slice(way.indexOf(path)), path].join(" → "));
    else if (!done.has(path)) {
      for (const { to } of files.get(path)?.imports ?? []) if (files.has(to)) visit(to, [...way, path]);
      done.add(path);
    }
  };
  for (const path of files.keys()) visit(path, []);
  return [...found];
}

/** Names of Node and of the DOM that a file uses and does not declare or import itself. */
function globalsIn({ path, text }: File): readonly string[] {
  const foreign =
    /^(process|Buffer|require|__dirname|window|document|navigator|fetch|setTimeout|setImmediate|localStorage|fs)$/;
  const used = new Set<string>();
  const own = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && foreign.test(node.text)) {
      const { parent } = node;
      const binds = "name" in parent && parent.name === node;
      const member =
        ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent);
      if (binds && !member) own.add(node.text);
      else if (!binds) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return [...used].filter((name) => !own.has(name));
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
      .sort();
  } catch {
    return [];
  }
}

function read(path: string): File {
  const text = readFileSync(join(root, path), "utf8");
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports: Import[] = [];
  const add = (specifier: ts.Node, typeOnly: boolean, lazy: boolean): void => {
    if (!ts.isStringLiteral(specifier)) return;
    const to = specifier.text.startsWith(".")
      ? relative(root, resolve(root, dirname(path), specifier.text)).replaceAll("\\", "/")
      : specifier.text;
    imports.push({ to, typeOnly, lazy });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause), false);
    if (ts.isExportDeclaration(node) && node.moduleSpecifier) add(node.moduleSpecifier, node.isTypeOnly, false);
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0]!, false, true);
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true, true);
    ts.forEachChild(node, visit);
  };
  visit(source);
  const statements = source.statements.filter((s) => !ts.isImportDeclaration(s));
  const barrel = statements.length > 0 && statements.every((s) => ts.isExportDeclaration(s));
  return { path, text, imports, barrel };
}

/** `import type …`, and `import { type A, type B } …`. */
function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (!clause) return false;
  if (clause.isTypeOnly) return true;
  const named = clause.namedBindings;
  return (
    !clause.name &&
    !!named &&
    ts.isNamedImports(named) &&
    named.elements.length > 0 &&
    named.elements.every((e) => e.isTypeOnly)
  );
}
