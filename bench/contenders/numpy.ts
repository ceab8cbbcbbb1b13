/** numpy, in a Python of its own that this one asks line by line; the clock is Python's. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Spent } from "../protocol.ts";
import { type Arrays, WINDOW } from "../workloads/workload.ts";
import type { Prepare } from "./contender.ts";

/** A Python that has numpy: the one on the path, or the system's. */
export const pythonWithNumpy = (): string | undefined =>
  ["python3", "/usr/bin/python3"].find((python) => spawnSync(python, ["-c", "import numpy"]).status === 0);

export const prepare: Prepare = async ({ problem, inputs: specs }, inputs) => {
  const python = pythonWithNumpy();
  if (python === undefined) throw new Error("no python3 with numpy");
  const folder = mkdtempSync(join(tmpdir(), "bench-numpy-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const [name, data] of Object.entries(inputs)) writeFileSync(join(folder, `${name}.f32`), data);

  const script = fileURLToPath(new URL("dense.py", import.meta.url));
  const child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
  process.on("exit", () => child.kill("SIGKILL"));
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<unknown> => {
    child.stdin.write(`${line}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error("Python ended");
    return JSON.parse(value);
  };

  const shapes = Object.fromEntries(specs.map(({ name, shape }) => [name, shape]));
  const offered = await ask(JSON.stringify({ problem, folder, window: WINDOW, shapes }));
  if (!offered) return undefined;
  return {
    run: async () => (await ask("run")) as Spent,
    results: async (): Promise<Arrays> =>
      Object.fromEntries(
        ((await ask("write")) as string[]).map((name) => {
          const bytes = readFileSync(join(folder, `${name}.f32`));
          return [name, new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
        }),
      ),
  };
};
