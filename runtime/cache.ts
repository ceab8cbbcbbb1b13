/** Where Gyre keeps what it can make again: the unpacked software adapter, and what `gyre tune` found. */
import { homedir } from "node:os";
import { join } from "node:path";

/** `~/.cache/gyre` by the platform's custom; `GYRE_CACHE` overrides it. */
export function cacheRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const { GYRE_CACHE, XDG_CACHE_HOME } = env;
  if (GYRE_CACHE) return GYRE_CACHE;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, "gyre");
  return join(homedir(), ".cache", "gyre");
}
