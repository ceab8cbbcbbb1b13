/** The form of a schedule: what can be seen of it without walking its steps. check.ts walks them. */
import { wayOf } from "./messages.ts";
import type { Loop, Mesh, Port, Schedule, Step, Transfer } from "./schedule.ts";

/**
 * What is malformed, a sentence each: names of things that are not there, labels and tokens that do not stand once,
 * routes that lead two devices to one, buffers of different sizes that exchange names, ports that do not fit their values.
 */
export function checkForm(s: Schedule): readonly string[] {
  const wrong: string[] = [];
  const say = (holds: boolean, sentence: string) => {
    if (!holds) wrong.push(sentence);
  };
  const isBuffer = (b: number) => s.buffers[b] !== undefined;
  const isValue = (v: number) => s.values[v] !== undefined;
  s.values.forEach((v, i) => {
    say(v.id === i, `value '${v.name}' stands at place ${i} and calls itself ${v.id}`);
  });
  s.buffers.forEach((b, i) => {
    say(b.id === i, `buffer '${b.name}' stands at place ${i} and calls itself ${b.id}`);
  });
  say(s.streams[0] === "compute", "the first stream is not 'compute'");
  const bytes = s.buffers.reduce((sum, b) => sum + b.bytes, 0);
  say(s.memory.bytes === bytes, `memory says ${s.memory.bytes} bytes, and the buffers come to ${bytes}`);

  const taken = new Map<number, Port>();
  for (const port of [...s.inputs, ...s.outputs]) {
    const name = port.path || "result";
    const value = s.values[port.value];
    say(isBuffer(port.buffer) && value !== undefined, `'${name}' names a buffer or value that is not there`);
    if (!value) continue;
    const parts = port.spec.flatMap((e) => e.axes).reduce((n, a) => n * (axisSize(s.mesh, a) ?? Number.NaN), 1);
    say(
      elements(value.shape) * parts === elements(port.shape) && value.dtype === port.dtype,
      `'${name}' is ${port.dtype}[${port.shape.join(", ")}] in ${parts} parts, and its value '${value.name}' is ${value.dtype}[${value.shape.join(", ")}]`,
    );
  }
  for (const port of s.inputs) {
    say(!taken.has(port.buffer), `inputs '${taken.get(port.buffer)?.path}' and '${port.path}' share a buffer`);
    taken.set(port.buffer, port);
  }
  taken.clear();
  for (const port of s.outputs) {
    say(!taken.has(port.buffer), `outputs '${taken.get(port.buffer)?.path}' and '${port.path}' share a buffer`);
    taken.set(port.buffer, port);
    const input = s.inputs.find((i) => i.buffer === port.buffer);
    say(
      !input || input.donated,
      `output '${port.path}' is in the buffer of input '${input?.path}', which was not donated`,
    );
  }

  const labels = new Set<string>();
  const loopIds = new Set<number>();
  const ends = new Map<string, number>();
  const form = (steps: readonly Step[], loops: readonly number[]): void => {
    for (const step of steps) {
      const it = `'${step.label}'`;
      say(!labels.has(step.label), `two steps are called ${it}`);
      labels.add(step.label);
      say(step.when === undefined || loops.length > 0, `${it} is for some steps of a loop, and stands in none`);
      switch (step.kind) {
        case "launch": {
          const kernel = s.kernels[step.kernel];
          say(kernel !== undefined, `${it} launches kernel ${step.kernel}, which is not there`);
          if (!kernel) break;
          const missing = step.args.length !== kernel.bindings.length;
          say(
            !missing,
            `${it} passes ${step.args.length} buffers to '${kernel.name}', which takes ${kernel.bindings.length}`,
          );
          for (const a of step.args)
            say(isBuffer(a.buffer) && isValue(a.value), `${it} names a buffer or value that is not there`);
          for (const scalar of kernel.scalars) {
            if (scalar.kind === "step")
              say(loops.includes(scalar.loop), `${it} needs the step of loop ${scalar.loop} and is not in it`);
            else
              say(
                scalar.axes.every((a) => axisSize(s.mesh, a)),
                `${it} asks for an axis that the mesh lacks`,
              );
          }
          break;
        }
        case "send":
        case "receive": {
          const key = `${step.kind} ${step.token}`;
          ends.set(key, (ends.get(key) ?? 0) + 1);
          say(isBuffer(step.buffer) && isValue(step.value), `${it} names a buffer or value that is not there`);
          say(
            s.streams.includes(step.stream) && step.stream !== "compute",
            `${it} is on stream '${step.stream}', which is not one for transfers`,
          );
          wrong.push(...routeErrors(it, step, s.mesh, loops));
          break;
        }
        case "wait":
          ends.set(`wait ${step.token}`, (ends.get(`wait ${step.token}`) ?? 0) + 1);
          break;
        case "copy":
          say(
            [step.from, step.to].every(isBuffer) && isValue(step.value),
            `${it} names a buffer or value that is not there`,
          );
          break;
        case "loop": {
          say(Number.isInteger(step.count) && step.count >= 1, `${it} has ${step.count} steps`);
          say(!loopIds.has(step.id), `two loops have the number ${step.id}`);
          loopIds.add(step.id);
          const known = step.carry.every(
            (c) =>
              isBuffer(c.buffer) &&
              [c.init, c.inside, c.next, c.out ?? c.init].every(isValue) &&
              isBuffer(c.first ?? c.buffer),
          );
          say(known, `${it} carries a buffer or value that is not there`);
          say(step.rotate.flat().every(isBuffer), `${it} rotates a buffer that is not there`);
          if (known && step.rotate.flat().every(isBuffer)) wrong.push(...rotationErrors(it, step, s));
          form(step.body, [...loops, step.id]);
        }
      }
    }
  };
  form(s.steps, []);
  wrong.push(...messageErrors(s.steps));
  for (const token of new Set([...ends.keys()].map((key) => key.split(" ")[1]!))) {
    for (const kind of ["send", "receive", "wait"]) {
      const n = ends.get(`${kind} ${token}`) ?? 0;
      say(n === 1, `transfer ${token} has ${n === 0 ? "no" : n} ${kind}${n > 1 ? "s" : ""}`);
    }
  }
  return wrong;
}

