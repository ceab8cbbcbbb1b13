/** Finds the GPUs that CUDA can use, or says why there are none. */
import type { Backend, Found, FoundDevice } from "../backend.ts";
import { TIMEOUT_MS } from "../backend.ts";
import { GyreRuntimeError } from "../errors.ts";
import { cudaDevice } from "./device.ts";
import { type Driver, loadDriver } from "./driver.ts";
import { factsOf, openGpu } from "./gpu.ts";
import type { Failed } from "./refusals.ts";

/** The oldest driver: of CUDA 11.8, which is the first that knows all GPUs up to the H100. */
const OLDEST = 11080;
/** The first architecture that computes with bf16. */
const OLDEST_ARCH = 80;

export const cuda: Backend = { name: "cuda", noun: "CUDA GPU", find };

async function find(): Promise<Found> {
  let driver: Driver;
  try {
    driver = await loadDriver();
  } catch {
    const library = process.platform === "win32" ? "nvcuda.dll" : "libcuda.so.1";
    return none(`this machine has no NVIDIA driver (${process.env.GYRE_CUDA_DRIVER ?? library})`);
  }
  try {
    const about: Failed = { device: "cuda", gpu: "the driver", doing: "looking for GPUs" };
    const version = Number(driver.make(about, "cuDriverGetVersion"));
    if (version < OLDEST)
      return none(`the NVIDIA driver is too old: it is for CUDA ${spoken(version)}, and ${spoken(OLDEST)} is needed`);
    driver.call(about, "cuInit", 0);
    const count = Number(driver.make(about, "cuDeviceGetCount"));
    const why: string[] = [];
    const devices = Array.from({ length: count }, (_, ordinal) => ordinal).flatMap((ordinal): FoundDevice[] => {
      const facts = factsOf(driver, ordinal);
      if (Number(/\d+/.exec(facts.arch)![0]) < OLDEST_ARCH) {
        why.push(`${facts.name} is ${facts.arch}; kernels are made for sm_${OLDEST_ARCH} and later`);
        return [];
      }
      const { name, limits, features } = facts;
      return [
        {
          name,
          software: false,
          limits,
          features,
          open: async (names, { timeoutMs = TIMEOUT_MS }) => {
            const gpu = openGpu(driver, facts, names.length);
            return names.map((position) => cudaDevice(gpu, position, timeoutMs));
          },
        },
      ];
    });
    return { devices, why: count === 0 ? ["the driver finds no GPU"] : why };
  } catch (error) {
    if (error instanceof GyreRuntimeError) return none(error.message);
    throw error;
  }
}

const none = (why: string): Found => ({ devices: [], why: [why] });
/** 12040 → `12.4` */
const spoken = (version: number): string => `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
