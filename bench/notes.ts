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

  bounds: `What bounds those that are not reached:

- **WGSL.** The bundled adapter's driver takes 14 instructions for a multiply-add of Gyre's attention, 18 for one of the
  hand-written kernel, and what is dear there (loads, changes of variables, branches that are not taken) is counted in the
  bench's README. Long kernels pay in the driver's compiler, which keeps nothing: those of the gradients take it 1.7 and 2.2 s of
  processor time, that of causal attention 1.2 s, where the hand-written one takes 1.7 s.
- **The processor.** WebAssembly has vectors of 128 bits, half or less of what onnxruntime-node and numpy compute with. One
  core of this machine does 57 GFLOP/s of its multiply-adds from registers alone; products of Gyre's shape (four vectors by
  two elements: eight sums) do 50 to 53 from the first cache. V8 puts a body's loads before what is computed from them, so
  more sums spill: four vectors by three elements do 22, two by six 30.
- **Gradients.** dq is one kernel, dk and dv another, and both compute logits and their gradients: seven products for the
  forward pass's two, and two exponentials for one. At the forward pass's speed that is 3.2 times its time, and kernels timed
  alone, in turns, take 3.2 times. Less would take one kernel whose tiles add to one array.
- Two threads, and rings beside JAX's, are timed by the wall, which says nothing on a machine that does other things.`,

  cells: `Milliseconds, in parentheses GFLOP/s of useful operations (pairs that a mask hides are not counted), and how many times Gyre's
time that is. The error is ‖x - exact‖ / ‖exact‖ over eight rows, against float64, the largest of the line. A contender
whose result is wrong is listed as wrong, not as slow; \`–\` is what it does not offer, and what is empty was not measured.`,

  costs:
    "Of Gyre alone. Launches, transfers and steps are those of a loop on two devices, the runtime's share included.",

  accuracy: `‖x - exact‖ / ‖exact‖ of causal ring attention and its gradients, f32, B=1 S=512 H=2 D=32, on rings of sp devices; \`exact\` is
the reference interpreter's, in float64.`,
} as const;
