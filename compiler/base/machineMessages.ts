/** What is said of machine files (schedule/machine.ts). Rows of the table in messages.ts. */
import { listed, q, type Row, say } from "./say.ts";

export const machineMessages = {
  // --- GY81xx: machine files ---------------------------------------------------------------------------------------
  GY8101: say(
    (a: { reason: string }) => `this machine file is not JSON: ${a.reason}`,
    "copy one of those in the folder machines/ of the package, and change its numbers",
  ),
  GY8102: say(
    (a: { field: string; is: string }) => `the machine has no ${q(a.field)}`,
    (a) => `add it: ${a.is}`,
  ),
  GY8103: say(
    (a: { field: string; is: string; found: string }) => `${q(a.field)} is ${a.found}`,
    (a) => `it should be ${a.is}`,
  ),
  GY8104: say(
    (a: { field: string; near: string | undefined; fields: readonly string[] }) =>
      `a machine has nothing called ${q(a.field)}`,
    (a) => (a.near ? `did you mean ${q(a.near)}?` : `here may stand ${listed(a.fields.map(q))}`),
  ),
} as const satisfies Record<string, Row<never>>;
