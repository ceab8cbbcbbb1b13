/** NCCL as one rank on one GPU: every operation of its transport, and a ring with itself. */
import assert from "node:assert/strict";
import { openDevices } from "../../runtime/open.ts";
import { memoryTransports } from "../../runtime/transport/memory.ts";
import { ncclTransport } from "../../runtime/transport/nccl/collectives.ts";
import { communicatorsOf } from "../../runtime/transport/nccl/communicators.ts";
import { loadNccl } from "../../runtime/transport/nccl/library.ts";
import { watchOf } from "../../runtime/transport/nccl/watch.ts";
import { checkOperations } from "../transport/operations.ts";

export async function oneRank(library?: string): Promise<void> {
  const [device] = await openDevices("cuda", 1);
  assert(device?.streams);
  const communicators = communicatorsOf({
    library: await loadNccl(library),
    members: [{ position: 0, device, streams: device.streams }],
    places: [[0]],
    rank: 0,
    exchange: async (value) => [value],
    limitMs: 60_000,
  });
  const transport = ncclTransport(memoryTransports(1)[0]!, communicators, watchOf(communicators, 60_000));
  await checkOperations(transport);
  communicators.close();
  device.close();
}
