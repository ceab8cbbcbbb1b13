/** Which blocks of a kernel's loop are skipped, masked and full: a small picture for each device and step of the ring. */

import type { Mask } from "../data.ts";
import { percentText, plural } from "../model/format.ts";
import { blocksOf, type MaskReader, maskReader, type Work, workOf } from "../model/masks.ts";
import { deviceName } from "../model/mesh.ts";
import { fill, h, surface } from "./dom.ts";
import { FONT, SMALL, theme } from "./paint.ts";
import type { Store } from "./state.ts";

const colorsOf = (): readonly [string, string, string] => {
  const { dark } = theme();
  return dark ? ["#262c33", "#a3792f", "#4d7fb8"] : ["#eceef0", "#efc277", "#7fa8d9"];
};
const NAMES = ["skipped", "with its mask", "in full"] as const;
const TOP = 34;

export function masksView(s: Store): readonly HTMLElement[] {
  const { data, schedule, devices, listed } = s.get().model;
  const panel = h("aside", { "aria-label": "Masks" });
  const stage = h("div.stage");
  if (data.masks.length === 0) {
    const none = h("div.wait", {}, "No kernel of this program has a mask of which something is known on whole blocks.");
    return [h("div.column", {}, none)];
  }
  let chosen = 0;
  let hover: { device: number; step: number } | null = null;
  let counted:
    | { readonly chosen: number; readonly sums: readonly (readonly [number, number, number])[]; readonly slow: number }
    | undefined;
  let overview: { readonly key: string; readonly picture: OffscreenCanvas } | undefined;
  const readers = data.masks.map((mask) => maskReader(mask, schedule.mesh));
  const stepsIn = (mask: Mask): number => {
    const loop = listed.find((l) => l.step.kind === "loop" && l.step.id === mask.loop)?.step;
    return loop?.kind === "loop" ? loop.count : 1;
  };
  const gutter = 104;
  const cells = (width: number, height: number) => {
    const steps = stepsIn(data.masks[chosen]!);
    const size = Math.min(172, (width - gutter - 16) / steps, Math.max(9, (height - TOP - 16) / devices));
    const w = Math.min((width - gutter - 16) / steps, Math.max(size, 1));
    const hh = Math.min(Math.max(size, 1), (height - TOP - 16) / devices);
    return {
      w: devices * 9 > height ? (width - gutter - 16) / steps : w,
      h: devices * 9 > height ? (height - TOP - 16) / devices : hh,
      steps,
    };
  };
  const picture = surface(stage, "Blocks that are skipped, masked and full", (ctx, width, height) => {
    const t = theme();
    const [mask, reader] = [data.masks[chosen]!, readers[chosen]!];
    const { w, h: hh, steps } = cells(width, height);
    ctx.fillStyle = t.paper;
    ctx.fillRect(0, 0, width, height);
    const colors = colorsOf();
    if (w < 6 || hh < 6) {
      const key = `${chosen} ${t.dark}`;
      if (overview?.key !== key) overview = { key, picture: overviewOf(reader, devices, steps) };
      ctx.imageSmoothingEnabled = false;
      ctx.drawImage(overview.picture, gutter, TOP, width - gutter - 16, height - TOP - 16);
    } else
      for (let device = 0; device < devices; device++)
        for (let step = 0; step < steps; step++)
          drawCell(ctx, reader, colors, device, step, {
            x: gutter + step * w,
            y: TOP + device * hh,
            w: w - 3,
            h: hh - 3,
          });
    drawAxes(ctx, s, { w, h: hh, steps, height, gutter, mask });
    if (hover && w >= 6) {
      ctx.strokeStyle = t.ink;
      ctx.strokeRect(gutter + hover.step * w - 1, TOP + hover.device * hh - 1, w - 1, hh - 1);
    }
  });
  const showPanel = (): void => {
    const [mask, reader] = [data.masks[chosen]!, readers[chosen]!];
    const steps = stepsIn(mask);
    const blocks = blocksOf(mask.rows) * blocksOf(mask.columns);
    const many = devices * steps * blocks > 1e6;
    // Of very many blocks several count as one, which is masked where they differ.
    const most = many ? Math.max(1, Math.floor(Math.sqrt(1e6 / (devices * steps)))) : undefined;
    if (counted?.chosen !== chosen) {
      const made = Array.from({ length: devices }, (_, d) => workOf(reader, d, steps, most));
      counted = { chosen, sums: made, slow: slowest(reader, devices, steps, most) };
    }
    const { sums, slow } = counted;
    const done = sums.map(([, a, b]) => a + b);
    const mean = done.reduce((n, x) => n + x, 0) / Math.max(1, done.length);
    const here = hover && !many ? reader.blocks(hover.device, hover.step) : null;
    const colors = colorsOf();
    const count = (kind: Work): string => {
      if (here) return `${here.work.reduce((n, x) => n + (x === kind ? 1 : 0), 0)} of ${blocks}`;
      const all = sums.reduce((n, x) => n + x[0] + x[1] + x[2], 0);
      const share = percentText(
        sums.reduce((n, x) => n + x[kind], 0),
        all,
      );
      return many ? `about ${share}` : share;
    };
    fill(
      panel,
      h("h2", {}, schedule.kernels[mask.kernel]!.name),
      h(
        "p",
        {},
        `${plural(blocksOf(mask.rows), "block")} of ${mask.rows.block} ${mask.rows.name} down, ${plural(blocksOf(mask.columns), "block")} of ${mask.columns.block} ${mask.columns.name} across`,
      ),
      data.masks.length > 1
        ? h(
            "div.bar",
            { style: "padding:0 0 10px;border:0" },
            h(
              "select",
              {
                "aria-label": "Kernel",
                onchange: (e: Event) => {
                  chosen = (e.target as HTMLSelectElement).selectedIndex;
                  hover = null;
                  showPanel();
                  picture.paint();
                },
              },
              data.masks.map((o, i) => h("option", { selected: i === chosen }, schedule.kernels[o.kernel]!.name)),
            ),
          )
        : null,
      h(
        "h3",
        {},
        here && hover ? `${deviceName(schedule.mesh, hover.device)}, step ${hover.step}` : "All devices and steps",
      ),
      ([2, 1, 0] as const).map((kind) =>
        h(
          "div.key",
          {},
          h("span.swatch", { style: `background:${colors[kind]}` }),
          h("span.name", {}, NAMES[kind]),
          h("span.num.soft", {}, count(kind)),
        ),
      ),
      done.length > 1
        ? [
            h("h3", {}, "Balance"),
            h(
              "p",
              {},
              `The busiest device does ${Number((Math.max(...done) / Math.max(1, mean)).toFixed(2))} times the mean over all steps, and ${slow} times if every step waits for the slowest.`,
            ),
          ]
        : null,
      h("h3", {}, "What the compiler found"),
      mask.notes.map((note) => h("p", {}, h("code", { style: "white-space:normal;overflow-wrap:anywhere" }, note))),
    );
  };
  picture.canvas.addEventListener("pointermove", (e) => {
    const { width, height } = picture.size();
    const { w, h: hh, steps } = cells(width, height);
    const [step, device] = [Math.floor((e.offsetX - gutter) / w), Math.floor((e.offsetY - TOP) / hh)];
    const inside = step >= 0 && step < steps && device >= 0 && device < devices;
    const next = inside ? { device, step } : null;
    if (JSON.stringify(next) === JSON.stringify(hover)) return;
    hover = next;
    showPanel();
    if (w >= 6) picture.paint();
  });
  picture.canvas.addEventListener("pointerleave", () => {
    hover = null;
    showPanel();
    picture.paint();
  });
  let shown = false;
  s.listen((now) => {
    if (now.tab !== "Masks") return;
    if (!shown) showPanel();
    shown = true;
    picture.paint();
  });
  return [h("div.column", {}, stage), panel];
}

