/** Reading chevrotain's concrete syntax tree. After an error any child may be missing, so every access may give nothing. */
import type { CstElement, CstNode, IToken } from "chevrotain";
import type { Diagnostic } from "../base/diagnostic.ts";
import { report } from "../base/messages.ts";
import type { Source } from "../base/source.ts";
import type { Span } from "../base/span.ts";
import type * as Ast from "./ast.ts";

/** What the builders need: the source for spans, a place for diagnostics. */
export type Reading = { readonly source: Source; readonly tell: (d: Diagnostic) => void };

export type Node = CstNode | undefined;

const isNode = (e: CstElement): e is CstNode => "children" in e;

/** The subtrees of a rule, in order. */
export const nodes = (cst: Node, rule: string): CstNode[] => (cst?.children[rule] ?? []).filter(isNode);
export const node = (cst: Node, rule: string, index = 0): Node => nodes(cst, rule)[index];

/** The tokens of a kind that were really there (recovery may invent some). */
export const tokens = (cst: Node, kind: string): IToken[] =>
  (cst?.children[kind] ?? []).filter((e): e is IToken => !isNode(e) && e.isInsertedInRecovery !== true);
export const token = (cst: Node, kind: string, index = 0): IToken | undefined => tokens(cst, kind)[index];
export const has = (cst: Node, kind: string): boolean => token(cst, kind) !== undefined;

export const tokenSpan = ({ source }: Reading, t: IToken): Span => ({
  source,
  start: t.startOffset,
  end: t.startOffset + t.image.length,
});

/** The span of a subtree; where recovery left it empty, an empty span at `near`. */
export function nodeSpan({ source }: Reading, cst: Node, near = 0): Span {
  const at = cst?.location;
  const start = at?.startOffset;
  const end = at?.endOffset;
  if (start === undefined || Number.isNaN(start)) return { source, start: near, end: near };
  return { source, start, end: end === undefined || Number.isNaN(end) || end < start ? start : end + 1 };
}

export const ident = (r: Reading, t: IToken): Ast.Ident => ({ kind: "ident", name: t.image, span: tokenSpan(r, t) });

/** Names at which nothing is to be read any more get `_`; an error has been told. */
export const identOr = (r: Reading, t: IToken | undefined, near: Span): Ast.Ident =>
  t ? ident(r, t) : { kind: "ident", name: "_", span: { ...near, end: near.start } };

/** The grammar lets commas in a list be missing; here that is told. `what` names an element. */
export function checkCommas(r: Reading, cst: Node, elements: readonly { readonly span: Span }[], what: string): void {
  const commas = tokens(cst, "Comma");
  if (commas.length >= elements.length - 1) return;
  elements.forEach((next, i) => {
    const before = elements[i - 1];
    if (!before) return;
    const between = commas.some((c) => c.startOffset >= before.span.end && c.startOffset < next.span.start);
    if (!between) r.tell(report("GY1107", next.span, { what }));
  });
}

/** `(a,)` is a tuple, `(a)` is `a`. */
export const isTuple = (cst: Node, count: number): boolean => count !== 1 || has(cst, "Comma");

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t" };

/** The text of a string without its quotes and escapes. */
export const unquote = (text: string): string =>
  text
    .slice(1, text.length > 1 && text.endsWith(text[0] ?? "") ? -1 : undefined)
    .replace(/\\(.)/g, (_, char: string) => escapes[char] ?? char);
