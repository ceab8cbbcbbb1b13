/** What passes that choose by cost have at hand, and the choices that they have made so far. */
import type { Machine } from "../../base/machine.ts";
import type { Ids } from "../build.ts";
import type { Choice } from "../cost.ts";
import type { Mesh } from "../ir.ts";

export type State = {
  readonly machine: Machine;
  readonly mesh: Mesh;
  readonly ids: Ids;
  readonly choices: Choice[];
};
