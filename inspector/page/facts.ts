/** What there is to say about one step, for the panel and for the pointer. */
import { bytesText, flopsText, timeText } from "../model/format.ts";
import { deviceName } from "../model/mesh.ts";
import { type Model, receiverFor, related, type Selection, spanOf, workOf } from "../model/model.ts";
import { describe, typeText, WHEN } from "../model/steps.ts";

export type Facts = { readonly title: string; readonly rows: readonly (readonly [name: string, value: string])[] };

export function factsOf(m: Model, at: Selection): Facts {
  const { step } = m.listed[at.step]!;
  const s = m.schedule;
  const predicted = spanOf(m, { ...at, measured: false });
  const measured = m.run?.find(at.device, at.step, at.turn);
  const work = workOf(m, step);
  const rows: [string, string][] = [["device", deviceName(s.mesh, at.device)]];
  if (at.turn !== "") rows.push(["loop step", at.turn]);
  if (predicted)
    rows.push(["predicted", `${timeText(predicted.end - predicted.start)} from ${timeText(predicted.start)}`]);
  if (measured) rows.push(["measured", `${timeText(measured.end - measured.start)} from ${timeText(measured.start)}`]);
  if (step.kind === "launch") rows.push(["workgroups", s.kernels[step.kernel]!.groups.join(" × ")]);
  if (work.flops) rows.push(["arithmetic", flopsText(work.flops)]);
  if (work.bytes) rows.push([step.kind === "launch" ? "memory" : "bytes", bytesText(work.bytes)]);
  if (step.kind === "send" || step.kind === "receive") {
    rows.push(["array", `${s.values[step.value]?.name} ${typeText(s.values[step.value]!)}`]);
    const to = receiverFor(m, at);
    if (to !== undefined) rows.push(["to", deviceName(s.mesh, to)]);
    const { message } = step;
    const others = m.listed.filter(({ step: x }) => x !== step && x.kind === step.kind && x.message === message);
    if (message !== undefined) rows.push(["in one message with", others.map((l) => l.step.label).join(", ")]);
  }
  const needs = related(m, at).filter((r) => r.how === "needs");
  if (needs.length > 0)
    rows.push([
      "waits for",
      needs
        .slice(0, 3)
        .map((r) => stepName(m, r.to))
        .join(", ") + (needs.length > 3 ? " …" : ""),
    ]);
  if (step.when) rows.push(["when", WHEN[step.when]]);
  return { title: describe(s, step), rows };
}

/** `out_lse · 2` */
export function stepName(m: Model, at: Selection): string {
  const { label } = m.listed[at.step]!.step;
  return at.turn === "" ? label : `${label} · ${at.turn}`;
}
