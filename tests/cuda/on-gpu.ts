/**
 * `npm run test:cuda`: one rank of NCCL, golden cases, the standard library, the test programs and the examples on this machine's
 * GPUs. Where there is none, says why and passes. `-- --stand-in`: the same on a CPU, as CUDA C++ on the stand-in, and the
 * kernels of wide.ts. Files and folders that are named are run instead; what else is said goes to vitest: `-t NAME`.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { GyreRuntimeError } from "../../runtime/errors.ts";
import { listDevices } from "../../runtime/open.ts";
import { loadNccl } from "../../runtime/transport/nccl/library.ts";
import { oneRank } from "./one-rank.ts";

const suites = ["tests/golden/", "tests/stdlib", "tests/programs", "tests/examples.test.ts"];
const more = process.argv.slice(2).filter((a) => a !== "--stand-in");

if (process.argv.includes("--stand-in")) {
  const { standIn } = await import("./stand-in.ts");
  if ("why" in standIn) {
    console.log(`skipped: ${standIn.why}`);
    process.exit(0);
  }
  run(["tests/cuda", ...suites], { GYRE_TEST_DEVICE: "stand-in", GYRE_WIDE: "1" });
}

const { devices, why } = (await listDevices()).find((b) => b.backend === "cuda")!;
if (devices.length === 0) {
  console.log(`skipped: ${why.join("; ")}`);
  process.exit(0);
}
console.log(`on ${devices.map((d) => d.name).join(", ")}`);

// NCCL, as one rank: it loads, makes a communicator, and does its collectives on the GPU.
try {
  const { name } = await loadNccl();
  await oneRank();
  console.log(`${name}: one rank ran every operation on the GPU`);
} catch (error) {
  if (!(error instanceof GyreRuntimeError) || error.kind !== "unsupported") throw error;
  console.log(`skipped NCCL: ${error.message}`);
}
// One process: the GPU would be shared anyway, and compiled kernels are.
run(suites, { GYRE_TEST_DEVICE: "cuda", VITEST_MAX_WORKERS: "1" });

function run(tests: readonly string[], environment: Readonly<Record<string, string>>): never {
  const asked = more.some((a) => existsSync(a)) ? [] : tests;
  const reporters = ["--reporter=default", "--reporter=./tests/cuda/table.ts"];
  // On a busy machine a test may take as long as its limit says, and is right all the same.
  const args = ["vitest", "run", ...asked, ...more, ...reporters, "--testTimeout=600000"];
  const { status } = spawnSync("npx", args, { stdio: "inherit", env: { ...process.env, ...environment } });
  process.exit(status ?? 1);
}
