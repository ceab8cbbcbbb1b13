/** What the ptxas report reads, and what it makes of it. */
import { expect, test } from "vitest";
import { occupancy, parsePtxas } from "../../bench/cuda/occupancy.ts";

const said = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'out_lse_kernel' for 'sm_80'
ptxas info    : Function properties for out_lse_kernel
    528 bytes stack frame, 24 bytes spill stores, 32 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 528 bytes cumulative stack size, 512 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'fill_kernel' for 'sm_80'
ptxas info    : Function properties for fill_kernel
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 6 registers, used 0 barriers, 360 bytes cmem[0]
`;

test("what ptxas says of each kernel", () => {
  expect([...parsePtxas(said)]).toEqual([
    ["out_lse_kernel", { registers: 255, stackBytes: 528, spillBytes: 56, sharedBytes: 512 }],
    ["fill_kernel", { registers: 6, stackBytes: 0, spillBytes: 0, sharedBytes: 0 }],
  ]);
});

// As NVIDIA's occupancy calculator has them.
test.each([
  ["sm_80", 128, 194, 65536, 0.125], // two blocks, by registers and by shared memory
  ["sm_80", 64, 32, 0, 1], // 32 blocks of two warps
  ["sm_80", 32, 16, 0, 0.5], // 32 blocks of one warp
  ["sm_90a", 128, 128, 0, 0.25], // four blocks, by registers
  ["sm_90a", 128, 32, 100 << 10, 0.125], // two blocks, by shared memory
])("%s: %d threads with %d registers and %d bytes: %d", (arch, threads, registers, sharedBytes, share) => {
  expect(occupancy(arch, threads, { registers, sharedBytes, stackBytes: 0, spillBytes: 0 })).toBe(share);
});
