/** Memory over time: how much is in use, and what every buffer holds, on the time axis of the timeline. */
import { bytesText, timeText } from "../model/format.ts";
import { bands, inUse, type Point } from "../model/memory.ts";
import type { Hold } from "../model/play.ts";
import { eachVisible, pan, type Range, zoom } from "../model/view.ts";
import { fill, h, surface } from "./dom.ts";
import { gestures } from "./gestures.ts";
import { FONT, fitText, kernelInk, SMALL, theme } from "./paint.ts";
import { drawRuler, RULER } from "./ruler.ts";
import { type Store, wholeRange } from "./state.ts";

const CHART = 96;
const LEAST = 13;

/** A band on the screen: `top` from the first one's top, in pixels. */
type Row = { readonly buffer: number; readonly top: number; readonly height: number; readonly holds: readonly Hold[] };

export function memoryView(s: Store): readonly HTMLElement[] {
  const stage = h("div.stage");
  const panel = h("aside", { "aria-label": "What makes up the memory" });
  const tip = h("div.tip");
  document.body.appendChild(tip);
  let top = 0;
  let lit: number | null = null;
  let made: { model: unknown; height: number; rows: readonly Row[]; points: readonly Point[] } | undefined;

  const left = (): number => (picture.size().width < 620 ? 84 : 148);
  const range = (): Range => s.get().range;
  const layout = (): { readonly rows: readonly Row[]; readonly points: readonly Point[] } => {
    const { model } = s.get();
    const { height } = picture.size();
    if (made && made.model === model && made.height === height) return made;
    const room = Math.max(120, height - RULER - CHART - 12);
    const bySlot = new Map<number, Hold[]>();
    for (const hold of model.played.holds) {
      const list = bySlot.get(hold.slot);
      if (list) list.push(hold);
      else bySlot.set(hold.slot, [hold]);
    }
    let y = 0;
    const rows = bands(model.schedule).map(({ buffer, height: bytes }): Row => {
      const holds = (bySlot.get(buffer) ?? []).toSorted((a, b) => a.from - b.from);
      const row = { buffer, top: y, height: Math.max(LEAST, (bytes / model.schedule.memory.bytes) * room), holds };
      y += row.height;
      return row;
    });
    made = { model, height, rows, points: inUse(model.schedule, model.played.holds) };
    return made;
  };
  const picture = surface(stage, "Memory over time", (ctx, width, height) => {
    const { rows, points } = layout();
    const { model } = s.get();
    const t = theme();
    const [x0, inner] = [left(), width - left()];
    const x = (time: number): number => x0 + ((time - range().from) / (range().to - range().from)) * inner;
    ctx.fillStyle = t.paper;
    ctx.fillRect(0, 0, width, height);
    drawRuler(ctx, { range: range(), left: x0, width: inner, height, top: RULER }, "grid");

    const base = RULER + CHART;
    ctx.save();
    ctx.beginPath();
    ctx.rect(x0, base, inner, height - base);
    ctx.clip();
    ctx.textBaseline = "middle";
    for (const row of rows) {
      const y = base + 10 + row.top - top;
      if (y > height || y + row.height < base) continue;
      const { role } = model.schedule.buffers[row.buffer]!;
      eachVisible(
        row.holds.map((hold) => ({ ...hold, start: hold.from, end: hold.to })),
        range(),
        inner,
        (hold, dx, w) => {
          ctx.globalAlpha = lit !== null && lit !== row.buffer ? 0.45 : 1;
          ctx.fillStyle = roleColor(role);
          ctx.fillRect(x0 + dx, y, Math.max(1, w - 1), row.height - 1);
          ctx.fillStyle = kernelInk();
          ctx.font = FONT;
          const from = Math.max(x0, x0 + dx);
          if (row.height >= 12)
            fitText(
              ctx,
              model.schedule.values[hold.value]!.name,
              from + 5,
              y + row.height / 2,
              w - 8 - (from - x0 - dx),
            );
        },
      );
    }
    ctx.globalAlpha = 1;
    ctx.restore();

    // Bytes in use, under the line of what is allocated.
    ctx.fillStyle = t.paper;
    ctx.fillRect(0, 0, width, base);
    drawRuler(ctx, { range: range(), left: x0, width: inner, height: base, top: RULER }, "grid");
    const peak = model.schedule.memory.bytes;
    const level = (bytes: number): number => base - (bytes / peak) * (CHART - 22);
    ctx.save();
    ctx.beginPath();
    ctx.rect(x0, RULER, inner, CHART);
    ctx.clip();
    ctx.beginPath();
    ctx.moveTo(x(points[0]?.time ?? 0), base);
    points.forEach(({ time, bytes }, i) => {
      ctx.lineTo(x(time), level(points[i - 1]?.bytes ?? 0));
      ctx.lineTo(x(time), level(bytes));
    });
    ctx.lineTo(x(model.played.end), base);
    ctx.fillStyle = roleColor("temp");
    ctx.globalAlpha = 0.5;
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.restore();
    ctx.strokeStyle = t.accent;
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(x0, Math.round(level(peak)) + 0.5);
    ctx.lineTo(width, Math.round(level(peak)) + 0.5);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = SMALL;
    ctx.textAlign = "right";
    ctx.fillStyle = t.soft;
    ctx.fillText(`allocated ${bytesText(peak)}`, x0 - 10, level(peak));
    ctx.fillText("in use", x0 - 10, base - 12);
    ctx.fillStyle = t.line;
    ctx.fillRect(0, base, width, 1);

    ctx.save();
    ctx.beginPath();
    ctx.rect(0, base, x0, height - base);
    ctx.clip();
    ctx.fillStyle = t.soft;
    ctx.textBaseline = "middle";
    for (const row of rows) {
      const y = base + 10 + row.top - top;
      if (y + row.height < base || y > height) continue;
      ctx.fillStyle = lit === row.buffer ? t.ink : t.soft;
      const name = model.schedule.buffers[row.buffer]!.name;
      ctx.fillText(name.length > 20 ? `${name.slice(0, 19)}…` : name, x0 - 10, y + Math.min(row.height / 2, 12));
    }
    ctx.restore();
    ctx.textAlign = "left";
    ctx.fillStyle = t.line;
    ctx.fillRect(x0 - 1, RULER, 1, height);
    drawRuler(ctx, { range: range(), left: x0, width: inner, height, top: RULER }, "labels");
  });

  gestures(picture.canvas, {
    left,
    zoom(factor, at) {
      const r = range();
      const time = r.from + (at / (picture.size().width - left())) * (r.to - r.from);
      s.set({ range: zoom(r, factor, time, wholeRange(s.get().model)) });
    },
    pan(dx, dy) {
      const r = range();
      const by = (-dx / (picture.size().width - left())) * (r.to - r.from);
      const { rows } = layout();
      const full = (rows.at(-1)?.top ?? 0) + (rows.at(-1)?.height ?? 0) + 24 - (picture.size().height - RULER - CHART);
      top = Math.max(0, Math.min(top - dy, full));
      if (dx !== 0) s.set({ range: pan(r, by, wholeRange(s.get().model)) });
      else picture.paint();
    },
    hover(x, y, pageX, pageY) {
      const { model } = s.get();
      const inside = y === undefined ? -1 : y - RULER - CHART - 10 + top;
      const row = inside < 0 ? undefined : layout().rows.find((r) => inside >= r.top && inside < r.top + r.height);
      const r = range();
      const time = x === undefined ? 0 : r.from + ((x - left()) / (picture.size().width - left())) * (r.to - r.from);
      const hold = row?.holds.find((o) => time >= o.from && time <= o.to);
      if ((row?.buffer ?? null) !== lit) picture.paint();
      lit = row?.buffer ?? null;
      tip.style.visibility = row ? "visible" : "hidden";
      if (!row) return;
      const b = model.schedule.buffers[row.buffer]!;
      fill(
        tip,
        h("b", {}, hold ? model.schedule.values[hold.value]!.name : `${b.name}, free`),
        h(
          "dl",
          {},
          [
            ["buffer", `${b.name}, ${bytesText(b.bytes)}, ${b.role}`],
            ...(hold ? [["held", `from ${timeText(hold.from)} to ${timeText(hold.to)}`]] : []),
          ].map(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]),
        ),
      );
      tip.style.left = `${Math.min(pageX + 14, innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(pageY + 18, innerHeight - tip.offsetHeight - 8)}px`;
    },
    click: () => undefined,
    double: () => s.set({ range: wholeRange(s.get().model) }),
  });
  const showPanel = (): void => fill(panel, parts(s));
  showPanel();
  s.listen((now, before) => {
    if (now.tab !== "Memory") return;
    if (before.tab !== "Memory") showPanel();
    picture.paint();
  });
  return [h("div.column", {}, stage), panel];
}

