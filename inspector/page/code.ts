/** Source, Core, Tile, WGSL and steps side by side. A click on a line of one shows what it became in the others. */
import type { Listing, Place } from "../data.ts";
import { kernelFrom, linesFrom, sourceLines } from "../model/links.ts";
import { placeOf } from "../model/model.ts";
import { describe, WHEN } from "../model/steps.ts";
import { fill, h } from "./dom.ts";
import { kernelColor, theme } from "./paint.ts";
import { type Store, select } from "./state.ts";

export function codeView(s: Store): HTMLElement {
  const { data } = s.get().model;
  const look = (focus: Place | null): void => {
    s.set(focus ? { focus, kernel: kernelFrom(data.kernels, focus, s.get().kernel) } : { focus });
  };
  const panes = [sourcePane(s, look), corePane(s, look), tilePane(s, look), wgslPane(s), stepsPane(s, look)];
  let drawn = false;
  const refresh = (scroll: boolean): void => {
    if (s.get().tab !== "Code") return;
    drawn = true;
    for (const pane of panes) pane.refresh(scroll);
  };
  s.listen((now, before) => {
    // A pane has no height before it is shown.
    if (now.tab === "Code" && (!drawn || now.tab !== before.tab)) requestAnimationFrame(() => refresh(true));
    else if (now.focus !== before.focus || now.kernel !== before.kernel || now.selection !== before.selection)
      refresh(true);
  });
  return h(
    "div.code",
    {},
    panes.map((p) => p.element),
  );
}

type Pane = { readonly element: HTMLElement; readonly refresh: (scroll: boolean) => void };

/** A column with a title, a choice of what it shows, and lines. */
function pane(title: string, choice: HTMLElement | null): { element: HTMLElement; lines: HTMLElement } {
  const lines = h("div.lines", { tabindex: 0, role: "listbox", "aria-label": title });
  const element = h(`section.pane${title === "Source" || title === "Core" ? ".wide" : ""}`);
  const fold = (): void => {
    const folded = element.classList.toggle("folded");
    name.setAttribute("aria-expanded", String(!folded));
  };
  const name = h("button", { title: "Fold or unfold", "aria-expanded": "true", onclick: fold }, title);
  element.append(h("div.top", {}, name, choice), lines);
  return { element, lines };
}

function line(number: number, text: string, clicked: () => void, extra = ""): HTMLElement {
  return h(`div.l${extra}`, { onclick: clicked }, h("i", {}, number), h("span", {}, colored(text)));
}

