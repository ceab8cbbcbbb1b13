import fc from "fast-check";
import { expect, test } from "vitest";
import { parse } from "../../compiler/syntax/parse.ts";
import { print } from "../../compiler/syntax/print.ts";
import { bare, read } from "./helpers.ts";
import { programs } from "./programs.ts";

const texts = Object.values(programs);
const pieces = [
  ..."(){}[]<>|=,;:.@-+*/!\n\"' #",
  "let ",
  "fn ",
  "fold ",
  "tiles ",
  " in ",
  " with ",
  "=>",
  "..",
  "export ",
];

type Change = { readonly at: number; readonly cut: number; readonly put: string };
const changes = fc.array(
  fc.record({
    at: fc.nat(4000),
    cut: fc.nat(8),
    put: fc.oneof(fc.constantFrom(...pieces, ""), fc.string({ maxLength: 4 })),
  }),
  { minLength: 1, maxLength: 6 },
);
const change = (text: string, { at, cut, put }: Change): string => {
  const place = at % (text.length + 1);
  return text.slice(0, place) + put + text.slice(place + cut);
};

const broken = fc.tuple(fc.constantFrom(...texts), changes).map(([text, cs]) => cs.reduce(change, text));

test("no text makes the parser throw; without diagnostics there is no error node", () => {
  fc.assert(
    fc.property(fc.oneof({ weight: 6, arbitrary: broken }, { weight: 1, arbitrary: fc.string() }), (text) => {
      const { module, diagnostics } = parse({ path: "fuzz.gyre", text });
      const errors = JSON.stringify(bare(module)).match(/"kind":"error(Type|Pattern)?"/);
      expect(diagnostics.length > 0 || errors === null).toBe(true);
      for (const { span } of diagnostics) {
        expect(span.start).toBeGreaterThanOrEqual(0);
        expect(span.end).toBeGreaterThanOrEqual(span.start);
        expect(span.end).toBeLessThanOrEqual(text.length);
      }
      if (diagnostics.length > 0) return;
      const printed = print(module);
      expect(bare(read(printed).items)).toEqual(bare(module.items));
      expect(print(read(printed))).toBe(printed);
    }),
    { numRuns: 500 },
  );
});

const commented = fc
  .tuple(fc.constantFrom(...texts), fc.array(fc.tuple(fc.nat(4000), fc.boolean()), { minLength: 1, maxLength: 5 }))
  .map(([text, places]) => {
    const lines = text.split("\n");
    for (const [n, [at, own]] of places.entries()) {
      const line = lines[at % lines.length]!;
      if (own) lines.splice(at % lines.length, 0, `// own ${n}`);
      else if (!line.includes("//")) lines[at % lines.length] = `${line} // end ${n}`;
    }
    return lines.join("\n");
  });

/** Comments after brackets, commas and operators, where a new line changes nothing. */
const commentedWithin = fc
  .tuple(fc.constantFrom(...texts), fc.array(fc.nat(9999), { minLength: 1, maxLength: 4 }))
  .map(([text, places]) =>
    places.reduce((t, place, n) => {
      const after = [...t.matchAll(/[,({[=+*] (?!\/\/)|[({[]|\n/g)].map((m) => m.index + m[0].length);
      const free = after.filter((i) => !/\/\/[^\n]*$/.test(t.slice(0, i)) && t.slice(0, i).split('"').length % 2 === 1);
      const at = free[place % free.length]!;
      return `${t.slice(0, at)}// within ${n}\n${t.slice(at)}`;
    }, text),
  )
  .filter((text) => parse({ path: "comments.gyre", text }).diagnostics.length === 0);

test("the formatter keeps every comment", () => {
  fc.assert(
    fc.property(fc.oneof(commented, commentedWithin), (text) => {
      const module = read(text);
      const printed = print(module);
      const again = read(printed);
      const all = (t: string) =>
        t
          .match(/\/\/.*/g)
          ?.map((c) => c.trimEnd())
          .sort();
      expect(all(printed)).toEqual(all(text));
      expect(bare(again.items)).toEqual(bare(module.items));
      expect(print(again)).toBe(printed);
    }),
    { numRuns: 250 },
  );
});

test("nesting without end is told, not crashed on", () => {
  const deep = [
    `const X = ${"(".repeat(50_000)}`,
    `const X = ${"f(".repeat(500)}x${")".repeat(500)}`,
    `fn f() ${"{ ".repeat(300)} 1 ${"} ".repeat(300)}`,
    `const X = ${"|x| ".repeat(20_000)} x`,
    `const X = ${"if ".repeat(20_000)}`,
    `const X = ${"fold i in ".repeat(20_000)}`,
    `const X = 1${" + 1".repeat(20_000)}`,
    `const X = x${".T".repeat(20_000)}`,
    `const X = ${"-".repeat(20_000)}x`,
    `const X = if a { 1 } ${"else if b { 2 } ".repeat(5_000)} else { 3 }`,
    `type T = ${"(".repeat(200)}f32${")".repeat(200)}`,
    `type T = ${"() -> ".repeat(5_000)} f32`,
  ];
  for (const text of deep) expect(parse({ path: "deep.gyre", text }).diagnostics.length).toBeGreaterThan(0);
});

test("what a person may nest is read", () => {
  read(`const X = ${"(".repeat(100)}x${")".repeat(100)}`);
  read(`const X = 1${" + 1".repeat(300)}`);
});
