/** What is said of machine files (schedule/machine.ts), and of limits. Rows of the table in messages.ts. */
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

  // --- GY82xx: limits ----------------------------------------------------------------------------------------------
  GY8201: say(
    (a: {
      entry: string;
      needs: string;
      limit: string;
      parts: readonly string[];
      more: number;
      fits: readonly { readonly flags: string; readonly bytes: string }[];
    }) =>
      `${q(a.entry)} takes ${a.needs} on each device, and the limit is ${a.limit}; most of it: ${a.parts.join(", ")}${a.more > 0 ? `, and ${a.more} smaller` : ""}`,
    (a) =>
      a.fits.length > 0
        ? `it fits with ${listed(
            a.fits.map((f) => `${q(f.flags)} (${f.bytes})`),
            "or",
          )}`
        : "no policy of checkpoints and no larger mesh that was tried makes it fit; `gyre plan --memory` looks further",
  ),
} as const satisfies Record<string, Row<never>>;
