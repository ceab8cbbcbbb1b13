/**
 * Whether two schedules compute the same: every value by the same kernel from the same values, moved along the same
 * routes, in the same loops. When things are done, on which stream and in which buffer is free; check.ts says whether
 * that is safe.
 */
import type { Schedule, Step } from "./schedule.ts";

/** What differs in `edited` from what `original` computes, a sentence each; empty where they compute the same. */
export function differences(edited: Schedule, original: Schedule): readonly string[] {
  const wrong = [];
  for (const part of ["version", "name", "mesh", "values", "kernels"] as const)
    if (JSON.stringify(edited[part]) !== JSON.stringify(original[part])) wrong.push(`its ${part} are others`);
  for (const [what, of] of [
    ["inputs", (s: Schedule) => s.inputs],
    ["outputs", (s: Schedule) => s.outputs],
  ] as const)
    if (ports(of(edited)) !== ports(of(original))) wrong.push(`its ${what} are others`);
  if (wrong.length > 0) return wrong;
  const name = (value: number): string => original.values[value]?.name ?? String(value);
  const [is, was] = [meanings(edited.steps), meanings(original.steps)];
  const added = [...is].filter(([what, by]) => was.get(what) !== by).map(([what]) => what);
  const gone = [...was.keys()].filter((what) => !is.has(what));
  const told = (what: string): string => what.replace(/#(\d+)/g, (_, id: string) => `'${name(Number(id))}'`);
  return [
    ...added.map((what) => `${told(what)} comes about in another way`),
    ...gone.map((what) => `${told(what)} is missing`),
  ];
}
const ports = (all: Schedule["inputs"] | Schedule["outputs"]): string =>
  JSON.stringify(all.map(({ path, dtype, shape, spec, value }) => [path, dtype, shape, spec, value]));

/** How each value comes about, by what it is: `value #3` of a launch, `loop 0`. */
function meanings(steps: readonly Step[], loop = ""): Map<string, string> {
  const found = new Map<string, string>();
  const put = (what: string, by: unknown): void => {
    found.set(what, `${found.get(what) ?? ""}${loop} ${JSON.stringify(by)}`);
  };
  for (const step of steps)
    switch (step.kind) {
      case "launch": {
        const args = step.args.map(({ value, from }) => [value, from]);
        put(`value ${step.args.map((a) => `#${a.value}`).join(", ")} of '${step.label}'`, [
          step.kernel,
          args,
          step.when,
        ]);
        break;
      }
      case "send":
        put(`sending #${step.value}`, [step.axes, step.route, step.when]);
        break;
      case "receive":
        put(`receiving #${step.value}`, [step.axes, step.route, step.when]);
        break;
      case "loop": {
        const carry = step.carry.map(({ init, inside, next, out }) => [init, inside, next, out]);
        put(`loop ${step.id}`, [step.count, carry]);
        for (const [what, by] of meanings(step.body, `${loop}/${step.id}`)) found.set(what, by);
        break;
      }
      default:
    }
  return found;
}
