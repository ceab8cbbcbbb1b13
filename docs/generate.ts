/**
 * What in the documents is made from sources, so that it stays true: the errors, from the compiler's table of messages;
 * the standard library, from its doc comments; and in any page, blocks that begin "```text gyre …", from what that command
 * prints. `npm run docs` writes them; a test sees that they are up to date.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";
import { withTables } from "../bench/schedules/page.ts";
import { main } from "../cli/main.ts";
import type * as Ast from "../compiler/syntax/ast.ts";
import { parse } from "../compiler/syntax/parse.ts";

const root = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

const makers: Readonly<Record<string, () => string | Promise<string>>> = {
  "docs/guide/errors.md": errorsPage,
  "docs/guide/stdlib.md": stdlibPage,
  "README.md": () => withOutputs(read("README.md")),
  "docs/guide/schedules.md": () => withOutputs(read("docs/guide/schedules.md")),
  "docs/guide/planning.md": () => withOutputs(read("docs/guide/planning.md")),
  "docs/guide/cluster.md": async () => withTables(read("docs/guide/cluster.md")),
  "docs/guide/simulation.md": async () => withTables(await withOutputs(read("docs/guide/simulation.md"))),
};

/** The pages that are made, or hold parts that are. */
export const pages: readonly string[] = Object.keys(makers);

/** What a page should hold. */
export const made = async (page: string): Promise<string> => makers[page]!();

// --- Output of commands ----------------------------------------------------------------------------------------------

/** The text with each block "```text gyre …" holding what the command prints, or a section of it. */
async function withOutputs(text: string): Promise<string> {
  const blocks = [...text.matchAll(/^```text gyre (.*)\n([\s\S]*?)^```/gm)];
  let result = text;
  for (const [whole, command, old] of blocks) {
    const printed = await output(command!);
    if (rounded(printed) !== rounded(old!))
      result = result.replace(whole, () => `\`\`\`text gyre ${command}\n${printed}\`\`\``);
  }
  return result;
}

/** Devices round differently: floating-point numbers count as equal. */
const rounded = (text: string): string => text.replace(/-?\d+\.\d+(e[-+]?\d+)?|-?\d+e[-+]\d+/g, "#");

async function output(command: string): Promise<string> {
  const [words = "", cut] = command.split("|");
  const argv = words.trim().split(/\s+/);
  let out = "";
  const io = {
    out: (text: string) => {
      out += text;
    },
    err: () => {},
    live: false,
    outColor: false,
    errColor: false,
    columns: 100,
    env: {},
  };
  const code = await main(
    argv.map((word) => (word.startsWith("examples/") ? join(root, word) : word)),
    io,
  );
  if (code !== 0) throw new Error(`gyre ${command} ended with ${code}`);
  const lines = out
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd());
  const [, section] = /^\s*section (\w+)\s*$/.exec(cut ?? "") ?? [];
  if (section === undefined) return `${lines.join("\n")}\n`;
  const from = lines.findIndex((line) => line.startsWith(section));
  const length = lines.slice(from).indexOf("");
  return `${lines.slice(from, length < 0 ? undefined : from + length).join("\n")}\n`;
}

// --- Errors ----------------------------------------------------------------------------------------------------------

const GROUPS: Readonly<Record<string, string>> = {
  GY1: "Syntax",
  GY2: "Names and imports",
  GY3: "Types and shapes",
  GY4: "Specs, meshes, varying axes",
  GY5: "Tiles and folds",
  GY6: "Compile time and dimensions",
  GY7: "Not supported yet",
  GY8: "Input files and values",
  GY9: "Derivatives",
};

type Message = { readonly code: string; readonly text: string; readonly help?: string };

