/** The command as a user starts it: whole processes, from dist/. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { median, timed } from "../machine.ts";
import { type Cost, ms } from "./cost.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

function node(...args: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", timeout: 120_000 });
  if (status !== 0) throw new Error(`node ${args.join(" ")}: ${stderr}`);
}

export const checkProcess: Cost = async (samples) => {
  const run = () => node("dist/gyre.js", "check", "stdlib/attention.gyre");
  run();
  const spent = median(await timed(samples, 1, run));
  const bare = median(await timed(samples, 1, () => node("-e", "0")));
  const lines = readFileSync(`${root}stdlib/attention.gyre`, "utf8").split("\n").length - 1;
  const what = `\`gyre check\`, ${lines} lines, whole process (Node alone: ${ms(bare)})`;
  return [{ what, value: ms(spent), wanted: "< 500 ms" }];
};

/** Start to printed result of the example. */
export const demo: Cost = async (samples) => {
  const args = ["run", "examples/05-ring-attention.gyre", "--mesh", "sp=8", "--dims", "B=1,S=2048,H=8,D=64"];
  const spent = median(await timed(Math.min(samples, 3), 0, () => node("dist/gyre.js", ...args)));
  const what = "`gyre run` ring attention, sp=8, B=1 S=2048 H=8 D=64: start to printed result";
  return [{ what, value: ms(spent), wanted: "seconds" }];
};
