/** The mesh, and which of its devices holds which part of each input and result. */
import type { Mesh, Port } from "../../compiler/schedule/schedule.ts";
import { bytesText } from "../model/format.ts";
import { along, coordinates, deviceName } from "../model/mesh.ts";
import type { Model } from "../model/model.ts";
import { pictureOf, rangeText, type Side, stretches } from "../model/sharding.ts";
import { fill, h } from "./dom.ts";
import { deviceColor, FONT, kernelInk, theme } from "./paint.ts";
import type { Store } from "./state.ts";

export function shardingView(s: Store): HTMLElement {
  const scroll = h("div.scroll");
  let redraw: readonly (() => void)[] = [];
  const build = (): void => {
    const { model } = s.get();
    const mesh = meshCard(s, model);
    const ports = [
      ...model.schedule.inputs.map((p) => portCard(s, model, p, "input")),
      ...model.schedule.outputs.map((p) => portCard(s, model, p, "result")),
    ];
    redraw = [mesh, ...ports].map((c) => c.draw);
    fill(
      scroll,
      h(
        "div.cards",
        {},
        [mesh, ...ports].map((c) => c.element),
      ),
    );
    for (const draw of redraw) draw();
  };
  new ResizeObserver(() => {
    for (const draw of redraw) draw();
  }).observe(scroll);
  s.listen((now, before) => {
    if (now.tab !== "Sharding") return;
    if (before.tab !== "Sharding" && redraw.length === 0) build();
    else for (const draw of redraw) draw();
  });
  return scroll;
}

type Card = { readonly element: HTMLElement; readonly draw: () => void };

/** A canvas of fixed height that draws itself at the width that it has. */
function sketch(height: number, label: string, draw: (ctx: CanvasRenderingContext2D, width: number) => void) {
  const canvas = h("canvas", { role: "img", "aria-label": label, style: `height:${height}px` }) as HTMLCanvasElement;
  return {
    canvas,
    draw(): void {
      const width = canvas.clientWidth;
      if (width === 0) return;
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
      const ctx = canvas.getContext("2d")!;
      ctx.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      ctx.clearRect(0, 0, width, height);
      draw(ctx, width);
    },
  };
}

/** Devices as a grid: the last axis of more than one device runs across. */
function meshCard(s: Store, m: Model): Card {
  const { mesh } = m.schedule;
  const axes = mesh.axes.filter((a) => a.size > 1);
  const across = axes.at(-1)?.size ?? 1;
  const columns = across > 64 ? columnsFor(m.devices) : across;
  const rows = Math.ceil(m.devices / columns);
  const height = Math.min(260, Math.max(46, rows * (rows > 12 ? 12 : 34)));
  const caption = h("p", {});
  const cell = (width: number): { w: number; h: number } => ({ w: Math.min(120, width / columns), h: height / rows });
  const picture = sketch(height, "The mesh", (ctx, width) => {
    const { device } = s.get();
    const { w, h: hh } = cell(width);
    const gap = w > 10 && hh > 10 ? 2 : w > 4 ? 1 : 0;
    for (let d = 0; d < m.devices; d++) {
      const [x, y] = [(d % columns) * w, Math.floor(d / columns) * hh];
      ctx.fillStyle = deviceColor(d, m.devices);
      ctx.fillRect(x, y, w - gap, hh - gap);
      if (w > 22 && hh > 14) {
        ctx.fillStyle = kernelInk();
        ctx.font = FONT;
        ctx.textAlign = "center";
        ctx.textBaseline = "middle";
        ctx.fillText(
          coordinates(mesh, d)
            .filter((_, i) => mesh.axes[i]!.size > 1)
            .join(", ") || "0",
          x + (w - gap) / 2,
          y + (hh - gap) / 2 + 0.5,
        );
      }
      if (d === device) frame(ctx, x, y, w - gap, hh - gap);
    }
    fill(caption, `Device ${device}: ${deviceName(mesh, device)}. Click one to see what it holds.`);
  });
  picture.canvas.style.cursor = "pointer";
  picture.canvas.addEventListener("click", (e) => {
    const { w, h: hh } = cell(picture.canvas.clientWidth);
    const column = Math.floor(e.offsetX / w);
    const device = Math.floor(e.offsetY / hh) * columns + column;
    if (column < columns && device < m.devices) s.set({ device });
  });
  const text = `${mesh.name}(${mesh.axes.map((a) => `${a.name}: ${a.size}`).join(", ")})`;
  const element = h(
    "section.card.wide",
    {},
    h("h2", {}, "Mesh", h("small", {}, text)),
    h("div.pic", {}, picture.canvas),
    caption,
  );
  return { element, draw: picture.draw };
}

