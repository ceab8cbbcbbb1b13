/** `npm run bench:cuda` as far as it goes without a GPU: on the stand-in's driver, and with no Python. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { casesOf, usual } from "../../bench/cuda/cases.ts";
import { startPeers } from "../../bench/cuda/peers.ts";
import { standIn, standInEnvironment } from "./stand-in.ts";

test("without a Python, that is every answer", async () => {
  const peers = startPeers("/nowhere/python3");
  for (const peer of ["flash", "jax"] as const)
    expect(await peers.ask(peer, casesOf(usual)[0]!, 1)).toEqual({ why: "there is no /nowhere/python3" });
  peers.close();
});

// Compiles two dozen kernels.
test.skipIf("why" in standIn || process.env.GYRE_WIDE !== "1")("a table of all cases, at the smallest sizes", () => {
  const folder = mkdtempSync(join(tmpdir(), "gyre-bench-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const out = join(folder, "results.md");
  const script = new URL("../../bench/cuda/main.ts", import.meta.url).pathname;
  const small = ["--lengths", "16", "--tokens", "16", "--width", "128", "--out", out];
  const env = { ...process.env, ...standInEnvironment({ arch: 90 }) };
  const { status, stdout } = spawnSync(process.execPath, ["--import", "tsx", script, ...small], {
    encoding: "utf8",
    env,
  });
  expect(status).toBe(0);
  expect(stdout).toContain("attention in bf16 on one Stand-in GPU 0");
  const table = readFileSync(out, "utf8");
  expect(table.match(/^\| (forward|gradients), .* \| 0\.0\d+ \|/gm)).toHaveLength(12);
});
