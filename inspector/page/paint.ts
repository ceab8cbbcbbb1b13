/** Colours of the theme for canvases, and small things that all pictures draw alike. */

export type Theme = {
  readonly dark: boolean;
  readonly paper: string;
  readonly panel: string;
  readonly line: string;
  readonly ink: string;
  readonly soft: string;
  readonly faint: string;
  readonly accent: string;
  readonly transfer: string;
  readonly transferInk: string;
  readonly wait: string;
};

export const FONT = '11px ui-sans-serif, system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
export const SMALL = FONT.replace("11px", "10px");

let known: Theme | undefined;
/** The colours at hand; asked anew after {@link forgetTheme}. */
export function theme(): Theme {
  if (known) return known;
  const style = getComputedStyle(document.documentElement);
  const color = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  known = {
    dark: color("dark") === "1",
    paper: color("paper"),
    panel: color("panel"),
    line: color("line"),
    ink: color("ink"),
    soft: color("soft"),
    faint: color("faint"),
    accent: color("accent"),
    transfer: color("transfer"),
    transferInk: color("transfer-ink"),
    wait: color("wait"),
  };
  return known;
}
export const forgetTheme = (): void => {
  known = undefined;
};

const HUES = [214, 168, 262, 196, 322, 238, 140, 290, 185, 350];
/** A kernel's colour. Those that do least work are the first in no order: the hue is by number. */
export const kernelColor = (kernel: number, strong = true): string => {
  const hue = HUES[kernel % HUES.length]!;
  const { dark } = theme();
  if (dark) return strong ? `hsl(${hue} 36% 44%)` : `hsl(${hue} 30% 34%)`;
  return strong ? `hsl(${hue} 52% 68%)` : `hsl(${hue} 46% 82%)`;
};
export const kernelInk = (): string => (theme().dark ? "#fff" : "#16202c");

/** The colour of a device: a way round from blue over green to red, which neighbours share in part. */
export function deviceColor(device: number, devices: number): string {
  const { dark } = theme();
  const t = devices <= 1 ? 0 : device / (devices - 1);
  const hue = 215 + 285 * t;
  const step = devices <= 12 && device % 2 === 1 ? 5 : 0;
  return dark ? `hsl(${hue} 38% ${45 + step}%)` : `hsl(${hue} 50% ${66 + step}%)`;
}

/** What draws: on the screen, or on a picture that is copied there. */
export type Pen = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

/** As much of a text as fits; nothing where that is next to nothing. */
export function fitText(ctx: Pen, text: string, x: number, y: number, width: number): void {
  const fits = Math.floor(width / 6);
  if (fits < 2) return;
  const full = ctx.measureText(text).width <= width;
  if (!full && fits < 4) return;
  ctx.fillText(full ? text : `${text.slice(0, Math.max(1, fits - 1))}…`, x, y);
}
