/** collect/ reads the compiler, model/ reads data only, page/ alone knows the browser. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const importsOf = (folder: string): readonly string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) =>
      [...readFileSync(join(root, folder, name), "utf8").matchAll(/from "([^"]+)"/g)].map((m) =>
        m[1]!.startsWith(".") ? relative(root, resolve(root, folder, dirname(m[1]!), m[1]!.split("/").at(-1)!)) : m[1]!,
      ),
    );

test.each([
  ["inspector/collect", /^(inspector\/(collect|data\.ts)|compiler\/|runtime\/trace\.ts)/],
  ["inspector/model", /^(inspector\/(model|data\.ts)|compiler\/schedule\/(schedule|machine|durations|simulate)\.ts)/],
  ["inspector/page", /^(inspector\/(page|model|data\.ts)|compiler\/schedule\/schedule\.ts)/],
])("%s imports only what it may", (folder, may) => {
  expect(importsOf(folder).filter((path) => !may.test(path))).toEqual([]);
});
