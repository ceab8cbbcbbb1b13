/** What the passes over one program share while derivatives are expanded. */
import type { Diagnostic, Note } from "../../base/diagnostic.ts";
import { type ArgsOf, type Code, report } from "../../base/messages.ts";
import { noSpan, type Span } from "../../base/span.ts";
import { type Builder, builder, type Ids } from "../build.ts";
import { type Names, renameAtom } from "../copy.ts";
import { widening } from "../identities.ts";
import type { Atom, Block, Eqn, Var } from "../ir.ts";
import type { TypingContext } from "../typing.ts";
import type { Sweep } from "./transpose.ts";

export type Grad = {
  readonly typing: TypingContext;
  readonly ids: Ids;
  /** What stands for the results of regions that were put in place. */
  readonly names: Names;
  /** Values under a new name: the cotangent of the one is the other's. */
  readonly aliases: Map<number, Atom>;
  readonly diagnostics: Diagnostic[];
  /** Where the derivative being expanded is asked for. */
  readonly asked?: Span | undefined;
  /** Ties the files of this folder together: regions hold blocks, which hold regions. */
  readonly linearize: (g: Grad, b: Block, active: ReadonlySet<number>) => Linear;
};

/** A block made ready for its backward pass. */
export type Linear = {
  readonly eqns: readonly Eqn[];
  readonly results: readonly Atom[];
  /** The variables, those around the block included, that derivatives flow through. */
  readonly active: ReadonlySet<number>;
  /** Takes the cotangents of the results from the sweep and contributes to what the block reads. */
  readonly pull: (s: Sweep) => void;
};
export type Pull = (s: Sweep) => void;

export const isActive = (active: ReadonlySet<number>, a: Atom): boolean => a.kind === "var" && active.has(a.id);

/** A builder for a block of its own. */
export const blockBuilder = (g: Grad): Builder => builder(g.typing, g.ids);
export const within = (b: Builder, e: { readonly span?: Span }): Builder => (e.span ? { ...b, span: e.span } : b);

/** Says that there is no derivative here. */
export function fail<C extends Code>(g: Grad, code: C, e: { readonly span?: Span }, args: ArgsOf<C>): void {
  const note: Note[] = g.asked ? [{ span: g.asked, message: "the derivative is asked for here" }] : [];
  const span = e.span ?? g.asked ?? noSpan;
  if (g.diagnostics.some((d) => d.code === code && d.span === span)) return;
  g.diagnostics.push(report(code, span, args, note));
}

/** Makes `a` what stands for `out`; emits a widening where `out` is declared to vary over more. */
export function bindOut(g: Grad, to: Eqn[], out: Var, a: Atom): void {
  const value = renameAtom(g.names, a);
  if (out.type.varying.every((x) => value.type.varying.includes(x))) g.names.set(out.id, value);
  else to.push(alias(out, value));
}
/** `v = a`, where derivatives must tell the two apart. */
export const alias = (v: Var, a: Atom): Eqn => widening(v, a);
