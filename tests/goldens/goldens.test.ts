/**
 * What the compiler makes of small programs, stage by stage. Each `NAME.gyre` has a `NAME.expect.md`, written by
 * `npm run accept`; the diff of the latter is what a change does.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readSource } from "../../cli/sources.ts";
import { type Compiled, compile } from "../../compiler/compile.ts";
import { print as printCore } from "../../compiler/core/print.ts";
import { printSchedule } from "../../compiler/schedule/print.ts";
import { print as printTile } from "../../compiler/tile/print.ts";

const folder = new URL(".", import.meta.url);
const names = readdirSync(folder).flatMap((f) => (f.endsWith(".gyre") ? [f.slice(0, -".gyre".length)] : []));

/** The first line of a program says what it shows; one that begins with `// dims:` the sizes it is compiled for. */
function dimsOf(text: string): Record<string, number> {
  const line = /^\/\/ dims: (.*)$/m.exec(text)?.[1] ?? "";
  return Object.fromEntries([...line.matchAll(/(\w+)=(\d+)/g)].map(([, name, n]) => [name, Number(n)]));
}
function sections({ program, device, tile, kernels, schedule }: Compiled): readonly [string, string, string][] {
  return [
    ["Core", "", printCore(program)],
    ["Core of one device", "", printCore(device)],
    ["Tile", "", printTile(tile)],
    ...kernels.map((k): [string, string, string] => [`WGSL of ${k.name}`, "wgsl", k.text]),
    ["Schedule", "", printSchedule(schedule)],
  ];
}

for (const name of names)
  test(name, async () => {
    const path = `${name}.gyre`;
    const text = readFileSync(new URL(path, folder), "utf8");
    const { compiled, diagnostics } = compile(path, (p) => (p === path ? text : readSource(p)), { dims: dimsOf(text) });
    expect(diagnostics).toEqual([]);
    const page = [["Source", "gyre", text] as const, ...sections(compiled!)]
      .map(([title, language, body]) => `## ${title}\n\n\`\`\`${language}\n${body.trimEnd()}\n\`\`\`\n`)
      .join("\n");
    await expect(`# ${name}\n\n${page}`).toMatchFileSnapshot(`${name}.expect.md`);
  });
