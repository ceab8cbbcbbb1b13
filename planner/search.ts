/**
 * The search for the best way to run a program. The choices hardly hang on each other, so they are made one after another,
 * each among the best so far:
 *
 *   1. the mesh, all else as it is written
 *   2. on the three best meshes: layouts; then functions in the best layout; then the best two of these in all layouts
 *   3. policies, of the best two
 *   4. what was best, on the meshes that came after the first three
 *
 * Whatever is tried is simulated; when the time is up, what has been tried is ranked.
 */
import type { Found } from "../compiler/core/elaborate/choices.ts";
import { entrySignature } from "../compiler/core/elaborate.ts";
import { type Candidate, type Cannot, keyOf, type Outcome, type Question, type Runs, ranked } from "./candidate.ts";
import { elaborated, evaluate } from "./evaluate.ts";
import { sameResults } from "./same.ts";
import { layoutsOf, meshes, policiesOf, usedAxes, type Ways, waysToCall } from "./space.ts";
import { bytes } from "./text.ts";

export type Effort = {
  /** Milliseconds after which nothing more is tried. */
  readonly limit: number;
  /** How many ways at most are held to the program as it is written, and told. */
  readonly told: number;
  /** Says what is tried: so many of so many are done, as far as is known. */
  readonly progress: (done: number, of: number) => Promise<void> | void;
};
export type Plan = {
  /** What fits and gives what the program gives, the best first: as many as are told. */
  readonly best: readonly Runs[];
  /** All that runs and fits, the best first. */
  readonly ran: readonly Runs[];
  readonly cannot: readonly Cannot[];
  /** What there is to choose, where the program could be looked at on some mesh. */
  readonly found?: Found;
  readonly tried: number;
  /** Whether the time was up before all was tried. */
  readonly cut: boolean;
};

const MESHES = 3;
const OTHER_MESHES = 6;

export async function search(q: Question, effort: Effort): Promise<Plan> {
  const began = performance.now();
  // The rest of the time is for holding the best to the program as it is written.
  const late = (): boolean => performance.now() - began > 0.7 * effort.limit;
  const outcomes = new Map<string, Outcome>();
  let expected = 0;
  let cut = false;

  /** Tries candidates, each once; gives those that run and fit. */
  const attempt = async (all: readonly Candidate[]): Promise<readonly Runs[]> => {
    expected = outcomes.size + all.filter((c) => !outcomes.has(keyOf(c))).length;
    for (const c of all) {
      if (outcomes.has(keyOf(c))) continue;
      if (late()) {
        cut = true;
        break;
      }
      await effort.progress(outcomes.size, expected);
      outcomes.set(keyOf(c), evaluate(q, c));
    }
    return ranked(all.flatMap((c) => fitting(q, outcomes.get(keyOf(c)))));
  };

  const { signature } = entrySignature(q.path, q.read, { entry: q.entry, meshSizes: q.mesh });
  if (!signature) return { best: [], ran: [], cannot: [], tried: 0, cut: false };
  const { splits = {}, layouts = {}, exchanges = {}, policy } = q.fixed;
  const written = (mesh: Candidate["mesh"]): Candidate => ({
    mesh,
    splits,
    layouts,
    exchanges,
    ...(policy && { policy }),
  });

  const probe = firstOf(meshes(q, signature), (mesh) => {
    const { program, found } = elaborated(q, written(mesh));
    return program && found && { used: usedAxes(program), found };
  });
  const everyMesh = meshes(q, signature, probe?.used);
  // 1. Where nothing fits as it is written, other functions or layouts may do.
  const first = await attempt(everyMesh.map(written));
  const order = [
    ...first.map((o) => o.candidate.mesh),
    ...everyMesh.filter(
      (m) => outcomes.get(keyOf(written(m)))?.kind === "runs" && !first.some((o) => o.candidate.mesh === m),
    ),
  ];
  if (probe) {
    const { found } = probe;
    const ways = (mesh: Candidate["mesh"], base: Candidate): readonly Candidate[] =>
      waysToCall(q, found, mesh).map((way: Ways) => ({ ...base, ...way, mesh }));
    // 2.
    const onBest: Runs[] = [];
    for (const mesh of order.slice(0, MESHES)) {
      const allLayouts = layoutsOf(q, signature, found, mesh);
      const [lie] = await attempt(allLayouts.map((layouts) => ({ ...written(mesh), layouts })));
      const called = await attempt(ways(mesh, { ...written(mesh), ...(lie && { layouts: lie.candidate.layouts }) }));
      const both = called
        .slice(0, 2)
        .flatMap(({ candidate }) => allLayouts.map((layouts): Candidate => ({ ...candidate, layouts })));
      onBest.push(...called, ...(await attempt(both)));
    }
    // 3.
    const policies = policiesOf(q, found);
    const top = ranked(onBest).slice(0, 2);
    const recomputed = await attempt(
      top.flatMap(({ candidate }) => policies.map((p): Candidate => (p ? { ...candidate, policy: p } : candidate))),
    );
    // 4.
    const [winner] = ranked([...onBest, ...recomputed]);
    if (winner)
      for (const mesh of order.slice(MESHES, MESHES + OTHER_MESHES)) {
        const same = ways(mesh, winner.candidate).filter(
          (c) => JSON.stringify(c.exchanges) === JSON.stringify(winner.candidate.exchanges),
        );
        await attempt(same);
      }
  }
  const until = began + effort.limit;
  return {
    ...settled(q, written, outcomes, effort.told, until),
    ...(probe && { found: probe.found }),
    tried: outcomes.size,
    cut,
  };
}

