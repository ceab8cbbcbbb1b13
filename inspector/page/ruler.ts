/** The ruler over pictures that run in time. */
import { timeText } from "../model/format.ts";
import { type Range, ticks } from "../model/view.ts";
import { SMALL, theme } from "./paint.ts";

/** Height of the strip with the times. */
export const RULER = 26;

type Place = {
  readonly range: Range;
  readonly left: number;
  readonly width: number;
  readonly height: number;
  readonly top: number;
};

/** The lines behind the bars, or the times above them. */
export function drawRuler(ctx: CanvasRenderingContext2D, p: Place, what: "grid" | "labels"): void {
  const t = theme();
  ctx.font = SMALL;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  for (const time of ticks(p.range, p.width)) {
    const x = Math.round(p.left + ((time - p.range.from) / (p.range.to - p.range.from)) * p.width) + 0.5;
    if (x < p.left) continue;
    ctx.fillStyle = t.line;
    if (what === "grid") {
      ctx.globalAlpha = 0.6;
      ctx.fillRect(x - 0.5, p.top, 1, p.height - p.top);
      ctx.globalAlpha = 1;
    } else {
      ctx.fillRect(x - 0.5, p.top - 7, 1, 7);
      ctx.fillStyle = t.soft;
      if (x + 44 < p.left + p.width) ctx.fillText(time === 0 ? "0" : timeText(time), x + 5, p.top / 2 + 1);
    }
  }
  if (what === "grid") return;
  ctx.fillStyle = t.line;
  ctx.fillRect(0, p.top - 1, p.left + p.width, 1);
}
