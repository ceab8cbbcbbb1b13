/** Runs a device program on fake devices, through plan, check and the runtime. */
import { plan } from "../../compiler/schedule/plan.ts";
import type { Schedule } from "../../compiler/schedule/schedule.ts";
import type { DeviceProgram } from "../../compiler/tile/ir.ts";
import type { DeviceBuffer } from "../../runtime/device.ts";
import { deviceCount } from "../../runtime/route.ts";
import { type RunOptions, runSchedule } from "../../runtime/run.ts";
import { metaOf } from "../schedule/programs.ts";
import { inputWords } from "../schedule/random.ts";
import { type FakeDevice, type FakeOptions, fakeDevice, fakeSource } from "./fake.ts";

export const planned = (program: DeviceProgram, donate: readonly string[] = []): Schedule =>
  plan(program, metaOf(program), { donate });

/** A machine of fake devices with the inputs in place. */
export async function fakeMachine(schedule: Schedule, optionsOf: (position: number) => FakeOptions = () => ({})) {
  const devices = Array.from(
    { length: deviceCount(schedule.mesh) },
    (_, p): FakeDevice => fakeDevice(`fake:${p}`, optionsOf(p)),
  );
  const kernels = await Promise.all(
    devices.map((device) =>
      Promise.all(
        schedule.kernels.map((k) => {
          const lengths = k.bindings.map((b) => b.shape.reduce((n, d) => n * d, 1));
          return device.compile(
            fakeSource(
              k.name,
              k.bindings.map((b) => b.access),
              lengths,
              k.scalars.length,
            ),
          );
        }),
      ),
    ),
  );
  const memory = devices.map((device, p) => {
    const all = schedule.buffers.map((b) => device.alloc(b.bytes, b.name));
    for (const input of schedule.inputs) {
      device.write(all[input.buffer]!, 0, inputWords(input.path, p, schedule.values[input.value]!.bytes / 4));
    }
    return all;
  });
  return { devices, kernels, memory };
}

/** `result[k][position]`: the words of output k; inputs that were not donated must have stayed as they were. */
export async function runFake(
  schedule: Schedule,
  optionsOf?: (position: number) => FakeOptions,
  options?: RunOptions,
): Promise<Uint32Array[][]> {
  const machine = await fakeMachine(schedule, optionsOf);
  const after = await runSchedule(schedule, machine, options);
  return outputsOf(schedule, machine.devices, after);
}

/** The words of each output on each device, and whether inputs are as they were. */
export async function outputsOf(
  schedule: Schedule,
  devices: readonly FakeDevice[],
  after: readonly (readonly DeviceBuffer[])[],
): Promise<Uint32Array[][]> {
  const words = async (p: number, buffer: number, bytes: number) =>
    new Uint32Array(await devices[p]!.read(after[p]![buffer]!, 0, bytes));
  for (const input of schedule.inputs.filter((i) => !i.donated)) {
    for (const p of devices.keys()) {
      const { bytes } = schedule.values[input.value]!;
      const now = await words(p, input.buffer, bytes);
      if (now.join() !== inputWords(input.path, p, bytes / 4).join())
        throw new Error(`input ${input.path} was changed`);
    }
  }
  return Promise.all(
    schedule.outputs.map((o) =>
      Promise.all(devices.map((_, p) => words(p, o.buffer, schedule.values[o.value]!.bytes))),
    ),
  );
}