/** What `f` gives for the first of `all` for which it gives something. */
function firstOf<A, B>(all: readonly A[], f: (a: A) => B | undefined): B | undefined {
  for (const a of all) {
    const b = f(a);
    if (b !== undefined) return b;
  }
  return undefined;
}

const fits = (q: Question, o: Runs): boolean => o.bytes <= q.memory;
const fitting = (q: Question, o: Outcome | undefined): readonly Runs[] => (o?.kind === "runs" && fits(q, o) ? [o] : []);

/** Ranks outcomes. Those that are told are held to the program as it is written: what gives something else cannot be used. */
function settled(
  q: Question,
  written: (mesh: Candidate["mesh"]) => Candidate,
  outcomes: ReadonlyMap<string, Outcome>,
  told: number,
  until: number,
): Pick<Plan, "best" | "ran" | "cannot"> {
  const all = [...outcomes.values()];
  const cannot = all.flatMap((o): Cannot[] => {
    if (o.kind === "cannot") return [o];
    if (fits(q, o)) return [];
    return [
      { kind: "cannot", candidate: o.candidate, why: `does not fit: needs ${bytes(o.bytes)} of ${bytes(q.memory)}` },
    ];
  });
  const verdicts = new Map<string, ReturnType<typeof sameResults>>();
  const verdictOf = ({ candidate: c }: Runs) => {
    const plain = Object.keys({ ...c.splits, ...c.layouts, ...c.exchanges }).length === 0;
    if (plain) return "same";
    const key = keyOf({ ...c, mesh: {}, splits: Object.fromEntries(Object.keys(c.splits).map((axis) => [axis, []])) });
    const known =
      verdicts.get(key) ?? sameResults(q, written(c.mesh), c, Math.max(until, performance.now() + LEAST_MS));
    verdicts.set(key, known);
    return known;
  };
  const best: Runs[] = [];
  const ran = ranked(all.flatMap((x) => fitting(q, x)));
  for (const o of ran) {
    if (best.length >= told) break;
    const verdict = verdictOf(o);
    if (verdict === "same") best.push(o);
    else
      cannot.push({
        kind: "cannot",
        candidate: o.candidate,
        why:
          verdict === "different"
            ? "it gives something else at small sizes"
            : "it could not be held to the program as it is written: no small sizes fit, or they took too long",
      });
  }
  const wrong = new Set(cannot.map((o) => o.candidate));
  return { best, ran: ran.filter((o) => !wrong.has(o.candidate)), cannot };
}
/** For two programs on the interpreter. */
const LEAST_MS = 3000;