/**
 * The transfers of a message must be both ends of the same tokens, on one way, with nothing but transfers between them: each
 * device then begins all of them before it waits for any.
 */
function messageErrors(steps: readonly Step[], seen = new Set<number>()): readonly string[] {
  const wrong: string[] = [];
  const within = new Set<number>();
  /** The messages that go on, by what was sent and received for them. */
  let open = new Map<number, { first: Transfer; sent: string[]; received: string[] }>();
  const close = (): void => {
    for (const [message, { sent, received }] of open)
      if (sent.join() !== received.join())
        wrong.push(`message ${message} sends transfers ${sent.join(", ")} and receives ${received.join(", ")}`);
    open = new Map();
  };
  for (const step of steps) {
    if (step.kind !== "send" && step.kind !== "receive") close();
    if (step.kind === "loop") wrong.push(...messageErrors(step.body, seen));
    if ((step.kind !== "send" && step.kind !== "receive") || step.message === undefined) continue;
    const { message } = step;
    const known = open.get(message);
    if (!known && (within.has(message) || seen.has(message)))
      wrong.push(`'${step.label}' belongs to message ${message}, and other steps stand between its transfers`);
    within.add(message);
    const { first, sent, received } = known ?? { first: step, sent: [], received: [] };
    open.set(message, { first, sent, received });
    (step.kind === "send" ? sent : received).push(String(step.token));
    if (wayOf(step) !== wayOf(first))
      wrong.push(`'${step.label}' goes another way than '${first.label}' in its message`);
  }
  close();
  for (const message of within) seen.add(message);
  return wrong;
}

const axisSize = (mesh: Mesh, name: string): number | undefined => mesh.axes.find((a) => a.name === name)?.size;
/** The number of elements of a shape. */
export const elements = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** A route must lead each device to at most one other, and no two to the same. */
function routeErrors(it: string, step: Transfer, mesh: Mesh, loops: readonly number[]): readonly string[] {
  const sizes = step.axes.map((a) => axisSize(mesh, a));
  if (step.axes.length === 0 || sizes.includes(undefined) || new Set(step.axes).size !== step.axes.length) {
    return [`${it} goes round axes (${step.axes.join(", ")}), which are not axes of mesh ${mesh.name}`];
  }
  const ring = sizes.reduce<number>((n, size) => n * size!, 1);
  const { route } = step;
  if (route.kind === "shift") {
    if (route.loop !== undefined && !loops.includes(route.loop))
      return [`${it} shifts by the step of loop ${route.loop} and is not in it`];
    const { within = ring } = route;
    if (!Number.isInteger(within) || within < 1 || ring % within !== 0)
      return [`${it} goes round ${within} places each, which does not divide a ring of ${ring}`];
    return Number.isInteger(route.offset) && Number.isInteger(route.perStep ?? 1)
      ? []
      : [`${it} shifts by no whole number`];
  }
  const wrong: string[] = [];
  for (const end of [0, 1] as const) {
    const places = route.pairs.map((pair) => pair[end]);
    const outside = places.find((p) => !Number.isInteger(p) || p < 0 || p >= ring);
    const twice = places.find((p, i) => places.indexOf(p) !== i);
    if (outside !== undefined) wrong.push(`${it} names place ${outside} on a ring of ${ring}`);
    if (twice !== undefined) wrong.push(`${it}: place ${twice} ${end === 0 ? "sends" : "receives"} twice`);
  }
  return wrong;
}

function rotationErrors(it: string, loop: Loop, s: Schedule): readonly string[] {
  const wrong: string[] = [];
  const all = loop.rotate.flat();
  const twice = all.find((b, i) => all.indexOf(b) !== i);
  if (twice !== undefined) wrong.push(`${it} rotates buffer '${s.buffers[twice]!.name}' twice`);
  for (const cycle of loop.rotate) {
    if (new Set(cycle.map((b) => s.buffers[b]!.bytes)).size > 1) {
      wrong.push(`${it} rotates buffers of different sizes: ${cycle.map((b) => s.buffers[b]!.name).join(", ")}`);
    }
  }
  const input = s.inputs.find((i) => !i.donated && all.includes(i.buffer));
  if (input) wrong.push(`${it} rotates the buffer of input '${input.path}', which was not donated`);
  return wrong;
}
