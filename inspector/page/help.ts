/** The keys, in a dialog. */
import { h } from "./dom.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["← → ↑ ↓", "move in time, and over the devices"],
  ["+  −", "zoom around the middle; ctrl + wheel or pinch around the pointer"],
  ["Home", "show all"],
  ["n  p", "next and previous step of the selected lane"],
  ["c", "mark the critical path"],
  ["1 … 5", "Timeline, Code, Memory, Sharding, Masks"],
  ["Enter", "from the selected step to its code"],
  ["t", "light or dark"],
  ["Esc", "select nothing"],
  ["?", "this help"],
];

export function helpDialog(): HTMLDialogElement {
  const dialog = h(
    "dialog",
    { "aria-label": "Help" },
    h("h2", {}, "Keys"),
    h(
      "table",
      {},
      KEYS.map(([keys, what]) =>
        h(
          "tr",
          {},
          h(
            "td",
            {},
            keys.split("  ").map((k, i) => [i > 0 ? " " : "", h("kbd", {}, k)]),
          ),
          h("td.soft", {}, what),
        ),
      ),
    ),
    h("h3", {}, "Mouse"),
    h(
      "p.soft",
      {},
      "Drag moves, the wheel scrolls, a double click zooms to a step. A click on a step selects it: what it waited for, its transfer's other end, and what waited for it are outlined, also on other devices. A click on a device's name chooses the device for the sharding pictures.",
    ),
  ) as HTMLDialogElement;
  dialog.addEventListener("click", (e) => {
    if (e.target === dialog) dialog.close();
  });
  document.body.appendChild(dialog);
  return dialog;
}
