/** Mouse, wheel and touch on a picture that runs in time: drag to move, wheel to scroll, ctrl+wheel or pinch to zoom. */

export type Gestures = {
  /** Where time begins, in pixels from the left. */
  readonly left: () => number;
  /** `x`: pixels from where time begins. */
  readonly zoom: (factor: number, x: number) => void;
  readonly pan: (dx: number, dy: number) => void;
  /** Without a point: the pointer is gone. */
  readonly hover: (x: number | undefined, y: number | undefined, pageX: number, pageY: number) => void;
  readonly click: (x: number, y: number) => void;
  readonly double?: (x: number, y: number) => void;
};

export function gestures(canvas: HTMLCanvasElement, g: Gestures): void {
  const down = new Map<number, { x: number; y: number }>();
  let moved = 0;
  const point = (event: MouseEvent): { x: number; y: number } => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, point(event));
    if (down.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = point(event);
    const before = down.get(event.pointerId);
    if (!before) return g.hover(now.x, now.y, event.clientX, event.clientY);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    moved += Math.abs(dx) + Math.abs(dy);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = (p: { x: number }): number => Math.max(8, Math.abs(p.x - other.x));
      g.zoom(distance(before) / distance(now), (now.x + other.x) / 2 - g.left());
    } else if (moved > 3) {
      g.hover(undefined, undefined, 0, 0);
      g.pan(dx, dy);
      canvas.style.cursor = "grabbing";
    }
    down.set(event.pointerId, now);
    return undefined;
  });
  const up = (event: PointerEvent): void => {
    if (down.delete(event.pointerId) && moved <= 3 && event.type === "pointerup") {
      const { x, y } = point(event);
      g.click(x, y);
    }
    canvas.style.cursor = "";
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => g.hover(undefined, undefined, 0, 0));
  canvas.addEventListener("dblclick", (event) => {
    const { x, y } = point(event);
    g.double?.(x, y);
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : 1;
      const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
      if (event.ctrlKey || event.metaKey)
        g.zoom(Math.exp(Math.max(-1, Math.min(1, dy * 0.004))), point(event).x - g.left());
      else if (event.shiftKey) g.pan(-(dx || dy), 0);
      else g.pan(-dx, -dy);
    },
    { passive: false },
  );
}
