/** Why the first is first: for each choice, the best way that differs from it in this choice alone, and what that loses by. */
import { balanceOf, type Candidate, keyOf, type Runs } from "./candidate.ts";
import { bytes, percent, time } from "./text.ts";

export type Aspect = "mesh" | "function" | "layout" | "policy";
export type Reason = {
  readonly aspect: Aspect;
  /** What the first has, and the others. */
  readonly has: string;
  readonly others: readonly { readonly has: string; readonly losesBy: string }[];
};

/** What a candidate has, in the words of the command line; `` where it is as it is written. */
export const words: Readonly<Record<Aspect, (c: Candidate) => string>> = {
  mesh: ({ mesh }) =>
    Object.entries(mesh)
      .filter(([, n]) => n > 1)
      .map(([axis, n]) => `${axis}=${n}`)
      .join(",") || "one device",
  function: ({ exchanges, splits }) =>
    [
      ...new Set(Object.values(exchanges)),
      ...Object.entries(splits).map(([axis, parts]) => `${axis}=${parts.join("x")}`),
    ].join(" "),
  layout: ({ layouts }) =>
    Object.entries(layouts)
      .map(([dim, layout]) => `${dim}=${layout}`)
      .join(","),
  policy: ({ policy }) => policy ?? "",
};
const ASPECTS = Object.keys(words) as readonly Aspect[];

/** The reasons, those that matter most first. `all`: whatever runs, the best first. */
export function reasons(all: readonly Runs[], asWritten: (aspect: Aspect) => string): readonly Reason[] {
  const [first] = all;
  if (!first) return [];
  const told = (aspect: Aspect, c: Candidate): string => words[aspect](c) || asWritten(aspect);
  return ASPECTS.flatMap((aspect): Reason[] => {
    const rivals = all.filter(
      (o) => keyOf(o.candidate) !== keyOf(first.candidate) && differOnlyIn(aspect, first.candidate, o.candidate, told),
    );
    // Of each name the best: parts of an axis in other sizes are one way.
    const names = new Set<string>();
    const others = rivals.flatMap((o) => {
      const has = told(aspect, o.candidate);
      if (names.has(has) || has === told(aspect, first.candidate)) return [];
      names.add(has);
      return [{ has, losesBy: losesBy(first, o) }];
    });
    return others.length > 0 ? [{ aspect, has: told(aspect, first.candidate), others: others.slice(0, OTHERS) }] : [];
  });
}
const OTHERS = 4;

function differOnlyIn(
  aspect: Aspect,
  a: Candidate,
  b: Candidate,
  told: (aspect: Aspect, c: Candidate) => string,
): boolean {
  return ASPECTS.every((x) => x === aspect || (aspect === "mesh" && x === "function") || told(x, a) === told(x, b));
}

/** What `o` loses by, the largest part of the time first. */
export function losesBy(first: Runs, o: Runs): string {
  const slower = o.seconds / first.seconds - 1;
  const parts = [
    {
      // A balance of 50 % makes the busiest device take twice the mean.
      by: o.busy.most - o.busy.mean - (first.busy.most - first.busy.mean),
      say: `balance ${percent(balanceOf(o))} for ${percent(balanceOf(first))}`,
    },
    { by: o.busy.mean - first.busy.mean, say: `${time(o.busy.mean - first.busy.mean)} more in kernels` },
    {
      by: o.exposed.most - first.exposed.most,
      say: `${time(o.exposed.most - first.exposed.most)} more of transfers exposed`,
    },
  ]
    .filter((p) => p.by > 0.0005 * first.seconds)
    .sort((a, b) => b.by - a.by)
    .map((p) => p.say);
  const memory = o.bytes - first.bytes;
  const more = memory > 0.001 * first.bytes ? [`${bytes(memory)} more memory`] : [];
  const less = slower >= 0.0005 ? `${percent(slower)} slower` : "as fast";
  return [less, ...parts.slice(0, 2), ...more].join(", ");
}
