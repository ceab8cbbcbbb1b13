/** What the documents say is so: links lead somewhere, scripts exist, programs are right, commands run. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { pages as made, made as make } from "../docs/generate.ts";
import { file, folder, gyre } from "./cli/gyre.ts";
import { typeErrors } from "./cli/typecheck.ts";

const root = resolve(import.meta.dirname, "..");
const pages = ["README.md", "ARCHITECTURE.md", "bench/RESULTS.md", ...listed("docs/guide", ".md")].filter((p) =>
  existsSync(join(root, p)),
);
const text = (path: string): string => readFileSync(join(root, path), "utf8");

function listed(path: string, ending: string): readonly string[] {
  return readdirSync(join(root, path))
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => `${path}/${name}`);
}

/** Code blocks of a language. */
const blocks = (page: string, language: string): readonly string[] =>
  [...text(page).matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map((m) => m[1]!);

describe.each(pages)("%s", (page) => {
  test("links lead somewhere", () => {
    const links = [...text(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((m) => m[1]!)
      .filter((link) => !/^https?:/.test(link));
    const broken = links.filter((link) => {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !headings(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test("npm scripts exist", () => {
    const { scripts } = JSON.parse(text("package.json")) as { scripts: Record<string, string> };
    const named = [...text(page).matchAll(/npm (?:run )?([a-z:]+)/g)]
      .map((m) => m[1]!)
      .filter((s) => s !== "ci" && s !== "run");
    expect(named.filter((script) => !(script in scripts))).toEqual([]);
  });

  test("whole programs have no errors", async () => {
    for (const program of blocks(page, "gyre").filter(
      (b) => /^(import|mesh|export shard_map)/m.test(b) && b.includes("shard_map"),
    )) {
      expect(await gyre("check", file(program))).toMatchObject({ code: 0 });
    }
  });

  test("TypeScript is right", () => {
    for (const code of blocks(page, "ts")) expect(typeErrors("export {};", code)).toEqual([]);
  });

  test("commands run", async () => {
    for (const command of commandsIn(page)) {
      const argv = command
        .split(/\s+/)
        .map((word) => (/^(results|out|dist|build)$/.test(word) ? join(folder(), word) : word));
      const { code, err } = await gyre(...argv.map((word) => (word.startsWith("examples/") ? join(root, word) : word)));
      expect({ command, code, err: code === 0 ? "" : err }).toEqual({ command, code: 0, err: "" });
    }
  });
});

/** `gyre …` lines of code blocks that work on the examples; those that need files, a GPU or a toolkit of the reader's are left out. */
function commandsIn(page: string): readonly string[] {
  const shell = [...blocks(page, "sh"), ...blocks(page, "")].join("\n");
  return [...shell.matchAll(/^(?:\$ )?(?:npx )?gyre (.*)$/gm)]
    .map((m) => m[1]!.replace(/\s+[#|].*$/, "").trim())
    .filter((c) => c.includes("examples/") && !/--in|--repeat|--backend cuda|--compile|S=2048|\*/.test(c));
}

const headings = (page: string): readonly string[] =>
  [...text(page).matchAll(/^#+ (.*)$/gm)].map((m) =>
    m[1]!
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .trim()
      .replace(/\s/g, "-"),
  );

test.each(made)("%s is up to date; `npm run docs` makes it", async (page) => {
  expect(text(page)).toBe(await make(page));
});
