/** What RESULTS.md says beside its numbers. */
export const notes = {
  about: (machine: string, versions: string): string =>
    `Written by \`npm run bench\`. ${machine}. WebGPU is the adapter that Gyre takes here (the bundled software one, unless the
machine has its own), the same for all. Medians; ratios are taken within one run, in which contenders run in turns.
${versions === "" ? "No peers were installed." : `Peers: ${versions}.`}`,

  bounds: "",

  cells: `Milliseconds, in parentheses GFLOP/s of useful operations (pairs that a mask hides are not counted), and how many times Gyre's
time that is. The error is ‖x - exact‖ / ‖exact‖ over eight rows, against float64, the largest of the line. A contender
whose result is wrong is listed as wrong, not as slow; \`–\` is what it does not offer.`,

  costs:
    "Of Gyre alone. Launches, transfers and steps are those of a loop on two devices, the runtime's share included.",

  accuracy: `‖x - exact‖ / ‖exact‖ of causal ring attention and its gradients, f32, B=1 S=512 H=2 D=32, on rings of sp devices; \`exact\` is
the reference interpreter's, in float64.`,
} as const;
