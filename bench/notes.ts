/** What RESULTS.md says beside its numbers. */
import type { Clock } from "./race.ts";

const BUSY = ` The machine did
other things too, so times on WebGPU and on one thread are those of processors (on WebGPU divided by their number, for kernels
fill all of them); those on two threads are by the wall, and see what else was done.`;

export const notes = {
  about: (machine: string, versions: string, clock: Clock): string =>
    `Written by \`npm run bench\`. ${machine}. WebGPU is the adapter that Gyre takes here (the bundled software one, unless the
machine has its own), the same for all. Medians; ratios are taken within one run, in which contenders run in turns.${clock === "processor" ? BUSY : ""}
${versions === "" ? "No peers were installed." : `Peers: ${versions}.`}`,

  bounds: "",

  cells: `Milliseconds, in parentheses GFLOP/s of useful operations (pairs that a mask hides are not counted), and how many times Gyre's
time that is. The error is ‖x - exact‖ / ‖exact‖ over eight rows, against float64, the largest of the line. A contender
whose result is wrong is listed as wrong, not as slow; \`–\` is what it does not offer, and what is empty was not measured.`,

  costs:
    "Of Gyre alone. Launches, transfers and steps are those of a loop on two devices, the runtime's share included.",

  accuracy: `‖x - exact‖ / ‖exact‖ of causal ring attention and its gradients, f32, B=1 S=512 H=2 D=32, on rings of sp devices; \`exact\` is
the reference interpreter's, in float64.`,
} as const;
