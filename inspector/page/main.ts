/** The page: unpacks the data that is embedded in it, and shows it. */
import type { PageData } from "../data.ts";
import { plural } from "../model/format.ts";
import { type Model, machinesOf, modelOf, spanOf } from "../model/model.ts";
import { codeView } from "./code.ts";
import { detailsView } from "./details.ts";
import { fill, h } from "./dom.ts";
import { helpDialog } from "./help.ts";
import { masksView } from "./masks.ts";
import { memoryView } from "./memory.ts";
import { forgetTheme } from "./paint.ts";
import { shardingView } from "./sharding.ts";
import { type Store, select, store, TABS, type Tab, wholeRange } from "./state.ts";
import style from "./style.css";
import { timelineView, zoomBy } from "./timeline.ts";

const began = performance.now();
document.head.appendChild(h("style", {}, style));
const system = matchMedia("(prefers-color-scheme: dark)");
/** Without a wish of the reader's own, as the system has it. */
let wish: "light" | "dark" | undefined;
const applyTheme = (): void => {
  document.documentElement.dataset.theme = wish ?? (system.matches ? "dark" : "light");
  forgetTheme();
};
applyTheme();

async function unpack(): Promise<PageData> {
  const packed = document.getElementById("data")!.textContent!.trim();
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text()) as PageData;
}

function show(model: Model): void {
  const s = store({
    model,
    tab: "Timeline",
    range: wholeRange(model),
    selection: null,
    device: 0,
    focus: firstPlace(model),
    kernel: busiest(model),
    path: false,
    density: model.devices > 256 ? 1 : 0,
  });
  const help = helpDialog();
  const views: Readonly<Record<Tab, readonly HTMLElement[]>> = {
    Timeline: [timelineView(s), detailsView(s)],
    Code: [codeView(s)],
    Memory: memoryView(s),
    Sharding: [shardingView(s)],
    Masks: masksView(s),
  };
  const panels = TABS.map((tab) =>
    h(`div.tab${views[tab].length > 1 ? ".split" : ""}`, { role: "tabpanel", "aria-label": tab }, views[tab]),
  );
  const buttons = TABS.map((tab, i) =>
    h("button", { role: "tab", title: `${i + 1}`, onclick: () => s.set({ tab }) }, tab),
  );
  const setTheme = (): void => {
    wish = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    applyTheme();
    s.set({});
  };
  system.addEventListener("change", () => {
    applyTheme();
    s.set({});
  });
  const { name, mesh } = model.schedule;
  const sizes = mesh.axes.filter((a) => a.size > 1).map((a) => `${a.name} ${a.size}`);
  fill(
    document.body,
    h(
      "header",
      {},
      h("h1", {}, name, h("small", {}, [...sizes, plural(model.devices, "device")].slice(0, 4).join(" · "))),
      h("nav", { role: "tablist" }, buttons),
      h(
        "div.right",
        {},
        h("button.icon", { title: "Light or dark (t)", "aria-label": "Light or dark", onclick: setTheme }, "◐"),
        h("button.icon", { title: "Help (?)", "aria-label": "Help", onclick: () => help.showModal() }, "?"),
      ),
    ),
    h("main", {}, panels),
    help,
    ...document.querySelectorAll(".tip"),
  );
  const mark = (): void => {
    TABS.forEach((tab, i) => {
      const on = s.get().tab === tab;
      panels[i]!.classList.toggle("on", on);
      buttons[i]!.setAttribute("aria-selected", String(on));
    });
  };
  mark();
  s.listen((now, before) => {
    if (now.tab !== before.tab) mark();
  });
  document.addEventListener("keydown", (e) => keys(e, s, help, setTheme));
  document.title = `${name} · Gyre`;
  requestAnimationFrame(() => {
    document.documentElement.dataset.opened = (performance.now() - began).toFixed(0);
    if (!help.open) document.querySelector<HTMLElement>(".tab.on canvas")?.focus({ preventScroll: true });
  });
}

function keys(e: KeyboardEvent, s: Store, help: HTMLDialogElement, setTheme: () => void): void {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target instanceof HTMLSelectElement || help.open) return;
  const { model, selection, path } = s.get();
  const actions: Readonly<Record<string, () => void>> = {
    "?": () => help.showModal(),
    "+": () => zoomBy(s, 1 / 1.6),
    "=": () => zoomBy(s, 1 / 1.6),
    "-": () => zoomBy(s, 1.6),
    Home: () => s.set({ range: wholeRange(model) }),
    Escape: () => select(s, null),
    c: () => s.set({ path: !path }),
    t: setTheme,
    n: () => neighbour(s, 1),
    p: () => neighbour(s, -1),
    ...(selection && e.target instanceof HTMLCanvasElement ? { Enter: () => s.set({ tab: "Code" }) } : {}),
  };
  TABS.forEach((tab, i) => {
    if (e.key === String(i + 1)) s.set({ tab });
  });
  const action = actions[e.key];
  if (!action) return;
  e.preventDefault();
  action();
}

/** The step before or after the selected one on its lane; the first one where none is selected. */
function neighbour(s: Store, by: number): void {
  const { model, selection: at, device } = s.get();
  const order = (spans: readonly { step: number; turn: readonly number[] | string }[]) =>
    spans.map((span) => ({ step: span.step, turn: typeof span.turn === "string" ? span.turn : span.turn.join(".") }));
  const step = at && model.listed[at.step]!.step;
  const stream = step && "stream" in step ? model.schedule.streams.indexOf(step.stream) : 0;
  const measured = at?.measured === true;
  const lane = measured
    ? order(model.run?.lanes[at!.device]?.[stream]?.work ?? [])
    : order(model.forecast?.lanes[at?.device ?? device]?.[stream]?.work ?? model.lanes[stream] ?? []);
  const now = at ? lane.findIndex((o) => o.step === at.step && o.turn === at.turn) : -1;
  const next = lane[Math.max(0, Math.min(lane.length - 1, now + (at ? by : 1)))];
  if (next && (!at || spanOf(model, at))) select(s, { ...next, device: at?.device ?? device, measured });
}

/** The kernel that takes the longest. */
function busiest(m: Model): number {
  const times = m.schedule.kernels.map(() => 0);
  for (const span of m.played.spans) {
    const { step } = m.listed[span.step]!;
    if (step.kind === "launch") times[step.kernel]! += span.end - span.start;
  }
  return times.indexOf(Math.max(...times));
}
const firstPlace = (m: Model) => m.data.kernels[busiest(m)]?.place ?? null;

unpack()
  .then((data) => show(modelOf(data, machinesOf(data)[0]!)))
  .catch((error: unknown) => {
    fill(
      document.body,
      h("div.wait", {}, `This page cannot be shown: ${error instanceof Error ? error.message : String(error)}`),
    );
  });
