/** A GPU and its driver, but nothing that compiles kernels. In a file of its own: the compiler is looked for once in a process. */
import { expect, test } from "vitest";
import { devices, kernel } from "./device.ts";
import { standIn } from "./stand-in.ts";

test.skipIf("why" in standIn)("what to install is said", async () => {
  const [device] = await devices(1);
  process.env.GYRE_NVRTC = process.env.GYRE_NVCC = "/nowhere/at/all";
  await expect(device!.compile(kernel("y[0] = x[0];"))).rejects.toMatchObject({
    kind: "no-device",
    message: expect.stringContaining("neither NVRTC nor nvcc"),
    help: expect.stringContaining("install the CUDA toolkit"),
  });
});
