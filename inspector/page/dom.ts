/** Elements in one line each. */

type Child = Node | string | number | null | undefined | false | readonly Child[];
type Props = { readonly [name: string]: string | number | boolean | undefined | ((event: never) => void) };

/** `h("button.quiet", { onclick, title }, "text")`: a tag with classes, properties and attributes, and what is in it. */
export function h(tag: string, props: Props = {}, ...children: readonly Child[]): HTMLElement {
  const [name = "div", ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key.slice(2), value as (event: Event) => void);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(to: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(to, child);
    else to.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts these in the place of all that an element holds. */
export function fill(element: HTMLElement, ...children: readonly Child[]): void {
  element.replaceChildren();
  append(element, children);
}

/** A canvas as large as its parent, sharp on every screen; `draw` is called before the next frame after `paint()`. */
export type Surface = {
  readonly canvas: HTMLCanvasElement;
  readonly paint: () => void;
  readonly size: () => { readonly width: number; readonly height: number };
};
export function surface(
  parent: HTMLElement,
  label: string,
  draw: (ctx: CanvasRenderingContext2D, width: number, height: number) => void,
): Surface {
  const canvas = h("canvas", { tabindex: 0, role: "img", "aria-label": label }) as HTMLCanvasElement;
  parent.appendChild(canvas);
  const ctx = canvas.getContext("2d", { alpha: false })!;
  let [width, height, asked] = [0, 0, false];
  const paint = (): void => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      if (width === 0 || height === 0) return;
      const scale = devicePixelRatio;
      const [w, hh] = [Math.round(width * scale), Math.round(height * scale)];
      if (canvas.width !== w || canvas.height !== hh) {
        canvas.width = w;
        canvas.height = hh;
      }
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
      draw(ctx, width, height);
    });
  };
  new ResizeObserver(() => {
    width = parent.clientWidth;
    height = parent.clientHeight;
    paint();
  }).observe(parent);
  return { canvas, paint, size: () => ({ width, height }) };
}
