/** Text to Ast. */
import { type Diagnostic, sortDiagnostics } from "../base/diagnostic.ts";
import { report } from "../base/messages.ts";
import { positionAt, type Source } from "../base/source.ts";
import type * as Ast from "./ast.ts";
import { buildItems } from "./build.ts";
import { tooDeep } from "./depth.ts";
import { documented } from "./doc-comments.ts";
import { explain } from "./explain.ts";
import { GyreParser } from "./grammar.ts";
import { type Lexed, lex, maxNesting } from "./lex.ts";

export type Parsed = { readonly module: Ast.Module; readonly diagnostics: readonly Diagnostic[] };

let parser: GyreParser | undefined;

/** Analysing the grammar takes most of the time of a first parse, so the parser is made once. */
const parserOnce = (): GyreParser => (parser ??= new GyreParser({ validate: false }));

/**
 * Reads a file. Never throws: what cannot be read is an `error` node, or left out, and is told in the diagnostics (sorted by
 * place). Where there are none, the module has no `error` node.
 */
export function parse(source: Source): Parsed {
  const lexed = lex(source);
  const stopped = lexed.diagnostics.some((d) => d.code === "GY1109");
  if (stopped) return { module: moduleOf(source, lexed, []), diagnostics: sortDiagnostics(lexed.diagnostics) };
  try {
    return parseTokens(source, lexed);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // A chain of constructs that no bracket encloses (`if if if …`) has used up the stack.
    const deep = report("GY1109", { source, start: 0, end: 1 }, { limit: maxNesting });
    return { module: moduleOf(source, lexed, []), diagnostics: [deep] };
  }
}

function parseTokens(source: Source, lexed: Lexed): Parsed {
  const p = parserOnce();
  p.input = lexed.tokens;
  const cst = p.module();
  const stumbles = p.errors.map((e) => explain(e, source, lexed.tokens));
  const told: Diagnostic[] = [];
  const items = buildItems({ source, tell: (d) => told.push(d) }, cst).map((item) => {
    const deep = tooDeep(item);
    if (!deep) return item;
    told.push(deep.diagnostic);
    return deep.item;
  });
  const diagnostics = firstOfEachLine([...lexed.diagnostics, ...stumbles], told);
  return { module: moduleOf(source, lexed, items), diagnostics };
}

function moduleOf(source: Source, lexed: Lexed, bare: readonly Ast.Item[]): Ast.Module {
  const { items, comments } = documented(bare, lexed.comments);
  return { kind: "module", source, items, comments, span: { source, start: 0, end: source.text.length } };
}

/** A bracket that is never closed moves the borders of all blocks after it, so what is said of those is not told. */
const shakenByUnclosed: ReadonlySet<string> = new Set(["GY1106", "GY1206", "GY1207"]);
/** The same holds of what is left of a declaration in which something else was expected. */
const shakenByStumble: ReadonlySet<string> = new Set([...shakenByUnclosed, "GY1103"]);
const expected: ReadonlySet<string> = new Set(["GY1101", "GY1102"]);

/** The part of the text that holds the declaration around a place: from one that begins at the margin to the next. */
function declarationAt(text: string, place: number): readonly [number, number] {
  const heads = /^(?:export|import|fn|shard_map|mesh|const|type|derivative)\b/gm;
  let start = 0;
  for (const head of text.matchAll(heads)) {
    if (head.index > place) return [start, head.index];
    start = head.index;
  }
  return [start, text.length + 1];
}

/**
 * One mistake makes a parser stumble several times on its line; the first is the one to tell. What the builder has to say of a
 * line that could not be read (`told`) gives way.
 */
function firstOfEachLine(stumbles: readonly Diagnostic[], told: readonly Diagnostic[]): readonly Diagnostic[] {
  const lines = new Set<number>();
  const unclosed = stumbles.some((d) => d.code === "GY1105");
  const broken = stumbles.flatMap((d) =>
    expected.has(d.code) ? [declarationAt(d.span.source.text, d.span.start)] : [],
  );
  const shaken = (d: Diagnostic) =>
    (unclosed && shakenByUnclosed.has(d.code)) ||
    (shakenByStumble.has(d.code) && broken.some(([from, to]) => from <= d.span.start && d.span.start < to));
  // The end of the file is where a stumble before it leads.
  const isEnd = (d: Diagnostic) => expected.has(d.code) && d.span.start >= d.span.source.text.trimEnd().length;
  const firsts = [...sortDiagnostics(stumbles), ...sortDiagnostics(told)].filter((d) => {
    const { line } = positionAt(d.span.source, d.span.start);
    if (lines.has(line) || shaken(d) || (isEnd(d) && lines.size > 0 && broken.length > 1)) return false;
    lines.add(line);
    return true;
  });
  return sortDiagnostics(firsts);
}