/** Comments are faint, and the words that shape a program stand out. */
function colored(text: string): readonly (string | HTMLElement)[] {
  const comment = text.search(/\/\//);
  const [code, rest] = comment < 0 ? [text, ""] : [text.slice(0, comment), text.slice(comment)];
  const parts = code.split(
    /\b(fn|let|fold|tiles|with|export|shard_map|import|from|mesh|derivative|for|if|else|kernel|grid|store|load|run|ppermute|var|struct|return)\b/,
  );
  return [...parts.map((p, i) => (i % 2 === 1 ? h("span.k", {}, p) : p)), rest === "" ? "" : h("span.c", {}, rest)];
}

/** Marks lines, and brings the first marked one into sight. */
function markLines(lines: HTMLElement, strong: ReadonlySet<number>, weak: ReadonlySet<number>, scroll: boolean): void {
  let first: HTMLElement | undefined;
  for (const [i, element] of [...lines.children].entries()) {
    element.classList.toggle("strong", strong.has(i));
    element.classList.toggle("weak", weak.has(i));
    if (strong.has(i)) first ??= element as HTMLElement;
  }
  if (!scroll || !first) return;
  const [top, height] = [first.offsetTop - lines.offsetTop, lines.clientHeight];
  if (top < lines.scrollTop + 20 || top > lines.scrollTop + height - 60)
    lines.scrollTop = Math.max(0, top - height / 3);
}

function sourcePane(s: Store, look: (p: Place | null) => void): Pane {
  const { data } = s.get().model;
  let shown = -1;
  let chosen = 0;
  const choice = h(
    "select",
    {
      "aria-label": "Source file",
      onchange: (e: Event) => {
        chosen = (e.target as HTMLSelectElement).selectedIndex;
        draw();
      },
    },
    data.sources.map((f) => h("option", {}, f.path)),
  ) as HTMLSelectElement;
  const { element, lines } = pane("Source", choice);
  const listings = [...data.stages, ...data.kernels.map((k) => k.tile)];
  const draw = (): void => {
    if (chosen === shown) return;
    shown = chosen;
    choice.selectedIndex = chosen;
    const known = sourceLines(listings, chosen);
    fill(
      lines,
      data.sources[chosen]!.text.trimEnd()
        .split("\n")
        .map((text, i) => line(i + 1, text, () => look([chosen, i + 1, i + 1]), known.has(i + 1) ? "" : ".none")),
    );
  };
  return {
    element,
    refresh(scroll) {
      const { focus } = s.get();
      if (focus) chosen = focus[0];
      draw();
      const strong = new Set<number>();
      if (focus && focus[0] === chosen) for (let i = focus[1]; i <= focus[2]; i++) strong.add(i - 1);
      markLines(lines, strong, new Set(), scroll);
    },
  };
}

/** Lines of a listing; a click looks at where the line comes from. */
function fillListing(lines: HTMLElement, listing: Listing, look: (p: Place | null) => void): void {
  fill(
    lines,
    listing.text
      .split("\n")
      .map((text, i) => line(i + 1, text, () => look(listing.places[i] ?? null), listing.places[i] ? "" : ".none")),
  );
}

function corePane(s: Store, look: (p: Place | null) => void): Pane {
  const { stages } = s.get().model.data;
  let chosen = stages.length - 1;
  let shown = -1;
  const choice = h(
    "select",
    {
      "aria-label": "Stage",
      onchange: (e: Event) => {
        chosen = (e.target as HTMLSelectElement).selectedIndex;
        refresh(true);
      },
    },
    stages.map((l, i) => h("option", { selected: i === chosen }, l.title.replace(/^Core,? ?/, "") || "as written")),
  );
  const { element, lines } = pane("Core", choice);
  const refresh = (scroll: boolean): void => {
    if (chosen !== shown) fillListing(lines, stages[chosen]!, look);
    shown = chosen;
    const { strong, weak } = linesFrom(stages[chosen]!, s.get().focus);
    markLines(lines, strong, weak, scroll);
  };
  return { element, refresh };
}

/** A choice of kernels that follows the one that is looked at. */
function kernelChoice(s: Store): HTMLSelectElement {
  return h(
    "select",
    {
      "aria-label": "Kernel",
      onchange: (e: Event) => s.set({ kernel: (e.target as HTMLSelectElement).selectedIndex }),
    },
    s.get().model.schedule.kernels.map((k) => h("option", {}, k.name)),
  ) as HTMLSelectElement;
}

function tilePane(s: Store, look: (p: Place | null) => void): Pane {
  const choice = kernelChoice(s);
  const { element, lines } = pane("Tile", choice);
  let shown = -1;
  return {
    element,
    refresh(scroll) {
      const { kernel, focus, model } = s.get();
      const tile = model.data.kernels[kernel]?.tile;
      if (!tile) return;
      choice.selectedIndex = kernel;
      if (kernel !== shown) fillListing(lines, tile, look);
      shown = kernel;
      const { strong, weak } = linesFrom(tile, focus);
      markLines(lines, strong, weak, scroll);
    },
  };
}

function wgslPane(s: Store): Pane {
  const choice = kernelChoice(s);
  const { element, lines } = pane("WGSL", choice);
  let shown = -1;
  return {
    element,
    refresh() {
      const { kernel, model } = s.get();
      choice.selectedIndex = kernel;
      if (kernel === shown) return;
      shown = kernel;
      const text = model.data.kernels[kernel]?.wgsl ?? "";
      fill(
        lines,
        text.split("\n").map((l, i) => line(i + 1, l, () => undefined)),
      );
      lines.scrollTop = 0;
    },
  };
}

function stepsPane(s: Store, look: (p: Place | null) => void): Pane {
  const { element, lines } = pane("Steps", null);
  const { model } = s.get();
  const dot = (kernel: number | undefined): HTMLElement =>
    h("span.dot", { style: `background:${kernel === undefined ? theme().transfer : kernelColor(kernel)}` });
  let dark: boolean | undefined;
  const draw = (): void => {
    dark = theme().dark;
    fill(
      lines,
      model.listed.map(({ step, depth, index, loops }) => {
        const clicked = (): void => {
          look(placeOf(model, step));
          if (step.kind === "loop" || step.kind === "wait" || step.kind === "receive") return;
          const turn = loops.map(() => 0);
          const found = model.played.spans.find((span) => span.step === index);
          select(s, { step: index, turn: (found?.turn ?? turn).join("."), device: s.get().device, measured: false });
        };
        return h(
          "div.l",
          { onclick: clicked },
          h("i", {}, index + 1),
          h("span", {}, "  ".repeat(depth)),
          step.kind === "launch"
            ? dot(step.kernel)
            : step.kind === "send" || step.kind === "receive"
              ? dot(undefined)
              : null,
          h("span", {}, describe(model.schedule, step)),
          step.when ? h("span.when", {}, `   ${WHEN[step.when]}`) : null,
        );
      }),
    );
  };
  return {
    element,
    refresh(scroll) {
      if (dark !== theme().dark) draw();
      const { selection, kernel, focus } = s.get();
      const strong = new Set<number>();
      const weak = new Set<number>();
      for (const { index, step } of model.listed) {
        if (selection?.step === index) strong.add(index);
        else if (step.kind === "launch" && step.kernel === kernel) (selection ? weak : strong).add(index);
        else if (focus && step.kind !== "launch" && sameLines(placeOf(model, step), focus))
          (selection ? weak : strong).add(index);
      }
      markLines(lines, strong, weak, scroll);
    },
  };
}

const sameLines = (a: Place | null, b: Place): boolean => a !== null && a[0] === b[0] && a[1] <= b[2] && b[1] <= a[2];
