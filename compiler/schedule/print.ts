/** A schedule as a listing for people: the steps as they stand, then what makes up the memory. Plain text. */
import { printMesh } from "../core/print.ts";
import type { Schedule, Step, Transfer, When } from "./schedule.ts";

/**
 * The listing. An operand is written `value` when it is in the buffer of that name, else `value[buffer]`.
 *
 *   schedule ring_sum on m(sp: 4)   160 bytes on each device
 *     x: f32[8]                                        input x
 *     fill                        → zero
 *     loop 0 × 4                  acc[zero] = zero, cur = x[x]
 *       receive cur' on sp+1      → cur'               32 bytes, not in the last step
 *       …
 *       rotate zero ⇄ acc', cur ⇄ cur'
 *     sum[zero]: f32[8]                                result
 */
export function printSchedule(s: Schedule): string {
  const lines: [text: string, operands: string, note: string][] = [];
  const inBuffer = (value: number, buffer: number) => {
    const [v, b] = [s.values[value]!.name, s.buffers[buffer]!.name];
    return v === b ? v : `${v}[${b}]`;
  };
  const walk = (steps: readonly Step[], indent: string) => {
    for (const step of steps) {
      const add = (operands: string, note = "") => {
        const when = step.when ? WHEN[step.when] : "";
        lines.push([indent + step.label, operands, [note, when].filter(Boolean).join(", ")]);
      };
      switch (step.kind) {
        case "launch": {
          const { bindings, groups } = s.kernels[step.kernel]!;
          const args = step.args.map((a, k) => ({
            ...a,
            text: inBuffer(a.value, a.buffer),
            written: bindings[k]!.access !== "read",
          }));
          const reads = args.filter((a) => !a.written).map((a) => a.text);
          const writes = args
            .filter((a) => a.written)
            .map((a) => (a.from === undefined ? a.text : `${a.text} over ${s.values[a.from]!.name}`));
          add([reads.join(", "), "→", writes.join(", ")].filter(Boolean).join(" "), `${groups.join("×")} groups`);
          break;
        }
        case "send":
          add(inBuffer(step.value, step.buffer), [formatBytes(step.bytes), ...messageOf(step)].join(", "));
          break;
        case "receive":
          add(`→ ${inBuffer(step.value, step.buffer)}`, formatBytes(step.bytes));
          break;
        case "copy":
          add(`${s.buffers[step.from]!.name} → ${s.buffers[step.to]!.name}`, formatBytes(step.bytes));
          break;
        case "wait":
          add("");
          break;
        case "loop": {
          const carry = step.carry.map((c) => {
            const first = c.first === undefined ? "" : `[${s.buffers[c.first]!.name} at first]`;
            return `${inBuffer(c.inside, c.buffer)} = ${s.values[c.init]!.name}${first}`;
          });
          lines.push([`${indent}${step.label} × ${step.count}`, carry.join(", "), step.when ? WHEN[step.when] : ""]);
          walk(step.body, `${indent}  `);
          const cycles = step.rotate.map((c) => c.map((b) => s.buffers[b]!.name).join(c.length === 2 ? " ⇄ " : " ← "));
          if (cycles.length > 0) lines.push([`${indent}  rotate`, cycles.join(", "), ""]);
        }
      }
    }
  };
  const type = (value: number) => `${s.values[value]!.dtype}[${s.values[value]!.shape.join(", ")}]`;
  for (const p of s.inputs)
    lines.push([`  input ${p.path}`, inBuffer(p.value, p.buffer), type(p.value) + (p.donated ? ", donated" : "")]);
  walk(s.steps, "  ");
  for (const p of s.outputs) lines.push([`  output ${p.path}`.trimEnd(), inBuffer(p.value, p.buffer), type(p.value)]);

  const width = (column: 0 | 1, most: number) => Math.min(most, Math.max(...lines.map((l) => l[column].length)));
  const [a, b] = [width(0, 40), width(1, 60)];
  return [
    `schedule ${s.name} on ${printMesh(s.mesh)}   ${formatBytes(s.memory.bytes)} on each device`,
    ...lines.map(([text, operands, note]) => `${text.padEnd(a)}  ${operands.padEnd(b)}  ${note}`.trimEnd()),
    "",
    printMemory(s),
  ].join("\n");
}

/** The message that a transfer travels in, by its number. */
const messageOf = ({ message }: Transfer): readonly string[] => (message === undefined ? [] : [`message ${message}`]);

const WHEN: { readonly [W in When]: string } = {
  first: "in the first step",
  last: "in the last step",
  "not-first": "not in the first step",
  "not-last": "not in the last step",
};

/** What makes up the memory of a device, the largest buffers first; the small ones in one line. */
function printMemory(s: Schedule, most = 12): string {
  const line = (bytes: number, text: string) => `  ${formatBytes(bytes).padStart(10)}  ${text}`;
  const shown = s.memory.parts.slice(0, most).map((part) => {
    const { name, role } = s.buffers[part.buffer]!;
    const others = part.holds.map((v) => s.values[v]!.name).filter((v) => v !== name);
    return line(
      part.bytes,
      `${name}${role === "temp" ? "" : ` (${role})`}${others.length > 0 ? `, then ${others.join(", ")}` : ""}`,
    );
  });
  const rest = s.memory.parts.slice(most);
  const restBytes = rest.reduce((sum, part) => sum + part.bytes, 0);
  return [
    `memory ${formatBytes(s.memory.bytes)} in ${s.buffers.length} buffers`,
    ...shown,
    ...(rest.length > 0 ? [line(restBytes, `${rest.length} smaller ones`)] : []),
  ].join("\n");
}

/** `1536` → `1.5 KiB`. */
function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : Number(value.toFixed(2))} ${units[unit]}`;
}
