/** The panel at the right: the selected step, or where nothing is selected, the program. */
import { bytesText, flopsText, percentText, plural, timeText } from "../model/format.ts";
import { deviceName } from "../model/mesh.ts";
import {
  apart,
  type Model,
  measuredSummary,
  onPath,
  placeOf,
  predictedSummary,
  type Related,
  related,
  type Selection,
  spanOf,
} from "../model/model.ts";
import { typeText } from "../model/steps.ts";
import { fill, h } from "./dom.ts";
import { factsOf, stepName } from "./facts.ts";
import { kernelColor, theme } from "./paint.ts";
import { type Store, select } from "./state.ts";

export function detailsView(s: Store): HTMLElement {
  const panel = h("aside", { "aria-label": "Details", "aria-live": "polite" });
  const show = (): void => {
    const { model, selection } = s.get();
    fill(panel, selection ? step(s, model, selection) : overview(s, model));
  };
  show();
  s.listen((now, before) => {
    if (now.selection !== before.selection || now.model !== before.model) show();
  });
  return panel;
}

const list = (rows: readonly (readonly [string, string | HTMLElement])[]): HTMLElement =>
  h(
    "dl",
    {},
    rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );

function step(s: Store, m: Model, at: Selection): readonly (HTMLElement | null)[] {
  const { title, rows } = factsOf(m, at);
  const what = m.listed[at.step]!.step;
  const others = related(m, at);
  const of = (how: Related["how"]): readonly Related[] => others.filter((r) => r.how === how);
  const group = (name: string, all: readonly Related[]): HTMLElement | null =>
    all.length === 0
      ? null
      : h(
          "div",
          {},
          h("h3", {}, name),
          h(
            "ul.links",
            {},
            all.map((r) =>
              h(
                "li",
                {},
                h(
                  "button",
                  { onclick: () => select(s, r.to) },
                  h("span", {}, stepName(m, r.to)),
                  h(
                    "span",
                    {},
                    r.to.device === at.device ? durationOf(m, r.to) : deviceName(m.schedule.mesh, r.to.device),
                  ),
                ),
              ),
            ),
          ),
        );
  const place = placeOf(m, what);
  const source = place && m.data.sources[place[0]];
  const go = (label: string): HTMLElement => h("button", { onclick: () => s.set({ tab: "Code" }) }, label);
  return [
    h("h2", {}, title),
    onPath(m, at) ? h("span.badge", {}, "on the critical path") : null,
    list(rows.filter(([name]) => name !== "waits for")),
    what.kind === "launch" ? operands(m, what) : null,
    group("Waits for", of("needs")),
    group("Other end", of("other end")),
    group("Waited for by", of("needed by")),
    source
      ? h(
          "div",
          {},
          h("h3", {}, `${source.path}, line ${place[1]}`),
          h("div.snippet", {}, excerpt(source.text, place[1], place[2])),
          h("div.buttons", {}, go("Source, Core, Tile, WGSL")),
        )
      : null,
  ];
}

function operands(m: Model, what: Extract<Model["listed"][number]["step"], { kind: "launch" }>): HTMLElement {
  const { bindings } = m.schedule.kernels[what.kernel]!;
  return h(
    "div",
    {},
    h("h3", {}, "Arrays"),
    list(
      what.args.map((a, i) => {
        const v = m.schedule.values[a.value]!;
        return [bindings[i]!.access === "read" ? "reads" : "writes", `${v.name}  ${typeText(v)}`] as const;
      }),
    ),
  );
}

const durationOf = (m: Model, at: Selection): string => {
  const span = spanOf(m, at);
  return span ? timeText(span.end - span.start) : "";
};

/** The lines of a source, at most ten, without what they are all indented by. */
function excerpt(text: string, first: number, last: number): string {
  const lines = text.split("\n").slice(first - 1, Math.min(last, first + 9));
  const indent = Math.min(...lines.filter((l) => l.trim()).map((l) => l.length - l.trimStart().length));
  return lines.map((l) => l.slice(indent)).join("\n") + (last > first + 9 ? "\n…" : "");
}

