/**
 * Laying out text: a document says where lines may break, `layout` chooses. (After Wadler, "A prettier printer".)
 *
 *   text | [doc, …] | line | softline | hardline | indent(doc) | group(doc) | fill | choice | trailing comment
 *
 * A group is printed on one line where it fits; else all its own lines break. A hardline inside breaks it in any case.
 */
export type Doc =
  | string
  | readonly Doc[]
  | { readonly kind: "line"; readonly flat: string | undefined }
  | { readonly kind: "indent"; readonly doc: Doc }
  | { readonly kind: "group"; readonly doc: Doc; readonly broken: boolean }
  /** Always on one line. */
  | { readonly kind: "flat"; readonly doc: Doc }
  /** One thing where the group around it breaks, another where it does not. */
  | { readonly kind: "ifBroken"; readonly broken: Doc; readonly flat: Doc }
  /** Items one after the other, a line break where the next does not fit. */
  | { readonly kind: "fill"; readonly items: readonly FillItem[]; readonly begun?: boolean }
  /** The first on one line where it fits so; else the first of the others whose first line fits; else the last. */
  | { readonly kind: "choice"; readonly options: readonly [Doc, ...Doc[]] }
  /** A comment at the end of the line, in `column` (from 1) where the line leaves room. Breaks groups around it. */
  | { readonly kind: "trailing"; readonly text: string; readonly column: number };

/** `breaks`: how many line breaks stand before it in any case; not for the first. */
export type FillItem = { readonly doc: Doc; readonly breaks: 0 | 1 | 2 };

export const line: Doc = { kind: "line", flat: " " };
export const softline: Doc = { kind: "line", flat: "" };
export const hardline: Doc = { kind: "line", flat: undefined };
export const indent = (doc: Doc): Doc => ({ kind: "indent", doc });
export const group = (doc: Doc, broken = false): Doc => ({ kind: "group", doc, broken });
export const ifBroken = (broken: Doc, flat: Doc): Doc => ({ kind: "ifBroken", broken, flat });

/** Documents with a separator between two. */
export const join = (separator: Doc, docs: readonly Doc[]): Doc =>
  docs.flatMap((d, i) => (i === 0 ? [d] : [separator, d]));

const breaks = new WeakMap<object, boolean>();

/** Does the document hold a line break that no layout avoids? */
export function mustBreak(doc: Doc): boolean {
  if (typeof doc === "string") return false;
  const known = breaks.get(doc);
  if (known !== undefined) return known;
  const found = findBreak(doc);
  breaks.set(doc, found);
  return found;
}

function findBreak(doc: Exclude<Doc, string>): boolean {
  if (!("kind" in doc)) return doc.some(mustBreak);
  switch (doc.kind) {
    case "line":
      return doc.flat === undefined;
    case "indent":
    case "flat":
      return mustBreak(doc.doc);
    case "group":
      return doc.broken || mustBreak(doc.doc);
    case "ifBroken":
      return mustBreak(doc.flat);
    case "fill":
      return doc.items.some((i, n) => (n > 0 && i.breaks > 0) || mustBreak(i.doc));
    case "choice":
      return mustBreak(doc.options[0]);
    case "trailing":
      return true;
  }
}

type Job = { readonly indent: number; readonly flat: boolean; readonly doc: Doc };

