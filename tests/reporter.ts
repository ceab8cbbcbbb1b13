/** Ends `npm test` with one plain line that machines read: `N passed, N failed`. */
import type { Reporter, TestModule } from "vitest/node";

export default class PlainLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    for (const module of modules) {
      const tests = [...module.children.allTests()];
      passed += tests.filter((test) => test.result().state === "passed").length;
      failed += tests.filter((test) => test.result().state === "failed").length;
      // A file that does not load fails without a test of its own.
      if (module.state() === "failed" && tests.every((test) => test.result().state !== "failed")) failed++;
    }
    // After the default reporter's summary, which is written in the same turn.
    setImmediate(() => process.stdout.write(`${passed} passed, ${failed} failed\n`));
  }
}
