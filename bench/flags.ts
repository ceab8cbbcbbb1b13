/** The flags of `npm run bench`; a sentence where they are wrong. */
import { parseArgs } from "node:util";
import type { Clock } from "./race.ts";

export type Flags = {
  /** Names, or how they begin; none for all. */
  readonly only: readonly string[];
  readonly contender: readonly string[];
  readonly quick: boolean;
  readonly json: boolean;
  readonly list: boolean;
  readonly clock: Clock;
  /** The file of outcomes that a run goes on from. */
  readonly resume: string | undefined;
};

type Names = Readonly<Record<"only" | "contender", readonly string[]>>;

/** `--only` and `--contender` take any number of words. */
export function flagsOf(argv: readonly string[], names: Names): Flags | string {
  let taking: keyof Names | undefined;
  const words = argv.flatMap((word) => {
    if (word.startsWith("--"))
      taking = word === "--only" || word === "--contender" ? (word.slice(2) as keyof Names) : undefined;
    else if (taking !== undefined) return [`--${taking}=${word}`];
    return word === "--only" || word === "--contender" ? [] : [word];
  });
  try {
    const { values } = parseArgs({
      args: words,
      options: {
        only: { type: "string", multiple: true },
        contender: { type: "string", multiple: true },
        quick: { type: "boolean" },
        json: { type: "boolean" },
        list: { type: "boolean" },
        clock: { type: "string", default: "wall" },
        resume: { type: "string" },
      },
    });
    const { only = [], contender = [], quick = false, json = false, list = false, clock, resume } = values;
    if (clock !== "wall" && clock !== "processor") return `--clock is wall or processor, not ${clock}`;
    for (const [flag, given] of Object.entries({ only, contender }))
      for (const start of given)
        if (!names[flag as keyof Names].some((name) => name.startsWith(start)))
          return `--${flag}: nothing is called ${start}; see --list`;
    return { only, contender, quick, json, list, clock, resume };
  } catch (error) {
    return (error as Error).message;
  }
}
