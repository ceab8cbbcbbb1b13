/** Ends `npm run test:cuda` with a table: for each file of tests what passed, failed and was skipped, and how long it took. */
import { relative } from "node:path";
import type { Reporter, TestModule } from "vitest/node";

const columns = ["tests", "passed", "failed", "skipped", "seconds"];

export default class Table implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = modules.map((module) => {
      const states = [...module.children.allTests()].map((test) => test.result().state);
      const count = (state: string): number => states.filter((s) => s === state).length;
      // A file that does not load fails without a test of its own.
      const failed = count("failed") || Number(module.state() === "failed");
      const seconds = module.diagnostic().duration / 1000;
      return [relative(process.cwd(), module.moduleId), count("passed"), failed, count("skipped"), seconds] as const;
    });
    rows.sort(([a], [b]) => a.localeCompare(b));
    const total = ([1, 2, 3, 4] as const).map((k) => rows.reduce((sum, row) => sum + row[k], 0));
    const text = [...rows, ["all", ...total] as const].map((row) =>
      row.map((x) => (typeof x === "number" ? Math.round(x) : x)),
    );
    const lines = [columns, ["---", "---:", "---:", "---:", "---:"], ...text].map((row) => `| ${row.join(" | ")} |`);
    // After the default reporter's summary, which is written in the same turn.
    setImmediate(() => process.stdout.write(`\n${lines.join("\n")}\n`));
  }
}