/** The text of a document in lines of at most `width` columns, where that can be. */
export function layout(root: Doc, width: number): string {
  const out: string[] = [];
  const jobs: Job[] = [{ indent: 0, flat: false, doc: root }];
  let column = 0;
  let comments: { readonly text: string; readonly column: number }[] = [];

  const write = (text: string) => {
    out.push(text);
    column += text.length;
  };
  const writeComments = () => {
    for (const c of comments) write(" ".repeat(Math.max(1, c.column - 1 - column)) + c.text);
    comments = [];
  };
  const newLine = (to: number) => {
    writeComments();
    out.push("\n");
    column = 0;
    pendingIndent = to;
  };
  // Indentation is written with the first text of a line, so that empty lines stay empty.
  let pendingIndent = 0;

  for (let job = jobs.pop(); job; job = jobs.pop()) {
    const { indent: at, flat, doc } = job;
    if (typeof doc === "string") {
      if (doc === "") continue;
      if (column === 0 && pendingIndent > 0) write(" ".repeat(pendingIndent));
      pendingIndent = 0;
      write(doc);
      continue;
    }
    if (!("kind" in doc)) {
      for (let i = doc.length - 1; i >= 0; i--) jobs.push({ indent: at, flat, doc: doc[i]! });
      continue;
    }
    const used = column === 0 ? pendingIndent : column;
    const flatJob = (d: Doc): Job => ({ indent: at, flat: true, doc: d });
    const brokenJob = (d: Doc): Job => ({ indent: at, flat: false, doc: d });
    const fitsFlat = (d: Doc, rest: readonly Job[] = jobs) => !mustBreak(d) && fits(flatJob(d), rest, width - used);
    switch (doc.kind) {
      case "line":
        if (flat && doc.flat !== undefined) jobs.push({ indent: at, flat, doc: doc.flat });
        else newLine(at);
        break;
      case "indent":
        jobs.push({ indent: at + 2, flat, doc: doc.doc });
        break;
      case "group":
        jobs.push(flat || (!doc.broken && fitsFlat(doc.doc)) ? flatJob(doc.doc) : brokenJob(doc.doc));
        break;
      case "flat":
        jobs.push(flatJob(doc.doc));
        break;
      case "ifBroken":
        jobs.push({ indent: at, flat, doc: flat ? doc.flat : doc.broken });
        break;
      case "choice": {
        const [first, ...others] = doc.options;
        if (flat || fitsFlat(first)) jobs.push(flatJob(first));
        else {
          const last = others.at(-1) ?? first;
          const chosen = others.find((o) => o === last || fits(brokenJob(o), jobs, width - used)) ?? last;
          jobs.push(brokenJob(chosen));
        }
        break;
      }
      case "fill": {
        const [item, ...others] = doc.items;
        if (!item) break;
        const following = others.length > 0 ? [] : jobs;
        const itemFits = flat || fitsFlat(doc.begun ? [" ", item.doc] : item.doc, following);
        if (doc.begun) {
          if (flat || (item.breaks === 0 && itemFits)) write(" ");
          else for (let n = 0; n < Math.max(1, item.breaks); n++) newLine(at);
        }
        if (others.length > 0) jobs.push({ indent: at, flat, doc: { kind: "fill", items: others, begun: true } });
        const again = !itemFits && !flat && fits(flatJob(item.doc), following, width - (column === 0 ? at : column));
        jobs.push(itemFits || (again && !mustBreak(item.doc)) ? flatJob(item.doc) : brokenJob(item.doc));
        break;
      }
      case "trailing":
        comments.push(doc);
        break;
    }
  }
  writeComments();
  return out.join("");
}

/** Would the job, and what follows up to the next line break, fit into `room` columns? */
function fits(job: Job, rest: readonly Job[], room: number): boolean {
  const jobs: Job[] = [job];
  let left = room;
  let following = rest.length;
  for (;;) {
    if (left < 0) return false;
    const next = jobs.pop() ?? rest[--following];
    if (!next) return true;
    const { indent: at, flat, doc } = next;
    if (typeof doc === "string") {
      left -= doc.length;
      continue;
    }
    if (!("kind" in doc)) {
      for (let i = doc.length - 1; i >= 0; i--) jobs.push({ indent: at, flat, doc: doc[i]! });
      continue;
    }
    switch (doc.kind) {
      case "line":
        if (!flat || doc.flat === undefined) return true;
        left -= doc.flat.length;
        break;
      case "indent":
        jobs.push({ indent: at, flat, doc: doc.doc });
        break;
      case "group":
        jobs.push({ indent: at, flat: flat && !mustBreak(doc), doc: doc.doc });
        break;
      case "flat":
        jobs.push({ indent: at, flat: true, doc: doc.doc });
        break;
      case "ifBroken":
        jobs.push({ indent: at, flat, doc: flat ? doc.flat : doc.broken });
        break;
      case "choice":
        jobs.push({ indent: at, flat, doc: flat ? doc.options[0] : doc.options.at(-1)! });
        break;
      case "fill":
        jobs.push({
          indent: at,
          flat,
          doc: doc.items.map((i, n) => (n > 0 || doc.begun ? [flat ? " " : line, i.doc] : i.doc)),
        });
        break;
      case "trailing":
        break;
    }
  }
}