/** Of the numbers that divide `devices` the one that makes the grid about four times as wide as high. */
function columnsFor(devices: number): number {
  const wanted = Math.sqrt(devices * 4);
  let best = Math.ceil(wanted);
  for (let n = Math.floor(wanted / 2); n <= 2 * wanted; n++)
    if (devices % n === 0 && (devices % best !== 0 || Math.abs(n - wanted) < Math.abs(best - wanted))) best = n;
  return best;
}

function frame(ctx: CanvasRenderingContext2D, x: number, y: number, w: number, h: number): void {
  ctx.strokeStyle = theme().ink;
  ctx.lineWidth = 2;
  ctx.strokeRect(x + 1, y + 1, Math.max(1, w - 2), Math.max(1, h - 2));
  ctx.lineWidth = 1;
}

function portCard(s: Store, m: Model, port: Port, role: string): Card {
  const { mesh } = m.schedule;
  const p = pictureOf(port, mesh);
  const down = p.down;
  const height = down ? 132 : 54;
  const caption = h("p", {});
  const colorAt = colors(mesh, m.devices, p.across, down);
  const picture = sketch(height, `Who holds ${port.path || "the result"}`, (ctx, width) => {
    const { device } = s.get();
    const columns = p.across ? stretches(p.across, Math.floor(width / 3)) : [{ from: 0, to: 1, place: 0 }];
    const rows = down ? stretches(down, Math.floor(height / 3)) : [{ from: 0, to: 1, place: 0 }];
    const mine = (side: Side | undefined, place: number): boolean =>
      !side || side.parts <= 1 || along(mesh, side.entry.axes, device).d === place;
    for (const row of rows)
      for (const column of columns) {
        const on = mine(down, row.place) && mine(p.across, column.place);
        const [x, y] = [column.from * width, row.from * height];
        const [w, hh] = [(column.to - column.from) * width, (row.to - row.from) * height];
        ctx.globalAlpha = on ? 1 : 0.38;
        ctx.fillStyle = colorAt(row.place, column.place);
        ctx.fillRect(x, y, Math.max(0.5, w - (w > 6 ? 1 : 0)), Math.max(0.5, hh - (hh > 6 ? 1 : 0)));
        ctx.globalAlpha = 1;
        if (on && w < 4 && !down && (p.across?.parts ?? 1) > 1) {
          ctx.fillStyle = theme().ink;
          ctx.fillRect(Math.min(x, width - 2), 0, 2, height);
        }
        if (w > 26 && hh > 16 && (p.across?.parts ?? 1) * (down?.parts ?? 1) > 1) {
          ctx.fillStyle = on ? kernelInk() : theme().soft;
          ctx.font = FONT;
          ctx.textAlign = "center";
          ctx.textBaseline = "middle";
          ctx.fillText(down ? `${row.place}, ${column.place}` : String(column.place), x + w / 2, y + hh / 2);
        }
      }
    const parts = [down, p.across].flatMap((side) =>
      side && side.parts > 1 ? [`${rangeText(side, along(mesh, side.entry.axes, device).d)} of ${side.written}`] : [],
    );
    const copies = p.copies.length > 0 ? ` The same on all devices along ${p.copies.join(", ")}.` : "";
    const rest = p.hidden > 0 ? ` Split in ${p.hidden} more dimensions that are not drawn.` : "";
    const held =
      parts.length > 0
        ? `${deviceName(mesh, device)} holds ${parts.join(", ")}.${copies}`
        : "Every device holds all of it.";
    fill(caption, held, rest);
  });
  const value = m.schedule.values[port.value]!;
  const spec = port.spec.map((e) => {
    const names = e.axes.length === 0 ? "_" : e.axes.length === 1 ? e.axes[0]! : `(${e.axes.join(", ")})`;
    return e.layout === "contiguous" || e.axes.length === 0 ? names : `${e.layout}(${e.axes.join(", ")})`;
  });
  const element = h(
    "section.card",
    {},
    h("h2", {}, port.path || "result", h("small", {}, `${role}, ${port.dtype}[${port.shape.join(", ")}]`)),
    h("div.pic", {}, picture.canvas),
    h("p.spec", {}, h("code", {}, `P(${spec.join(", ")})`), h("span", {}, `${bytesText(value.bytes)} each`)),
    caption,
  );
  return { element, draw: picture.draw };
}

/** The colour of the first device that is at these places. */
function colors(mesh: Mesh, devices: number, across: Side | undefined, down: Side | undefined) {
  const found = new Map<string, string>();
  for (let d = devices - 1; d >= 0; d--) {
    const at = (side: Side | undefined): number => (side ? along(mesh, side.entry.axes, d).d : 0);
    found.set(`${at(down)} ${at(across)}`, deviceColor(d, devices));
  }
  return (row: number, column: number): string => found.get(`${row} ${column}`) ?? theme().faint;
}
