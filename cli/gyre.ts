#!/usr/bin/env node
/** The `gyre` command: hands the command line to `main` and leaves with its exit code. */
import { terminal } from "./io.ts";
import { main } from "./main.ts";

// A reader that has seen enough (`gyre inspect … | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 3));

const code = await main(process.argv.slice(2), terminal());
// Devices may keep the process alive; what is written is written first.
process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