/** Inputs and outputs are the caller's; the rest is the program's own. */
function roleColor(role: "input" | "output" | "temp"): string {
  const { dark } = theme();
  const hue = { input: 214, output: 168, temp: 36 }[role];
  return dark ? `hsl(${hue} 32% 42%)` : `hsl(${hue} 50% ${role === "temp" ? 78 : 72}%)`;
}

function parts(s: Store): readonly HTMLElement[] {
  const { schedule } = s.get().model;
  const total = (role: string): number =>
    schedule.buffers.filter((b) => b.role === role).reduce((n, b) => n + b.bytes, 0);
  const roles = [
    ["input", "inputs"],
    ["output", "results"],
    ["temp", "the program's own"],
  ] as const;
  const names = (values: readonly number[]): string => {
    const all = [...new Set(values.map((v) => schedule.values[v]!.name))];
    return all.slice(0, 6).join(", ") + (all.length > 6 ? ` and ${all.length - 6} more` : "");
  };
  return [
    h("h2", {}, `${bytesText(schedule.memory.bytes)} on each device`),
    h("p", {}, "Buffers are allocated for the whole run; what they hold changes. The largest is at the top."),
    ...roles.map(([role, name]) =>
      h(
        "div.key",
        {},
        h("span.swatch", { style: `background:${roleColor(role)}` }),
        h("span.name", {}, name),
        h("span.num.soft", {}, bytesText(total(role))),
      ),
    ),
    h("h3", {}, "What makes it up"),
    h(
      "table",
      {},
      schedule.memory.parts
        .slice(0, 40)
        .map((p) => h("tr", {}, h("td.n", {}, bytesText(p.bytes)), h("td", {}, names(p.holds)))),
    ),
    schedule.memory.parts.length > 40 ? h("p", {}, `and ${schedule.memory.parts.length - 40} smaller ones`) : h("span"),
  ];
}
