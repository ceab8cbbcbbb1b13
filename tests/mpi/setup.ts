/** Says what is missing before anything is tried; installs nothing. */
import { existsSync } from "node:fs";
import { gyre, has, launchers } from "./launch.ts";

export default function setup(): void {
  const missing = launchers.filter((name) => !has(name));
  if (missing.length > 0)
    throw new Error(
      `there is no ${missing.join(" and no ")}: on Debian, apt-get install openmpi-bin libopenmpi3 mpich libmpich12`,
    );
  if (!existsSync(gyre)) throw new Error("dist/gyre.js is missing: `npm run build` makes it");
}
