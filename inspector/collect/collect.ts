/** Everything that the compiler made of a program, and what a run of it took → the data of the page. */
import type { Source } from "../../compiler/base/source.ts";
import type { Compiled } from "../../compiler/compile.ts";
import type { Machine } from "../../compiler/schedule/machine.ts";
import type { Schedule, Step } from "../../compiler/schedule/schedule.ts";
import type { DeviceProgram, HostStep } from "../../compiler/tile/ir.ts";
import type { Measured, PageData, Place } from "../data.ts";
import { coreListing, tileListing } from "./listings.ts";
import { masksOf } from "./masks.ts";
import { collectPlaces, type Places } from "./places.ts";

/** `source`: the program's own file; `machines`: those on which it may be predicted. No I/O. */
export function collect(source: Source, c: Compiled, machines: readonly Machine[], measured?: Measured): PageData {
  const places = collectPlaces(source);
  const core = coreListing("Core", c.written, places);
  const grad = coreListing("Core, derivatives worked out", c.program, places);
  const device = coreListing("Core of one device", c.device, places);
  const kernels = c.tile.kernels.map((k, i) => ({
    place: places.of(k.span),
    tile: tileListing(k, places),
    wgsl: c.kernels[i]!.text.trimEnd(),
  }));
  return {
    version: 1,
    file: source.path,
    schedule: c.schedule,
    stages: grad.text === core.text ? [core, device] : [core, grad, device],
    kernels,
    transfers: transferPlaces(c.tile, c.schedule, places),
    masks: c.tile.kernels.flatMap((k, i) => masksOf(k, i, c.mappingOf(i))),
    sources: places.sources,
    machines,
    ...(measured ? { measured } : {}),
    passes: c.times,
  };
}

/** What arrives is called alike in both: the name of the permute's result. */
function transferPlaces(tile: DeviceProgram, s: Schedule, places: Places): PageData["transfers"] {
  const byName = new Map<string, Place>();
  const see = (steps: readonly HostStep[]): void => {
    for (const step of steps) {
      if (step.kind === "loop") see(step.body);
      const place = step.kind === "permute" ? places.of(step.span) : null;
      if (step.kind === "permute" && place) byName.set(tile.arrays[step.output]!.name, place);
    }
  };
  see(tile.steps);
  const found: { [token: number]: Place } = {};
  const look = (steps: readonly Step[]): void => {
    for (const step of steps) {
      if (step.kind === "loop") look(step.body);
      if (step.kind !== "receive") continue;
      const place = byName.get(s.values[step.value]!.name);
      if (place) found[step.token] = place;
    }
  };
  look(s.steps);
  return found;
}
