/**
 * Tile → Lane for a target: how its kernels are mapped to threads, which work alone or in teams. As is best where nobody said
 * how, as was asked where that is legal, and in all the ways there are.
 */
import { chooseMapping, givenMapping, rankMappings } from "./lane/choose.ts";
import { chooseSimd } from "./lane/chooseSimd.ts";
import type { LaneProgram } from "./lane/ir.ts";
import { lowerKernel } from "./lane/lower.ts";
import type { Mapping, MappingChoice, MapTarget } from "./lane/map.ts";
import { givenSimd, rankSimd } from "./lane/rankSimd.ts";
import { lowerScatter, paysOn, type ScatterTarget } from "./lane/scatter.ts";
import type { TeamTarget } from "./lane/team/target.ts";
import { lowerTeam, variantsFor } from "./lane/team.ts";
import type { CompileOptions } from "./options.ts";
import type { Target } from "./targets.ts";
import type { Kernel } from "./tile/ir.ts";
import { meaningOf } from "./tile/meaning.ts";
import type { Pays } from "./tile/sumHits.ts";

/** For threads that work alone. */
type Mapper = {
  readonly choose: (k: Kernel) => Mapping;
  readonly given: (k: Kernel, choice: MappingChoice | undefined) => Mapping | undefined;
  readonly rank: (k: Kernel) => readonly Mapping[];
};
export type Lowering = Pick<Mapper, "choose" | "given"> & {
  /** Whether it pays to add at places. */
  readonly pays: Pays | undefined;
  /** Whether threads work in teams, where a kernel has a rule for it. */
  readonly inTeams: boolean;
  /** As is best; equal kernels are lowered once. `alone`: the mapping where there is no team for it. */
  readonly best: (k: Kernel, alone: () => Mapping) => LaneProgram;
  readonly mapped: (k: Kernel, mapping: Mapping) => LaneProgram;
  /** All the ways, the best first. */
  readonly ways: (k: Kernel) => readonly Mapping[];
};

export function loweringFor(target: Target, options: CompileOptions): Lowering {
  const { choose, given, rank } = mapperFor(target.mapping, options.subgroups !== false);
  const team = target.team && teamFor(target.team, options);
  const { scatter } = target;
  const known = new Map<string, LaneProgram>();
  return {
    choose,
    given,
    pays: scatter && paysOn(scatter),
    inTeams: team !== undefined,
    best(k, alone) {
      const key = JSON.stringify([k.name, k.buffers.map((b) => b.name), meaningOf(k)]);
      const program = known.get(key) ?? lowered(k, alone, team, undefined, scatter);
      known.set(key, program);
      return program;
    },
    mapped: (k, mapping) => lowered(k, () => mapping, team, mapping.team, scatter),
    ways(k) {
      const alone = rank(k);
      const teams = team ? [...variantsFor(k, team)].map(({ choice }) => ({ ...alone[0]!, team: choice })) : [];
      const single = teams.length > 0 ? alone.map((m) => ({ ...m, team: null })) : alone;
      const first = team && "reason" in lowerTeam(k, team, undefined, () => alone[0]!) ? single.slice(0, 1) : [];
      return [...first, ...teams, ...single.slice(first.length)];
    },
  };
}

function mapperFor(mapping: Target["mapping"], subgroups: boolean): Mapper {
  if ("simd" in mapping) {
    return { choose: (k) => chooseSimd(k, mapping), given: givenSimd, rank: (k) => rankSimd(k, mapping, chooseSimd) };
  }
  const target: MapTarget = { ...mapping, spread: mapping.spread && subgroups };
  return {
    choose: (k) => chooseMapping(k, target),
    given: (k, choice) => givenMapping(k, choice, target),
    rank: (k) => rankMappings(k, target),
  };
}

/** What a target's teams can do on the device at hand; a GPU behind WebGPU says what it has. */
const teamFor = (team: TeamTarget, { subgroups, workgroupMemory }: CompileOptions): TeamTarget =>
  team.pattern === "matrices"
    ? team
    : {
        ...team,
        exchange: typeof subgroups === "number" ? subgroups : subgroups === true ? 4 : 1,
        ...(workgroupMemory !== undefined && { sharedBytes: workgroupMemory }),
      };

/**
 * As sums are added at places, where that is all that the kernel does; for a team of threads (`choice`, or null for none) where the target has them and all of the kernel has a rule; else for each
 * thread alone.
 */
function lowered(
  kernel: Kernel,
  mapping: () => Mapping,
  team: TeamTarget | undefined,
  choice: Mapping["team"],
  scatter: ScatterTarget | undefined,
): LaneProgram {
  const added = scatter && lowerScatter(kernel, scatter);
  if (added) return added;
  const together = team && choice !== null ? lowerTeam(kernel, team, choice, mapping) : undefined;
  if (together && !("reason" in together)) return together;
  const alone = lowerKernel(kernel, mapping());
  return together ? { ...alone, notes: [...alone.notes, `each thread alone: ${together.reason}`] } : alone;
}
