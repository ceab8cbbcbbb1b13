/**
 * Which dimensions are the same axis. A node is a dimension of a value; nodes that are joined become one axis.
 *
 * A join is refused where one value would get the same axis twice (both dimensions of `x @ x.T` are rows of x), or where
 * two axes that are given (of tile indices, of a kernel's grid) would become one. Refusing is always right: the operand
 * is then re-indexed.
 */

/** A class of nodes. `fixed`: the axis it must be. `owners`: the values that have it. `reduced`: a kernel's grid must not be it. */
type Class = { readonly owners: Set<number>; fixed: string | undefined; reduced: boolean; readonly nodes: string[] };
export type Unifier = {
  readonly parent: Map<string, string>;
  readonly classes: Map<string, Class>;
  /** Fixed axes over which nothing may be reduced: the grid's of array code. */
  readonly whole: ReadonlySet<string>;
};

export const unifier = (whole: ReadonlySet<string> = new Set()): Unifier => ({
  parent: new Map(),
  classes: new Map(),
  whole,
});
/** The node of a value's dimension. */
export const node = (value: number, dim: number | string): string => `${value}.${dim}`;

/** The class of a node, by the name of one of its nodes. */
export function find(u: Unifier, n: string): string {
  const p = u.parent.get(n);
  if (p === undefined) {
    u.parent.set(n, n);
    u.classes.set(n, {
      owners: new Set([Number(n.slice(0, n.indexOf(".")))]),
      fixed: undefined,
      reduced: false,
      nodes: [n],
    });
    return n;
  }
  if (p === n) return n;
  const root = find(u, p);
  u.parent.set(n, root);
  return root;
}
/** Makes a node the axis called `name`; a node of its own stands for the axis. */
export function axisNode(u: Unifier, name: string): string {
  const n = `axis ${name}`;
  if (!u.parent.has(n)) {
    u.parent.set(n, n);
    u.classes.set(n, { owners: new Set(), fixed: name, reduced: false, nodes: [] });
  }
  return n;
}
export const fixedOf = (u: Unifier, n: string): string | undefined => u.classes.get(find(u, n))!.fixed;

/** Says that something is reduced or scanned along a node. */
export function markReduced(u: Unifier, n: string): void {
  u.classes.get(find(u, n))!.reduced = true;
}

/** Joins two nodes where that is allowed, and says whether they are one now. */
export function join(u: Unifier, m: string, n: string): boolean {
  const p = find(u, m);
  const q = find(u, n);
  if (p === q) return true;
  const a = u.classes.get(p)!;
  const b = u.classes.get(q)!;
  if (a.fixed !== undefined && b.fixed !== undefined) return false;
  const fixed = a.fixed ?? b.fixed;
  if (fixed !== undefined && u.whole.has(fixed) && (a.reduced || b.reduced)) return false;
  const [large, small, root] = a.owners.size >= b.owners.size ? [a, b, p] : [b, a, q];
  for (const o of small.owners) if (large.owners.has(o)) return false;
  for (const o of small.owners) large.owners.add(o);
  large.nodes.push(...small.nodes);
  large.fixed = fixed;
  large.reduced ||= small.reduced;
  u.parent.set(root === p ? q : p, root);
  u.classes.delete(root === p ? q : p);
  return true;
}
/** Every class, with the nodes in it. */
export const classesOf = (
  u: Unifier,
): readonly { readonly root: string; readonly nodes: readonly string[]; readonly fixed: string | undefined }[] =>
  [...u.classes.entries()].map(([root, c]) => ({ root, nodes: c.nodes, fixed: c.fixed }));
