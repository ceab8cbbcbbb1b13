#!/usr/bin/env node
/** The `gyre` command: hands the command line to `main` and leaves with its exit code. */
import { runGuarded, tellParent } from "./guard.ts";

// A reader that has seen enough (`gyre inspect … | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 3));

const guarded = await runGuarded(process.env);
if (guarded !== undefined) process.exit(guarded);
const [{ main }, { terminal }] = await Promise.all([import("./main.ts"), import("./io.ts")]);
const code = await main(process.argv.slice(2), terminal());
// Devices may keep the process alive; what is written is written first.
process.stdout.write("", () =>
  process.stderr.write("", async () => {
    await tellParent({ kind: "ends", code });
    process.exit(code);
  }),
);