/** The sum over the steps of what the busiest device does, over the sum of the means. */
function slowest(reader: MaskReader, devices: number, steps: number, most: number | undefined): number {
  let [busiest, all] = [0, 0];
  for (let step = 0; step < steps; step++) {
    let largest = 0;
    for (let d = 0; d < devices; d++) {
      const done = reader.blocks(d, step, most).work.reduce((n, x) => n + (x > 0 ? 1 : 0), 0);
      largest = Math.max(largest, done);
      all += done / devices;
    }
    busiest += largest;
  }
  return Number((busiest / Math.max(1e-9, all)).toFixed(2));
}

type Box = { readonly x: number; readonly y: number; readonly w: number; readonly h: number };

function drawCell(
  ctx: CanvasRenderingContext2D,
  reader: MaskReader,
  colors: readonly [string, string, string],
  device: number,
  step: number,
  box: Box,
): void {
  const { rows, columns, work } = reader.blocks(device, step, Math.max(1, Math.floor(Math.min(box.w, box.h) / 2)));
  const [w, h] = [box.w / columns, box.h / rows];
  // Without a gap they overlap a little, so that no seams show.
  const gap = w > 5 && h > 5 ? 1 : -0.7;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      ctx.fillStyle = colors[work[r * columns + c] as Work];
      ctx.fillRect(box.x + c * w, box.y + r * h, Math.min(w - gap, box.w - c * w), Math.min(h - gap, box.h - r * h));
    }
}

/** Too many for a picture each: one pixel for each, or for the first of several. */
function overviewOf(reader: MaskReader, devices: number, steps: number): OffscreenCanvas {
  const [w, h] = [Math.min(steps, 1024), Math.min(devices, 1024)];
  const image = new ImageData(w, h);
  const pixels = new Uint32Array(image.data.buffer);
  const hex = (c: string, i: number): number => Number.parseInt(c.slice(i, i + 2), 16);
  const colors = colorsOf().map((c) => ((255 << 24) | (hex(c, 5) << 16) | (hex(c, 3) << 8) | hex(c, 1)) >>> 0);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++)
      pixels[y * w + x] = colors[reader.whole(Math.floor((y * devices) / h), Math.floor((x * steps) / w))]!;
  const canvas = new OffscreenCanvas(w, h);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas;
}

function drawAxes(
  ctx: CanvasRenderingContext2D,
  s: Store,
  a: {
    readonly w: number;
    readonly h: number;
    readonly steps: number;
    readonly height: number;
    readonly gutter: number;
    readonly mask: Mask;
  },
): void {
  const { schedule, devices } = s.get().model;
  const t = theme();
  ctx.font = FONT;
  ctx.fillStyle = t.soft;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  const every = 2 ** Math.ceil(Math.log2(Math.max(1, 16 / a.h)));
  for (let d = 0; d < devices; d += every)
    ctx.fillText(deviceName(schedule.mesh, d), a.gutter - 10, TOP + (d + (every > 1 ? 0 : 0.5)) * a.h);
  ctx.textAlign = "center";
  const each = 2 ** Math.ceil(Math.log2(Math.max(1, (a.steps > 99 ? 40 : 24) / a.w)));
  for (let step = 0; step < a.steps; step += each)
    ctx.fillText(String(step), a.gutter + (step + (each > 1 ? 0 : 0.5)) * a.w, TOP - 12);
  ctx.textAlign = "right";
  ctx.font = SMALL;
  ctx.fillStyle = t.faint;
  if (a.steps > 1) ctx.fillText("step", a.gutter - 10, TOP - 12);
  ctx.textAlign = "left";
}