function errorsPage(): string {
  const folder = join(root, "compiler/base");
  const messages = readdirSync(folder)
    .filter((name) => /messages\.ts$/i.test(name))
    .flatMap((name) => messagesIn(readFileSync(join(folder, name), "utf8")))
    .sort((a, b) => (a.code < b.code ? -1 : 1));
  const groups = Object.entries(GROUPS).map(([prefix, title]) => {
    const own = messages.filter((m) => m.code.startsWith(prefix));
    if (own.length === 0) return "";
    const rows = own.map((m) => `| ${m.code} | ${cell(m.text)} | ${cell(m.help ?? "")} |`);
    return [
      `## ${prefix}xxx: ${title}`,
      "",
      "| code | what is said | how to mend it |",
      "| --- | --- | --- |",
      ...rows,
      "",
    ].join("\n");
  });
  return [
    "# Errors",
    "",
    "Made from the compiler's table of messages by `npm run docs`. *‹…›* stands for a piece of your program.",
    "",
    "An error has a code, a place, the line with what is meant underlined, a sentence, notes on other places that matter,",
    "and a remedy where one is known:",
    "",
    "```",
    "ring.gyre:3:14: error[GY2001]: nothing is called `kk` here",
    "  3 | let s = qi @ kk.T",
    "    |              ^^",
    "help: did you mean `k`?",
    "```",
    "",
    "The parser and the checker recover: one run tells every error that does not follow from another. An error of the",
    "machine or of an input has no code; it has a sentence, a remedy, and an exit code ([command line](command-line.md)).",
    "",
    ...groups.filter((g) => g !== ""),
  ].join("\n");
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** Rows `GY1234: say(text, help?)` of a table of messages, read from its source. */
function messagesIn(source: string): readonly Message[] {
  const found: Message[] = [];
  const visit = (node: ts.Node): void => {
    if (
      ts.isPropertyAssignment(node) &&
      /^GY\d{4}$/.test(node.name.getText()) &&
      ts.isCallExpression(node.initializer)
    ) {
      const [text, help] = node.initializer.arguments;
      const helped = help && remedy(sentence(help));
      found.push({ code: node.name.getText(), text: text ? sentence(text) : "", ...(helped ? { help: helped } : {}) });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("messages.ts", source, ts.ScriptTarget.Latest, true));
  return found;
}

/** A sentence with ‹holes›. Of alternatives the first that says something; of remedies (`a ?? b`) all that do. */
function sentence(node: ts.Node): string {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (ts.isTemplateExpression(node)) {
    return node.head.text + node.templateSpans.map((s) => sentence(s.expression) + s.literal.text).join("");
  }
  if (ts.isArrowFunction(node)) return ts.isBlock(node.body) ? returned(node.body) : sentence(node.body);
  if (ts.isParenthesizedExpression(node)) return sentence(node.expression);
  if (ts.isConditionalExpression(node)) return sentence(node.whenTrue) || sentence(node.whenFalse);
  if (ts.isBinaryExpression(node)) {
    const plus = node.operatorToken.kind === ts.SyntaxKind.PlusToken;
    if (node.operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken) {
      const [left, right] = [remedy(sentence(node.left)), sentence(node.right)];
      return left && right ? `${left} or: ${right}` : left || right;
    }
    return plus ? sentence(node.left) + sentence(node.right) : sentence(node.right);
  }
  if (ts.isIdentifier(node)) return node.text === "undefined" ? "" : hole(node.text);
  if (ts.isPropertyAccessExpression(node)) return hole(node.name.text);
  if (ts.isCallExpression(node)) {
    if (node.expression.getText() === "didYouMean") return hole("did you mean");
    const inner = node.arguments[0] ? sentence(node.arguments[0]) : hole("…");
    return node.expression.getText() === "q" ? `\`${inner}\`` : inner.startsWith("‹") ? inner : hole(named(node));
  }
  return hole("…");
}
/** What a remedy says; nothing where it is all hole. */
const remedy = (text: string): string =>
  text.replace("‹did you mean›", "did you mean `‹name›`?").replace(/^‹[^›]*›$/, "");
const hole = (name: string): string => `‹${name.replace(/([A-Z])/g, " $1").toLowerCase()}›`;
const named = (node: ts.Node): string => /a\.(\w+)/.exec(node.getText())?.[1] ?? "…";
function returned(block: ts.Block): string {
  const last = block.statements.filter(ts.isReturnStatement).at(-1);
  return last?.expression ? sentence(last.expression) : "";
}

// --- The standard library --------------------------------------------------------------------------------------------

function stdlibPage(): string {
  const files = readdirSync(join(root, "stdlib"))
    .filter((name) => name.endsWith(".gyre"))
    .sort();
  return [
    "# The standard library",
    "",
    "Made from the sources in [stdlib/](../../stdlib) by `npm run docs`. All of it is Gyre, compiled by the same path as your",
    "own programs, and any of it can be copied and changed.",
    "",
    ...files.flatMap(libraryFile),
  ].join("\n");
}

function libraryFile(name: string): readonly string[] {
  const text = readFileSync(join(root, "stdlib", name), "utf8");
  const { module } = parse({ path: name, text });
  const heading = /^(?:\/\/.*\n)+/.exec(text)?.[0] ?? "";
  const intro = heading
    .split("\n")
    .map((line) => line.replace(/^\/\/ ?/, ""))
    .join("\n")
    .replace(/^gyre\/\w+: /, "")
    .trim();
  return [
    `## gyre/${name.replace(/\.gyre$/, "")}`,
    "",
    ...paragraphs(capital(intro)),
    "",
    ...module.items.flatMap((item) =>
      item.kind !== "import" && "exported" in item && item.exported ? entry(item, text) : [],
    ),
  ];
}

/** Indented lines become code, so that formulas keep their look. */
const paragraphs = (text: string): readonly string[] =>
  text.split("\n").map((line) => (/^\s{2,}/.test(line) ? `    ${line}` : line));
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

type Exported = Exclude<Extract<Ast.Item, { readonly exported: boolean }>, Ast.ImportDecl>;

function entry(item: Exported, text: string): readonly string[] {
  const end = item.kind === "fn" || item.kind === "shard_map" ? item.body.span.start : item.span.end;
  const signature = text
    .slice(item.span.start, end)
    .replace(/^(\/\/\/.*\n)*/, "")
    .replace(/^export /, "")
    .replace(/\s*=?\s*$/, "");
  return [
    `### ${item.name.name}`,
    "",
    "```gyre",
    signature,
    "```",
    "",
    ...(item.doc === undefined ? [] : [item.doc.trim(), ""]),
  ];
}

if (process.argv[1] && resolve(process.argv[1]) === import.meta.filename) {
  for (const page of pages) writeFileSync(join(root, page), await made(page));
  process.exit(0);
}
