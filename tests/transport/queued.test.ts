/**
 * Transfers that are queued on the devices, as NCCL's are: messages without tags, which meet in the order in which both sides
 * issue them. Random programs, whose sends and receives are moved about as far as a schedule may have them.
 */
import { expect, test } from "vitest";
import { checkSchedule } from "../../compiler/schedule/check.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import type { DeviceProgram, HostRoute, HostStep } from "../../compiler/tile/ir.ts";
import { runSchedule } from "../../runtime/run.ts";
import type { Carrier, Exchange } from "../../runtime/transport/transfers.ts";
import { fakeMachine, outputsOf, planned } from "../runtime/run-fake.ts";
import { blocks, changed } from "../schedule/mutate.ts";
import { launch, loop, permute, programBuilder } from "../schedule/programs.ts";
import { evalProgram, type Random, randomFrom } from "../schedule/random.ts";

/** Arrays that go round a mesh in every way, beside each other, in a loop and after it. */
function movers(random: Random): DeviceProgram {
  const b = programBuilder("movers", { dp: 2, sp: 3 });
  const x = b.input("x", [6], "sp");
  const mix = b.kernel("mix", ["read", "read", "read", "read", "write"], [6]);
  const routes = (): HostRoute => {
    const pairs = [0, 1, 2].map((from) => [from, (from + 1 + random(3)) % 3] as const);
    const once = pairs.filter(([, to], i) => pairs.findIndex(([, other]) => other === to) === i && random(3) > 0);
    return random(3) === 0 ? { kind: "pairs", pairs: once } : { kind: "shift", offset: random(5) - 2 };
  };
  const round = (from: number): { readonly steps: readonly HostStep[]; readonly to: number } => {
    const moved = [0, 1, 2].map((i) => b.array(`moved${i}`, [6]));
    const to = b.array("mixed", [6]);
    const on = (i: number) => [["sp"], ["dp"], ["dp", "sp"]][(i + random(2)) % 3]!;
    const permutes = moved.map((m, i): HostStep => {
      const axes = on(i);
      const route =
        axes.length === 1 && axes[0] === "sp" ? routes() : { kind: "shift" as const, offset: random(5) - 2 };
      return permute(from, m, route, axes);
    });
    return { steps: [...permutes, launch(mix, from, ...moved, to)], to };
  };
  const inside = b.array("inside", [6]);
  const body = round(inside);
  const out = b.array("out", [6]);
  const after = round(out);
  b.output(after.to, "y", "sp");
  return b.finish([loop(0, 3, [[x, inside, body.to, out]], body.steps), ...after.steps]);
}

/** Swaps ends of transfers with what stands before them, where the schedule stays right. */
function shuffled(schedule: Schedule, random: Random): Schedule {
  let now = schedule;
  for (let i = 0; i < 40; i++) {
    const next = changed(now, (copy) => {
      const ends = blocks(copy.steps as never).flatMap((steps) =>
        steps.flatMap((s, at) => (at > 0 && (s.kind === "send" || s.kind === "receive") ? [{ steps, at }] : [])),
      );
      const { steps, at } = ends[random(ends.length)] ?? {};
      if (steps) steps.splice(at! - 1, 2, steps[at!]!, steps[at! - 1]!);
    });
    if (checkSchedule(next).length === 0) now = next;
  }
  return now;
}

/** A message that one of two devices has issued, and the other has not. */
type Side = {
  readonly exchange: Exchange;
  readonly meet: (other: Side) => void;
  readonly bytes?: Promise<ArrayBuffer>;
};

/** Between two devices the n-th send meets the n-th receive, whatever they are; of another size it fails. */
const inOrder: Carrier = ({ deviceAt }) => {
  const sent = new Map<string, Side[]>();
  const taken = new Map<string, Side[]>();
  const flying = new Map<string, Promise<unknown>>();
  const begun = new Map<number, number>();
  const batches: string[] = [];
  /** A device's n-th batch has the transfers of the others' n-th. */
  const compare = (position: number, batch: readonly Exchange[]): void => {
    const number = begun.get(position) ?? 0;
    begun.set(position, number + 1);
    const own = batch.map(({ token }) => token).join();
    batches[number] ??= own;
    if (batches[number] !== own) throw new Error(`${position} begins ${own}, others ${batches[number]}`);
  };
  const listOf = (lists: Map<string, Side[]>, key: string): Side[] => {
    const list = lists.get(key) ?? [];
    lists.set(key, list);
    return list;
  };
  const meet = (key: string): void => {
    const [sends, receives] = [listOf(sent, key), listOf(taken, key)];
    while (sends.length > 0 && receives.length > 0) {
      const [a, b] = [sends.shift()!, receives.shift()!];
      if (a.exchange.token !== b.exchange.token) throw new Error(`'${a.exchange.label}' meets '${b.exchange.label}'`);
      a.meet(b);
      b.meet(a);
    }
  };
  return {
    ready: async () => {},
    queue(position, batch) {
      compare(position, batch);
      return batch.map((exchange) => {
        const { token, bytes, to, from } = exchange;
        const device = deviceAt(position);
        const ends: Promise<unknown>[] = [];
        if (to) {
          const read = device.read(to.buffer, 0, bytes);
          ends.push(
            new Promise<void>((done) => {
              listOf(sent, `${position} ${to.position}`).push({ exchange, meet: () => done(), bytes: read });
            }),
            read,
          );
        }
        if (from)
          ends.push(
            new Promise<void>((done, failed) => {
              const arrive = async (other: Side) => device.write(from.buffer, 0, await other.bytes!);
              listOf(taken, `${from.position} ${position}`).push({
                exchange,
                meet: (other) => void arrive(other).then(done, failed),
              });
            }),
          );
        if (to) meet(`${position} ${to.position}`);
        if (from) meet(`${from.position} ${position}`);
        const all = Promise.all(ends).then(() => {});
        flying.set(`${position} ${token}`, all);
        return all;
      });
    },
    join: async (position, token) => {
      await flying.get(`${position} ${token}`);
    },
    stop: () => {},
  };
};

test("every device issues the same transfers in the same order, wherever their ends stand", async () => {
  let moved = 0;
  for (let seed = 0; seed < 20; seed++) {
    const random = randomFrom(seed);
    const program = movers(random);
    const straight = planned(program);
    const schedule = shuffled(straight, random);
    if (JSON.stringify(schedule) !== JSON.stringify(straight)) moved++;
    const machine = { ...(await fakeMachine(schedule)), carrier: inOrder };
    const after = await runSchedule(schedule, machine, { timeoutMs: 5000 });
    expect(await outputsOf(schedule, machine.devices, after), `seed ${seed}`).toEqual(evalProgram(program));
  }
  expect(moved).toBeGreaterThan(15);
});
