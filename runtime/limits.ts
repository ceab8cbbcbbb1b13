/** What is too large for a device, said before anything is tried. */
import type { Buffer, Input, Output, Schedule } from "../compiler/schedule/schedule.ts";
import type { Device } from "./device.ts";
import { formatBytes, GyreRuntimeError } from "./errors.ts";

/** Says which array is too large for a device, and which mesh would do. */
export function checkLimits(schedule: Schedule, device: Device): void {
  const { limits, adapter } = device.info;
  const most = Math.min(limits.maxBufferBytes, limits.maxBindingBytes);
  const largest = schedule.buffers.reduce<Buffer | undefined>((a, b) => (a && a.bytes >= b.bytes ? a : b), undefined);
  if (!largest || largest.bytes <= most) return;
  const name = limits.maxBindingBytes < limits.maxBufferBytes ? "maxStorageBufferBindingSize" : "maxBufferSize";
  const factor = 2 ** Math.ceil(Math.log2(largest.bytes / most));
  const port = [...schedule.inputs, ...schedule.outputs].find((p) => p.buffer === largest.id);
  const axis = splittingAxis(schedule, port);
  throw new GyreRuntimeError(
    "limit",
    `'${largest.name}' needs ${formatBytes(largest.bytes)} on each device, and ${adapter} allows ${formatBytes(most)} for one array (${name})`,
    axis
      ? `with --mesh ${axis.name}=${axis.size * factor} it would fit (${formatBytes(Math.ceil(largest.bytes / factor))} on each device); or use smaller dimensions`
      : "use smaller dimensions: no mesh axis splits it",
  );
}

/** The mesh axis that splits an array: the last of its own, or where it is no input or result, the one that splits most of them. */
function splittingAxis(schedule: Schedule, port: Input | Output | undefined) {
  const ports = port ? [port] : [...schedule.inputs, ...schedule.outputs];
  const names = ports.flatMap((p) => p.spec.flatMap((entry) => entry.axes));
  const times = (axis: string) => names.filter((n) => n === axis).length;
  const best = schedule.mesh.axes.filter((a) => times(a.name) > 0).sort((a, b) => times(b.name) - times(a.name))[0];
  return best;
}
