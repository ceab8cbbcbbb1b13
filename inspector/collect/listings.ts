/**
 * Printed stages with the place that each line comes from. The printers give text only; which equation a line shows
 * follows from the order in which they print, which is that of the program.
 */
import { invariant } from "../../compiler/base/invariant.ts";
import type { Span } from "../../compiler/base/span.ts";
import type { Block, Eqn, Program } from "../../compiler/core/ir.ts";
import { print } from "../../compiler/core/print.ts";
import type { Kernel, Stmt } from "../../compiler/tile/ir.ts";
import { printKernel } from "../../compiler/tile/print.ts";
import type { Listing } from "../data.ts";
import type { Places } from "./places.ts";

type Spans = readonly (Span | undefined)[];

/** A Core program. Its first two lines are its head, its last one its results. */
export function coreListing(title: string, program: Program, places: Places): Listing {
  const text = print(program);
  return listing(title, text, [undefined, undefined, ...blockSpans(program.body), undefined], places);
}

/** A line for each equation without regions; with regions a line before, between and after them; then the results. */
function blockSpans(block: Block): Spans {
  return [...block.eqns.flatMap(eqnSpans), undefined];
}
function eqnSpans(e: Eqn): Spans {
  const around = (...blocks: readonly Block[]): Spans => [
    ...blocks.flatMap((b) => [e.span, ...blockSpans(b)]),
    undefined,
  ];
  switch (e.kind) {
    case "op":
    case "pullback":
      return [e.span];
    case "fold":
    case "tiles":
    case "vjp":
    case "checkpoint":
      return around(e.body);
    case "if":
      return around(e.then, e.else);
    case "rule":
      return around(e.primal, e.forward, e.pullback.body);
  }
}

/** A kernel as a Tile program: its head, its statements, its stores. */
export function tileListing(kernel: Kernel, places: Places): Listing {
  const text = printKernel(kernel);
  const lines = text.split("\n");
  const head: Spans = lines[1]?.startsWith("  inner ") ? [kernel.span, undefined] : [kernel.span];
  const spans = [...head, ...kernel.body.flatMap(stmtSpans), ...kernel.stores.map((s) => s.value.span ?? kernel.span)];
  return listing(kernel.name, text, spans, places);
}

/** A loop says what it knows of its masks after its first line; its last lines are what comes next, and a brace. */
function stmtSpans(s: Stmt): Spans {
  if (s.kind === "let") return [s.value.span];
  const { bounds } = s;
  const prelude = bounds?.prelude.filter((v) => v.def.kind !== "const" && v.def.kind !== "edge").length ?? 0;
  const known = bounds ? prelude + (bounds.run ? 1 : 0) + bounds.full.length + bounds.notes.length : 0;
  const none = (n: number): Spans => Array.from({ length: n }, () => undefined);
  return [undefined, ...none(known), ...s.body.flatMap(stmtSpans), ...none(2)];
}

function listing(title: string, text: string, spans: Spans, places: Places): Listing {
  const lines = text.split("\n").length;
  invariant(lines === spans.length, `the listing of ${title} has ${lines} lines, and ${spans.length} places`);
  return { title, text, places: spans.map(places.of) };
}
