/** Which contenders can take part here, and what to say of those that cannot. */
import type { Contender } from "./contender.ts";
import { pythonWithNumpy } from "./numpy.ts";
import { peerVersion } from "./peer.ts";

const PYTHON = "python3 with numpy";

const found = new Map<string, boolean>();

function isThere(what: string): boolean {
  const known =
    found.get(what) ?? (what === PYTHON ? pythonWithNumpy() !== undefined : peerVersion(what) !== undefined);
  found.set(what, known);
  return known;
}

export const available = (all: readonly Contender[]): readonly Contender[] =>
  all.filter(({ needs }) => needs === undefined || isThere(needs));

/** What is missing and how it is installed; `undefined` where nothing is. */
export function missing(all: readonly Contender[]): string | undefined {
  const names = [...new Set(all.flatMap(({ needs }) => (needs === undefined || isThere(needs) ? [] : [needs])))];
  if (names.length === 0) return undefined;
  const packages = names.filter((name) => name !== PYTHON);
  return [
    ...(packages.length === 0 ? [] : [`not measured: ${packages.join(", ")}; \`npm run bench:install\` installs them`]),
    ...(names.includes(PYTHON) ? ["not measured: numpy; install it for the python3 on the path"] : []),
  ].join("\n");
}

/** The versions of the peers that take part, in words. */
export const versions = (all: readonly Contender[]): string =>
  [...new Set(available(all).flatMap(({ needs }) => (needs === undefined || needs === PYTHON ? [] : [needs])))]
    .map((name) => `${name} ${peerVersion(name)}`)
    .join(", ");
