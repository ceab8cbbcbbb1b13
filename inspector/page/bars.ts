/** The picture of the timeline: only rows and spans that can be seen are drawn. */
import { coordinates, deviceName } from "../model/mesh.ts";
import { keyOf, type Model, related, type Selection, spanOf } from "../model/model.ts";
import type { Span } from "../model/play.ts";
import { type RunSpan, turnText } from "../model/run.ts";
import { DENSITIES, eachVisible, type Range, type Rows } from "../model/view.ts";
import { FONT, fitText, kernelColor, kernelInk, type Pen, SMALL, theme } from "./paint.ts";
import { drawRuler, RULER } from "./ruler.ts";
import type { Store } from "./state.ts";

/** What of it is seen: sizes in pixels, `top` how far it is scrolled. */
export type Frame = {
  readonly width: number;
  readonly height: number;
  readonly gutter: number;
  readonly top: number;
  readonly rows: Rows;
  readonly hover: Selection | null;
};

/** Draws the whole picture. */
export function drawTimeline(ctx: CanvasRenderingContext2D, s: Store, f: Frame): void {
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
  const relations = selection ? related(model, selection) : [];
  const lit = new Set(relations.map((r) => keyOf(r.to)));
  if (selection) lit.add(keyOf(selection));
  const dimmed = path || selection !== null;
  const alpha = (on: boolean): number => (dimmed && !on ? (path && !selection ? 0.32 : 0.42) : 1);

  ctx.font = text ? FONT : SMALL;
  ctx.textBaseline = "middle";
  const bars = barsOf(model, range, inner);
  const predicted = (to: Pen, left: number, above: number, device: number): void => {
    for (const lane of rows.lanes)
      for (const { span, x: dx, w } of bars[lane.stream]!) {
        const onPath = model.path.has(span.id);
        const on = selection ? lit.has(`p ${device} ${span.step} ${turnText(span.turn)}`) : onPath;
        const label = text ? shortLabel(model, span.step, turnText(span.turn)) : "";
        const box = { x: left + dx, y: above + lane.top, w, h: lane.predicted.height };
        drawBar(to, model, span.step, box, {
          left,
          alpha: alpha(on),
          strong: !lane.measured,
          marked: path && onPath,
          label,
        });
      }
  };
  // Predictions are the same on every device: drawn once, and copied to all on which nothing is selected.
  const strip = stripOf(inner, rows.height, (to) => {
    to.font = ctx.font;
    to.textBaseline = "middle";
    predicted(to, 0, 0, -1);
  });
  const own = new Set(selection ? [selection.device, ...relations.map((r) => r.to.device)] : []);
  for (let device = first; device <= last; device++) {
    ctx.globalAlpha = 1;
    const lanes = model.forecast?.lanes[device];
    if (lanes) {
      for (const lane of rows.lanes) {
        const style = { left: gutter, strong: !lane.measured };
        eachVisible(lanes[lane.stream]!.work, range, inner, (span, dx, w0) => {
          const onPath = model.forecastPath.has(span.id);
          const on = selection ? lit.has(`p ${device} ${span.step} ${span.turn}`) : onPath;
          const label = text ? shortLabel(model, span.step, span.turn) : "";
          const box = { x: gutter + dx, y: y(device) + lane.top, w: barWidth(w0), h: lane.predicted.height };
          drawBar(ctx, model, span.step, box, { ...style, alpha: alpha(on), marked: path && onPath, label });
        });
      }
    } else if (own.has(device)) predicted(ctx, gutter, y(device), device);
    else ctx.drawImage(strip, gutter, y(device), inner, rows.height);
    ctx.globalAlpha = 1;
    for (const lane of rows.lanes) {
      if (!lane.measured || !model.run) continue;
      const list = model.run.lanes[device]?.[lane.stream];
      if (!list) continue;
      const under_ = y(device) + lane.measured.top;
      eachVisible(list.work, range, inner, (span, dx, w0) => {
        const onPath = model.runPath.has(span.id);
        const on = selection ? lit.has(runKey(span)) : onPath;
        const label = text ? shortLabel(model, span.step, span.turn) : "";
        const box = { x: gutter + dx, y: under_, w: barWidth(w0), h: lane.measured!.height };
        drawBar(ctx, model, span.step, box, {
          left: gutter,
          alpha: alpha(on),
          strong: true,
          marked: path && onPath,
          label,
        });
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
    for (const r of relations) connect(ctx, model, f, x, y, selection, r.to, r.how);
    outline(ctx, model, f, x, y, selection, t.ink);
    for (const r of relations) outline(ctx, model, f, x, y, r.to, t.accent);
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
  if (model.run && y(model.devices) + 90 < height) {
    end(model.forecast?.end ?? model.played.end, "predicted end");
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
    fitText(ctx, name, 14, at, text && gutter > 100 ? gutter - 78 : gutter - 20);
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

const runKey = (s: RunSpan): string => `m ${s.device} ${s.step} ${s.turn}`;

/** The visible spans of each lane, from where time begins. */
function barsOf(
  model: Model,
  range: Range,
  inner: number,
): readonly (readonly { span: Span; x: number; w: number }[])[] {
  return model.lanes.map((spans) => {
    const found: { span: Span; x: number; w: number }[] = [];
    eachVisible(spans, range, inner, (span, x, w) => found.push({ span, x, w: barWidth(w) }));
    return found;
  });
}
/** With a gap to the next one where there is room. */
const barWidth = (w: number): number => Math.max(1, w - (w > 3 ? 1 : 0));

/** A picture of its own, as sharp as the screen. */
function stripOf(
  width: number,
  height: number,
  paint: (to: OffscreenCanvasRenderingContext2D) => void,
): OffscreenCanvas {
  const scale = devicePixelRatio;
  const canvas = new OffscreenCanvas(Math.max(1, Math.ceil(width * scale)), Math.max(1, Math.ceil(height * scale)));
  const to = canvas.getContext("2d")!;
  to.scale(canvas.width / width, canvas.height / height);
  paint(to);
  return canvas;
}

type BarStyle = {
  readonly left: number;
  readonly alpha: number;
  readonly strong: boolean;
  readonly marked: boolean;
  readonly label: string;
};

function drawBar(ctx: Pen, m: Model, step: number, { x, y, w, h }: Box, style: BarStyle): void {
  const what = m.listed[step]!.step;
  const t = theme();
  ctx.globalAlpha = style.alpha;
  ctx.fillStyle =
    what.kind === "launch" ? kernelColor(what.kernel, style.strong) : what.kind === "copy" ? t.wait : t.transfer;
  ctx.fillRect(x, y, w, h);
  if (style.label !== "" && h >= 14 && w > 14) {
    ctx.fillStyle = what.kind === "send" || what.kind === "receive" ? t.transferInk : kernelInk();
    const hidden = Math.max(0, style.left - x);
    fitText(ctx, style.label, x + hidden + 5, y + h / 2 + 0.5, w - 8 - hidden);
  }
  if (!style.marked) return;
  const thick = h >= 8 ? 2 : 1;
  ctx.globalAlpha = 1;
  ctx.fillStyle = t.accent;
  ctx.fillRect(x, y + h - thick, w, thick);
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
  // A wait or an arrival may have begun before: it ends with what it waited for.
  const { kind } = m.listed[(how === "needs" ? here : there).step]!.step;
  const atEnd = kind === "wait" || kind === "receive";
  const [x1, y1] = [atEnd ? b.x + b.w : b.x, b.y + b.h / 2];
  if (Math.abs(y1 - y0) < 1) return; // in one lane it would run through the bars
  const bend = Math.max(14, Math.min(60, Math.abs(x1 - x0) / 2));
  ctx.strokeStyle = theme().accent;
  ctx.globalAlpha = 0.75;
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.bezierCurveTo(x0 + bend, y0, atEnd ? x1 + bend : x1 - bend, y1, x1, y1);
  ctx.stroke();
  ctx.globalAlpha = 1;
  ctx.fillStyle = theme().accent;
  ctx.beginPath();
  ctx.arc(x1, y1, 2.2, 0, 2 * Math.PI);
  ctx.fill();
}
