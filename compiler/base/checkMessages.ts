/** What the checker says: names, types, specs, tiles, sizes. Rows of the table in messages.ts. */
import { q, type Row, say } from "./say.ts";

export const checkMessages = {
  GY2001: say(
    (a: { name: string; near?: string }) => `nothing is called ${q(a.name)} here`,
    (a) => a.near && `did you mean ${q(a.near)}?`,
  ),
} as const satisfies Record<string, Row<never>>;
