/**
 * Declarations found to be free of errors, with the texts that this hangs on. An unchanged text is the same Ast in one
 * process, so a function of the standard library, or an entry that is compiled at other sizes, is checked once.
 */
import type * as Ast from "../../syntax/ast.ts";

type Decl = Ast.FnDecl | Ast.ShardMapDecl;
const found = new WeakMap<Decl, readonly Ast.Module[]>();

export function isSound(decl: Decl, texts: readonly Ast.Module[]): boolean {
  const then = found.get(decl);
  return then?.length === texts.length && then.every((t, i) => t === texts[i]);
}
export const markSound = (decl: Decl, texts: readonly Ast.Module[]): void => {
  found.set(decl, texts);
};
