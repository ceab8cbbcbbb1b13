/** The small panel beside the pointer: what the step under it is. */
import type { Selection } from "../model/model.ts";
import { fill, h } from "./dom.ts";
import { factsOf } from "./facts.ts";
import type { Store } from "./state.ts";

export type Tip = { readonly show: (at: Selection | null, x: number, y: number) => void };

export function tipFor(s: Store): Tip {
  const box = h("div.tip", { role: "tooltip" });
  document.body.appendChild(box);
  let shown = "";
  return {
    show(at, x, y) {
      box.style.visibility = at ? "visible" : "hidden";
      if (!at) return;
      const key = JSON.stringify(at);
      if (key !== shown) {
        shown = key;
        const { title, rows } = factsOf(s.get().model, at);
        fill(
          box,
          h("b", {}, title),
          h(
            "dl",
            {},
            rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
          ),
        );
      }
      const { width, height } = box.getBoundingClientRect();
      box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
      box.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
    },
  };
}
