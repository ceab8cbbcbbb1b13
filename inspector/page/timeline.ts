/** Devices × streams over time: predictions above what was measured, drawn only where they can be seen. */

import { timeText } from "../model/format.ts";
import { apart, keyOf, machinesOf, measuredSummary, predictedSummary, type Selection, spanOf } from "../model/model.ts";
import { turnText } from "../model/run.ts";
import { clamp, DENSITIES, firstAfter, pan, type Rows, roomyRows, rowsOf, zoom } from "../model/view.ts";
import { drawTimeline } from "./bars.ts";
import { fill, h, surface } from "./dom.ts";
import { gestures } from "./gestures.ts";
import { RULER } from "./ruler.ts";
import { reveal, type Store, select, useMachine, wholeRange } from "./state.ts";
import { tipFor } from "./tip.ts";

const NARROW = 700;

/** The tab's column: a bar of controls, and the picture. */
export function timelineView(s: Store): HTMLElement {
  const stage = h("div.stage");
  const bar = h("div.bar");
  const tip = tipFor(s);
  let top = 0;
  let hover: Selection | null = null;
  let drawTime = 0;

  const gutter = (): number => (picture.size().width < NARROW ? 92 : 148);
  const rows = (): Rows => {
    const { model, density } = s.get();
    const [streams, run] = [model.schedule.streams.length, model.run !== undefined];
    return roomyRows(streams, run, DENSITIES[density]!, (picture.size().height - RULER) / model.devices);
  };
  const scrollTo = (y: number): void => {
    const full = rows().height * s.get().model.devices;
    top = Math.max(0, Math.min(y, full - (picture.size().height - RULER) + 12));
    picture.paint();
  };

  const picture = surface(
    stage,
    "Timeline of devices and streams; arrow keys move, + and − zoom",
    (ctx, width, height) => {
      const began = performance.now();
      drawTimeline(ctx, s, { width, height, gutter: gutter(), top, rows: rows(), hover });
      drawTime = performance.now() - began;
      stage.dataset.drawTime = drawTime.toFixed(2);
    },
  );

  /** What is under a point of the picture. */
  const at = (x: number, y: number): Selection | null => {
    const { model, range } = s.get();
    if (x < gutter() || y < RULER) return null;
    const r = rows();
    const device = Math.floor((y - RULER + top) / r.height);
    if (device < 0 || device >= model.devices) return null;
    const inside = y - RULER + top - device * r.height;
    const width = picture.size().width - gutter();
    const time = range.from + ((x - gutter()) / width) * (range.to - range.from);
    const slack = ((range.to - range.from) / width) * 2;
    for (const lane of r.lanes) {
      const y0 = inside - lane.top;
      if (y0 < -1 || y0 > lane.height + 1) continue;
      if (y0 <= lane.predicted.height) {
        const own = model.forecast?.lanes[device]?.[lane.stream]?.work;
        const found = own && under(own, time, slack);
        if (own) return found ? { step: found.step, turn: found.turn, device, measured: false } : null;
        const span = under(model.lanes[lane.stream]!, time, slack);
        return span ? { step: span.step, turn: turnText(span.turn), device, measured: false } : null;
      }
      const list = model.run?.lanes[device]?.[lane.stream];
      const span = list && under(y0 > lane.height - 4 ? list.thin : list.work, time, slack);
      return span ? { step: span.step, turn: span.turn, device, measured: true } : null;
    }
    return null;
  };

  gestures(picture.canvas, {
    left: gutter,
    zoom(factor, x) {
      const { range, model } = s.get();
      const time = range.from + (x / (picture.size().width - gutter())) * (range.to - range.from);
      s.set({ range: zoom(range, factor, time, wholeRange(model)) });
    },
    pan(dx, dy) {
      const { range, model } = s.get();
      const by = (-dx / (picture.size().width - gutter())) * (range.to - range.from);
      if (dx !== 0) s.set({ range: pan(range, by, wholeRange(model)) });
      if (dy !== 0) scrollTo(top - dy);
    },
    hover(x, y, pageX, pageY) {
      const found = x === undefined || y === undefined ? null : at(x, y);
      const changed = (found && keyOf(found)) !== (hover && keyOf(hover));
      hover = found;
      const chosen = s.get().selection;
      // The panel says it all already.
      tip.show(found && chosen && keyOf(found) === keyOf(chosen) ? null : found, pageX, pageY);
      picture.canvas.style.cursor = found ? "pointer" : "";
      if (changed) picture.paint();
    },
    click(x, y) {
      tip.show(null, 0, 0);
      const found = at(x, y);
      const device = Math.floor((y - RULER + top) / rows().height);
      if (found || x >= gutter()) select(s, found);
      else if (device >= 0 && device < s.get().model.devices) s.set({ device });
    },
    double(x, y) {
      const found = at(x, y);
      const span = found && spanOf(s.get().model, found);
      const all = wholeRange(s.get().model);
      const width = span ? Math.max(span.end - span.start, 1e-3) * 3 : all.to;
      const middle = span ? (span.start + span.end) / 2 : 0;
      s.set({ range: clamp({ from: middle - width / 2, to: middle + width / 2 }, all) });
    },
  });
  picture.canvas.addEventListener("keydown", (event) => {
    const { range, model } = s.get();
    const width = range.to - range.from;
    const key = event.key;
    if (key === "ArrowLeft" || key === "ArrowRight")
      s.set({ range: pan(range, (key === "ArrowLeft" ? -1 : 1) * width * 0.12, wholeRange(model)) });
    else if (key === "ArrowUp" || key === "ArrowDown") scrollTo(top + (key === "ArrowUp" ? -1 : 1) * rows().height);
    else if (key === "PageUp" || key === "PageDown")
      scrollTo(top + (key === "PageUp" ? -1 : 1) * (picture.size().height - RULER));
    else return;
    event.preventDefault();
  });

  const showBar = (): void => {
    const { model, path, density } = s.get();
    const machines = machinesOf(model.data);
    const choose = h(
      "select",
      {
        "aria-label": "Machine of the prediction",
        title: model.machine.note,
        onchange: (e: Event) => useMachine(s, machines[(e.target as HTMLSelectElement).selectedIndex]!),
      },
      machines.map((m) => h("option", { selected: m.name === model.machine.name }, m.name)),
    );
    const stat = (label: string, end: number): HTMLElement =>
      h("span.stat", {}, `${label} `, h("b", {}, timeText(end)));
    const measured = measuredSummary(model);
    fill(
      bar,
      h("label", {}, "Machine", choose),
      stat(apart(model) ? "predicted" : "mean device", predictedSummary(model).end),
      measured ? stat("measured", measured.end) : null,
      h("span.push"),
      h(
        "button",
        { "aria-pressed": String(path), title: "c", onclick: () => s.set({ path: !s.get().path }) },
        "Critical path",
      ),
      h(
        "select",
        {
          "aria-label": "Height of the rows",
          onchange: (e: Event) => s.set({ density: (e.target as HTMLSelectElement).selectedIndex }),
        },
        DENSITIES.map((d, i) => h("option", { selected: i === density }, d.name)),
      ),
      h(
        "span.group",
        {},
        h("button", { title: "Zoom out (−)", "aria-label": "Zoom out", onclick: () => zoomBy(s, 1.6) }, "−"),
        h("button", { title: "All (Home)", onclick: () => s.set({ range: wholeRange(s.get().model) }) }, "Fit"),
        h("button", { title: "Zoom in (+)", "aria-label": "Zoom in", onclick: () => zoomBy(s, 1 / 1.6) }, "+"),
      ),
    );
  };
  showBar();
  s.listen((now, before) => {
    if (now.model !== before.model || now.path !== before.path || now.density !== before.density) showBar();
    if (now.density !== before.density) {
      const share = top / rowsOf(now.model.schedule.streams.length, !!now.model.run, DENSITIES[before.density]!).height;
      scrollTo(share * rows().height);
    }
    if (now.selection && now.selection !== before.selection) {
      const r = rows();
      const y = now.selection.device * r.height;
      const room = picture.size().height - RULER;
      if (room > 0 && (y < top || y + r.height > top + room)) scrollTo(y - room / 2 + r.height / 2);
      const span = spanOf(now.model, now.selection);
      if (span) reveal(s, span.start, span.end);
    }
    picture.paint();
  });
  return h("div.column", {}, bar, stage);
}

/** Zooms around the middle. */
export function zoomBy(s: Store, factor: number): void {
  const { range, model } = s.get();
  s.set({ range: zoom(range, factor, (range.from + range.to) / 2, wholeRange(model)) });
}

function under<T extends { readonly start: number; readonly end: number }>(
  spans: readonly T[],
  time: number,
  slack: number,
): T | undefined {
  const i = firstAfter(spans, time - slack);
  const found = spans[i];
  if (!found || found.start > time + slack) return undefined;
  const next = spans[i + 1];
  return time > found.end && next && next.start <= time ? next : found;
}
