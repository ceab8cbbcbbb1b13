/** Devices × streams over time: predictions above what was measured, drawn only where they can be seen. */

import { percentText, timeText } from "../model/format.ts";
import { coordinates, deviceName } from "../model/mesh.ts";
import { type Model, machinesOf, measuredSummary, predictedSummary, related, type Selection } from "../model/model.ts";
import type { Span } from "../model/play.ts";
import { type RunSpan, turnText } from "../model/run.ts";
import { clamp, DENSITIES, eachVisible, firstAfter, pan, type Rows, rowsOf, zoom } from "../model/view.ts";
import { fill, h, surface } from "./dom.ts";
import { gestures } from "./gestures.ts";
import { FONT, fitText, kernelColor, kernelInk, SMALL, theme } from "./paint.ts";
import { drawRuler, RULER } from "./ruler.ts";
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
    return rowsOf(model.schedule.streams.length, model.run !== undefined, DENSITIES[density]!);
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
      draw(ctx, s, { width, height, gutter: gutter(), top, rows: rows(), hover });
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
      const changed = JSON.stringify(found) !== JSON.stringify(hover);
      hover = found;
      tip.show(found, pageX, pageY);
      picture.canvas.style.cursor = found ? "pointer" : "";
      if (changed) picture.paint();
    },
    click(x, y) {
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
    const stat = (label: string, sum: ReturnType<typeof predictedSummary>): HTMLElement =>
      h(
        "span.stat",
        { title: `${label}: kernels run ${timeText(sum.busy)}, transfers ${timeText(sum.transfer)}` },
        `${label} `,
        h("b", {}, timeText(sum.end)),
        sum.transfer > 0
          ? [" · transfers ", h("b", {}, percentText(sum.transfer - sum.exposed, sum.transfer)), " hidden"]
          : null,
      );
    const measured = measuredSummary(model);
    fill(
      bar,
      h("label", {}, "Predicted for", choose),
      stat("predicted", predictedSummary(model)),
      measured ? stat("measured", measured) : null,
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
      const share =
        top / (rowsOf(now.model.schedule.streams.length, !!now.model.run, DENSITIES[before.density]!).height || 1);
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

/** The span of a selection: a predicted one, or that of the run. */
export function spanOf(m: Model, at: Selection): { readonly start: number; readonly end: number } | undefined {
  if (at.measured) return m.run?.find(at.device, at.step, at.turn);
  const span = m.predictedAt(at.step, at.turn);
  if (span) return span;
  // A receive is its neighbour's send, which is as long as its own.
  const step = m.listed[at.step]!.step;
  const send =
    step.kind === "receive" ? m.listed.find((l) => l.step.kind === "send" && l.step.token === step.token) : undefined;
  return send && m.predictedAt(send.index, at.turn);
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

// ---- drawing ---------------------------------------------------------------------------------------------------------

type Frame = {
  readonly width: number;
  readonly height: number;
  readonly gutter: number;
  readonly top: number;
  readonly rows: Rows;
  readonly hover: Selection | null;
};

function draw(ctx: CanvasRenderingContext2D, s: Store, f: Frame): void {
  const { model, range, selection, path, density, device: chosen } = s.get();
  const t = theme();
  const { width, height, gutter, rows, top } = f;
  const inner = width - gutter;
  const x = (time: number): number => gutter + ((time - range.from) / (range.to - range.from)) * inner;
  const y = (device: number): number => RULER + device * rows.height - top;
  ctx.fillStyle = t.paper;
  ctx.fillRect(0, 0, width, height);
  const first = Math.max(0, Math.floor(top / rows.height));
  const last = Math.min(model.devices - 1, Math.floor((top + height - RULER) / rows.height));

  ctx.save();
  ctx.beginPath();
  ctx.rect(0, RULER, width, height - RULER);
  ctx.clip();
  drawRuler(ctx, { range, left: gutter, width: inner, height, top: RULER }, "grid");
  if (model.devices > 1) {
    ctx.fillStyle = t.panel;
    ctx.fillRect(0, y(chosen), width, rows.height);
  }

  const { text } = DENSITIES[density]!;
  const related_ = selection ? related(model, selection) : [];
  const lit = new Set(related_.map((r) => keyOf(r.to)));
  if (selection) lit.add(keyOf(selection));
  const dimmed = path || selection !== null;
  const alpha = (on: boolean): number => (dimmed && !on ? (path && !selection ? 0.32 : 0.42) : 1);

  // Predictions are the same on every device: laid out once, drawn for each that is on the screen.
  const bars = model.lanes.map((spans) => {
    const found: { span: Span; x: number; w: number }[] = [];
    eachVisible(spans, range, inner, (span, at, w) =>
      found.push({ span, x: gutter + at, w: Math.max(1, w - (w > 3 ? 1 : 0)) }),
    );
    return found;
  });
  ctx.font = text ? FONT : SMALL;
  ctx.textBaseline = "middle";
  for (let device = first; device <= last; device++) {
    for (const lane of rows.lanes) {
      const at = y(device) + lane.top;
      const { height: h1 } = lane.predicted;
      for (const { span, x: x0, w } of bars[lane.stream]!) {
        const on = selection ? lit.has(`p ${device} ${span.step} ${turnText(span.turn)}`) : model.path.has(span.id);
        ctx.globalAlpha = alpha(on || (path && model.path.has(span.id) && !selection));
        bar(ctx, model, span.step, x0, at, w, h1, lane.measured === undefined);
        if (path && model.path.has(span.id)) mark(ctx, x0, at + h1 - (text ? 2 : 1), w, text ? 2 : 1);
        if (text && h1 >= 14 && w > 14) {
          ctx.fillStyle = inkOf(model, span.step);
          fitText(
            ctx,
            shortLabel(model, span.step, turnText(span.turn)),
            Math.max(x0, gutter) + 5,
            at + h1 / 2 + 0.5,
            w - 8 - Math.max(0, gutter - x0),
          );
        }
      }
      if (!lane.measured || !model.run) continue;
      const list = model.run.lanes[device]?.[lane.stream];
      if (!list) continue;
      const under_ = y(device) + lane.measured.top;
      eachVisible(list.work, range, inner, (span, dx, w0) => {
        const [x0, w] = [gutter + dx, Math.max(1, w0 - (w0 > 3 ? 1 : 0))];
        ctx.globalAlpha = alpha(selection ? lit.has(runKey(span)) : model.runPath.has(span.id));
        bar(ctx, model, span.step, x0, under_, w, lane.measured!.height, true);
        if (path && model.runPath.has(span.id))
          mark(ctx, x0, under_ + lane.measured!.height - (text ? 2 : 1), w, text ? 2 : 1);
        if (text && w > 14) {
          ctx.fillStyle = inkOf(model, span.step);
          fitText(
            ctx,
            shortLabel(model, span.step, span.turn),
            Math.max(x0, gutter) + 5,
            under_ + lane.measured!.height / 2 + 0.5,
            w - 8 - Math.max(0, gutter - x0),
          );
        }
      });
      const thin = under_ + lane.measured.height;
      eachVisible(list.thin, range, inner, (span, dx, w) => {
        const on = selection ? lit.has(runKey(span)) : model.runPath.has(span.id);
        ctx.globalAlpha = alpha(on);
        ctx.fillStyle = span.kind === "wait" ? t.wait : t.transfer;
        ctx.fillRect(gutter + dx, thin, Math.max(1, w - 1), lane.measured!.line);
      });
    }
  }
  ctx.globalAlpha = 1;

  if (selection) {
    for (const r of related_) connect(ctx, model, f, x, y, selection, r.to, r.how);
    outline(ctx, model, f, x, y, selection, t.ink);
    for (const r of related_) outline(ctx, model, f, x, y, r.to, t.accent);
  }
  if (f.hover && keyOf(f.hover) !== (selection ? keyOf(selection) : "")) outline(ctx, model, f, x, y, f.hover, t.soft);
  drawNames(ctx, s, f, first, last, y);
  ctx.restore();

  ctx.fillStyle = t.paper;
  ctx.fillRect(0, 0, width, RULER);
  drawRuler(ctx, { range, left: gutter, width: inner, height, top: RULER }, "labels");
  const end = (time: number, label: string): void => {
    const at = Math.round(x(time)) + 0.5;
    if (at < gutter || at > width) return;
    ctx.strokeStyle = t.faint;
    ctx.setLineDash([2, 3]);
    ctx.beginPath();
    ctx.moveTo(at, RULER);
    ctx.lineTo(at, height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.save();
    ctx.translate(at - 4, height - 8);
    ctx.rotate(-Math.PI / 2);
    ctx.fillStyle = t.faint;
    ctx.font = SMALL;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.fillText(label, 0, 0);
    ctx.restore();
  };
  if (model.run) {
    end(model.played.end, "predicted end");
    end(model.run.end, "measured end");
  }
  drawScroll(ctx, f, model.devices);
}

/** The names of devices and streams, left of the bars. */
function drawNames(
  ctx: CanvasRenderingContext2D,
  s: Store,
  f: Frame,
  first: number,
  last: number,
  y: (device: number) => number,
): void {
  const { model, density, device: chosen } = s.get();
  const t = theme();
  const { gutter, rows } = f;
  const { text } = DENSITIES[density]!;
  const every = Math.max(1, Math.ceil(13 / rows.height));
  for (let device = first; device <= last; device++) {
    const top = y(device);
    ctx.fillStyle = device === chosen && model.devices > 1 ? t.panel : t.paper;
    ctx.fillRect(0, top, gutter - 1, rows.height);
    if (rows.height >= 12) {
      ctx.fillStyle = t.line;
      ctx.fillRect(0, Math.round(top) - 0.5, f.width, 1);
    }
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    if (every > 1 && device % every !== 0) continue;
    ctx.font = `${device === chosen ? "600 " : ""}${FONT}`;
    ctx.fillStyle = device === chosen ? t.ink : t.soft;
    const name =
      model.schedule.mesh.axes.filter((a) => a.size > 1).length > 1 && gutter < 100
        ? coordinates(model.schedule.mesh, device).join(", ")
        : deviceName(model.schedule.mesh, device);
    const at = rows.height >= 30 ? top + rows.lanes[0]!.top + 8 : top + rows.height / 2;
    fitText(ctx, name, 14, at, text ? gutter - 78 : gutter - 20);
    if (!text) continue;
    ctx.font = SMALL;
    ctx.fillStyle = t.faint;
    ctx.textAlign = "right";
    for (const lane of rows.lanes) {
      const middle =
        top + lane.top + (lane.measured ? lane.predicted.height + 1 + lane.measured.height / 2 : lane.height / 2);
      if (gutter > 100 || lane.stream > 0) ctx.fillText(model.schedule.streams[lane.stream]!, gutter - 10, middle);
    }
  }
  ctx.textAlign = "left";
  ctx.fillStyle = t.line;
  ctx.fillRect(gutter - 1, RULER, 1, f.height);
}

function drawScroll(ctx: CanvasRenderingContext2D, f: Frame, devices: number): void {
  const full = f.rows.height * devices;
  const room = f.height - RULER;
  if (full <= room) return;
  ctx.fillStyle = theme().faint;
  ctx.globalAlpha = 0.5;
  const height = Math.max(24, (room * room) / full);
  ctx.fillRect(f.width - 5, RULER + (f.top / (full - room)) * (room - height), 3, height);
  ctx.globalAlpha = 1;
}

const keyOf = (at: Selection): string => `${at.measured ? "m" : "p"} ${at.device} ${at.step} ${at.turn}`;
const runKey = (s: RunSpan): string => `m ${s.device} ${s.step} ${s.turn}`;

function bar(
  ctx: CanvasRenderingContext2D,
  m: Model,
  step: number,
  x: number,
  y: number,
  w: number,
  h: number,
  strong: boolean,
): void {
  const what = m.listed[step]!.step;
  ctx.fillStyle =
    what.kind === "launch" ? kernelColor(what.kernel, strong) : what.kind === "copy" ? theme().wait : theme().transfer;
  ctx.fillRect(x, y, w, h);
}
const inkOf = (m: Model, step: number): string =>
  m.listed[step]!.step.kind === "send" ? theme().transferInk : kernelInk();

function mark(ctx: CanvasRenderingContext2D, x: number, y: number, w: number, h: number): void {
  const before = ctx.globalAlpha;
  ctx.globalAlpha = 1;
  ctx.fillStyle = theme().accent;
  ctx.fillRect(x, y, w, h);
  ctx.globalAlpha = before;
}

/** The name of a step without what its lane says already: `out_lse 3`, `k_1 3`. */
export function shortLabel(m: Model, step: number, turn: string): string {
  const what = m.listed[step]!.step;
  const name =
    what.kind === "send" || what.kind === "receive" ? (m.schedule.values[what.value]?.name ?? what.label) : what.label;
  return turn === "" ? name : `${name} · ${turn}`;
}

type Box = { readonly x: number; readonly y: number; readonly w: number; readonly h: number };

/** Where a selection stands on the screen. */
function boxOf(m: Model, f: Frame, x: (t: number) => number, y: (d: number) => number, at: Selection): Box | undefined {
  const span = spanOf(m, at);
  if (!span) return undefined;
  const what = m.listed[at.step]!.step;
  const stream = "stream" in what ? m.schedule.streams.indexOf(what.stream) : 0;
  const lane = f.rows.lanes[Math.max(0, stream)]!;
  const top = y(at.device) + lane.top;
  const thin = at.measured && (what.kind === "wait" || what.kind === "receive");
  const [dy, h] =
    !at.measured || !lane.measured
      ? [0, lane.predicted.height]
      : thin
        ? [lane.predicted.height + 1 + lane.measured.height, lane.measured.line]
        : [lane.predicted.height + 1, lane.measured.height];
  return { x: x(span.start), y: top + dy, w: Math.max(2, x(span.end) - x(span.start) - 1), h };
}

function outline(
  ctx: CanvasRenderingContext2D,
  m: Model,
  f: Frame,
  x: (t: number) => number,
  y: (d: number) => number,
  at: Selection,
  color: string,
): void {
  const box = boxOf(m, f, x, y, at);
  if (!box) return;
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.5;
  ctx.strokeRect(box.x - 0.5, box.y - 0.5, box.w + 1, box.h + 1);
  ctx.lineWidth = 1;
}

/** A curve from the end of what was waited for to the beginning of what waited. */
function connect(
  ctx: CanvasRenderingContext2D,
  m: Model,
  f: Frame,
  x: (t: number) => number,
  y: (d: number) => number,
  here: Selection,
  there: Selection,
  how: string,
): void {
  const [a, b] =
    how === "needs"
      ? [boxOf(m, f, x, y, there), boxOf(m, f, x, y, here)]
      : [boxOf(m, f, x, y, here), boxOf(m, f, x, y, there)];
  if (!a || !b) return;
  const [x0, y0] = [a.x + a.w, a.y + a.h / 2];
  const [x1, y1] = how === "other end" ? [b.x + b.w, b.y + b.h / 2] : [b.x, b.y + b.h / 2];
  const bend = Math.max(14, Math.min(60, Math.abs(x1 - x0) / 2));
  ctx.strokeStyle = theme().accent;
  ctx.globalAlpha = 0.75;
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.bezierCurveTo(x0 + bend, y0, how === "other end" ? x1 + bend : x1 - bend, y1, x1, y1);
  ctx.stroke();
  ctx.globalAlpha = 1;
  ctx.fillStyle = theme().accent;
  ctx.beginPath();
  ctx.arc(x1, y1, 2.2, 0, 2 * Math.PI);
  ctx.fill();
}
