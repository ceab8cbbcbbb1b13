/** A schedule that somebody changed by hand: held to the program and to what makes a schedule safe before it runs. */
import { checkSchedule } from "../compiler/schedule/check.ts";
import { differences } from "../compiler/schedule/same.ts";
import type { Schedule } from "../compiler/schedule/schedule.ts";
import { wrong } from "./exit.ts";
import { readJson } from "./files.ts";

const how = "begin from `gyre inspect FILE --stage schedule --json`, and change the order of steps, streams or buffers";

/** The schedule in the file at `path`, in the place of `original`. Stops (exit 1) where it may not run, with the reason. */
export function readSchedule(path: string, original: Schedule): Schedule {
  const read = readJson(path, how);
  if (!isSchedule(read)) throw wrong(`${path} is not a schedule`, how);
  const other = differences(read, original);
  if (other.length > 0)
    throw wrong(`${path} is not a schedule of this program at these sizes: ${other.slice(0, 3).join("; ")}`, how);
  const unsafe = checkSchedule(read);
  if (unsafe.length > 0) throw wrong(`${path} is not safe to run: ${unsafe.slice(0, 3).join("; ")}`, how);
  return read;
}

/** Whether all parts are there, and of the right kind; what they say is for the checks to judge. */
function isSchedule(x: unknown): x is Schedule {
  if (!isRecord(x) || !isRecord(x.mesh) || !isRecord(x.memory) || !isRecords(x.steps)) return false;
  const lists = [x.values, x.buffers, x.kernels, x.inputs, x.outputs, x.mesh.axes, x.memory.parts];
  return lists.every(isRecords) && Array.isArray(x.streams) && x.steps.every(isStep);
}
type Fields = Readonly<Record<string, unknown>>;
const isRecord = (x: unknown): x is Fields => typeof x === "object" && x !== null && !Array.isArray(x);
const isRecords = (x: unknown): x is readonly Fields[] => Array.isArray(x) && x.every(isRecord);
const isTransfer = (s: Fields): boolean =>
  [s.token, s.buffer, s.value, s.bytes].every(Number.isInteger) && Array.isArray(s.axes) && isRecord(s.route);
const kinds: Readonly<Record<string, (s: Fields) => boolean>> = {
  launch: (s) => Number.isInteger(s.kernel) && isRecords(s.args),
  send: isTransfer,
  receive: isTransfer,
  wait: (s) => Number.isInteger(s.token),
  copy: (s) => [s.value, s.from, s.to, s.bytes].every(Number.isInteger),
  loop: (s) =>
    Number.isInteger(s.count) &&
    isRecords(s.carry) &&
    isRecords(s.body) &&
    s.body.every(isStep) &&
    Array.isArray(s.rotate) &&
    s.rotate.every(Array.isArray),
};
const isStep = (s: Fields): boolean => typeof s.label === "string" && (kinds[String(s.kind)]?.(s) ?? false);
