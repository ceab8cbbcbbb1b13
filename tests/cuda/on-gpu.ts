/**
 * `npm run test:cuda`: one rank of NCCL, golden cases, the standard library, the test programs and the examples on this machine's GPUs.
 * Where there is none, says why and passes.
 */
import { spawnSync } from "node:child_process";
import { GyreRuntimeError } from "../../runtime/errors.ts";
import { listDevices } from "../../runtime/open.ts";
import { loadNccl } from "../../runtime/transport/nccl/library.ts";
import { oneRank } from "./one-rank.ts";

const more = process.argv.slice(2).filter((a) => a !== "--stand-in");
if (more.length < process.argv.length - 2) run(["tests/cuda/team.test.ts"], { GYRE_WIDE: "1" });

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
const suites = ["tests/golden", "tests/stdlib", "tests/programs", "tests/examples.test.ts"];
// One process: the GPU would be shared anyway, and compiled kernels are.
run(suites, { GYRE_TEST_DEVICE: "cuda", VITEST_MAX_WORKERS: "1" });

function run(tests: readonly string[], environment: Readonly<Record<string, string>>): never {
  const args = ["vitest", "run", ...tests, ...more];
  const { status } = spawnSync("npx", args, { stdio: "inherit", env: { ...process.env, ...environment } });
  process.exit(status ?? 1);
}