function overview(s: Store, m: Model): readonly (HTMLElement | null)[] {
  const { schedule: p, data } = m;
  const times = new Map<number, { count: number; time: number }>();
  for (const span of m.played.spans) {
    const what = m.listed[span.step]!.step;
    if (what.kind !== "launch") continue;
    const known = times.get(what.kernel) ?? { count: 0, time: 0 };
    times.set(what.kernel, { count: known.count + 1, time: known.time + span.end - span.start });
  }
  const sent = m.played.spans.reduce((n, span) => {
    const what = m.listed[span.step]!.step;
    return what.kind === "send" ? n + what.bytes : n;
  }, 0);
  const pathTime = { compute: 0, transfer: 0 };
  for (const i of m.forecast ? m.forecastPath : m.path) {
    const span = (m.forecast ?? m.played).spans[i]!;
    pathTime[span.stream === 0 ? "compute" : "transfer"] += span.end - span.start;
  }
  const flops = m.played.spans.reduce((n, span) => {
    const what = m.listed[span.step]!.step;
    return what.kind === "launch" ? n + (p.kernels[what.kernel]!.cost?.flops ?? 0) : n;
  }, 0);
  const [guess, measured] = [predictedSummary(m), measuredSummary(m)];
  const share = (x: typeof guess): string => percentText(x.transfer - x.exposed, x.transfer);
  const hidden = measured ? `${share(guess)} predicted, ${share(measured)} measured` : share(guess);
  const compiled = data.passes.reduce((n, pass) => n + pass.ms, 0);
  const first = (kernel: number) =>
    m.played.spans.find((span) => {
      const what = m.listed[span.step]!.step;
      return what.kind === "launch" && what.kernel === kernel;
    });
  return [
    h("h2", {}, p.name),
    h("p", {}, data.file),
    list([
      ["mesh", p.mesh.axes.map((a) => `${a.name} ${a.size}`).join(" × ")],
      ["devices", `${m.devices}, all run the same steps`],
      [
        "each one",
        `${plural(
          [...times.values()].reduce((n, t) => n + t.count, 0),
          "launch",
          "launches",
        )} of ${plural(p.kernels.length, "kernel")}`,
      ],
      ["arithmetic", `${flopsText(flops)}, masks not counted`],
      ...(sent > 0 ? [["sends", bytesText(sent)] as const] : []),
      ["memory", bytesText(p.memory.bytes)],
      [
        "critical path",
        `${timeText(pathTime.compute)} compute${pathTime.transfer > 0 ? `, ${timeText(pathTime.transfer)} transfers` : ""}`,
      ],
      ...(sent > 0 ? [["transfers hidden", hidden] as const] : []),
      ["machine", m.machine.note.split(/[.:]\s/)[0]!],
      ...(data.measured ? [["ran", data.measured.where] as const] : []),
      ["compiled in", timeText(compiled * 1000)],
    ]),
    apart(m)
      ? null
      : h(
          "p",
          { style: "margin-top:10px" },
          "With so many devices, one that takes the mean time for every kernel is drawn for all. ",
          h("code", {}, "gyre simulate"),
          " tells them apart.",
        ),
    m.played.shortened.length > 0
      ? h(
          "p",
          { style: "margin-top:10px" },
          m.played.shortened
            .map((l) => `${l.label}: ${l.played} of its ${l.count} steps are drawn, the first ones and the last.`)
            .join(" "),
        )
      : null,
    h("h3", {}, "Kernels, by their predicted time"),
    ...[...times]
      .toSorted(([, a], [, b]) => b.time - a.time)
      .map(([kernel, { count, time }]) =>
        h(
          "button.textlink.key",
          {
            onclick: () => {
              const span = first(kernel);
              if (span)
                select(s, { step: span.step, turn: span.turn.join("."), device: s.get().device, measured: false });
            },
          },
          h("span.swatch", { style: `background:${kernelColor(kernel)}` }),
          h("span.name", {}, p.kernels[kernel]!.name),
          h("span.faint.num", {}, `${timeText(time)} in ${count}`),
        ),
      ),
    p.streams.length > 1
      ? h("div.key", {}, h("span.swatch", { style: `background:${theme().transfer}` }), h("span.name", {}, "transfers"))
      : null,
    m.run
      ? h(
          "p.faint",
          { style: "margin-top:12px" },
          "In each lane the prediction is above and the measurement below it. The thin line under a measurement is what arrives (on a ring), or the host's waiting (on compute).",
        )
      : null,
  ];
}
