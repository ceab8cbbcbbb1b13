/** Transports do what their interface says; schedules run across them as in one process. */
import { expect, test } from "vitest";
import { runSchedule } from "../../runtime/run.ts";
import { joinCluster } from "../../runtime/transport/cluster.ts";
import { host, join, listen } from "../../runtime/transport/meet.ts";
import { memoryTransports } from "../../runtime/transport/memory.ts";
import { acrossProcesses, dealt, devicesBefore } from "../../runtime/transport/remote.ts";
import type { Roster } from "../../runtime/transport/roster.ts";
import { tcpTransport } from "../../runtime/transport/tcp.ts";
import type { Transport } from "../../runtime/transport/transport.ts";
import { fakeMachine, planned } from "../runtime/run-fake.ts";
import { ringSum } from "../schedule/programs.ts";
import { evalProgram } from "../schedule/random.ts";
import { checkOperations } from "./operations.ts";

/** `size` rosters of one run, as separate processes would have them. */
async function rosters(size: number): Promise<readonly Roster[]> {
  const listening = await listen("127.0.0.1", 0);
  const options = { size, hosts: ["127.0.0.1"], port: listening.port, key: "test", limitMs: 5000, hostName: "" };
  return Promise.all([
    host({ ...options, rank: 0 }, listening),
    ...Array.from({ length: size - 1 }, (_, i) => join({ ...options, rank: i + 1 })),
  ]);
}

test.each([1, 2, 3, 5])("all operations in memory, %i ranks", async (size) => {
  await Promise.all(memoryTransports(size).map(checkOperations));
});

test("all operations over sockets", async () => {
  const all = await rosters(3);
  const transports = await Promise.all(all.map((roster) => tcpTransport(roster)));
  await Promise.all(transports.map(checkOperations));
  await Promise.all(all.map((roster) => roster.leave()));
  await Promise.all(transports.map((t) => t.close()));
});

test("a message that does not come is a timeout that names the rank", async () => {
  const all = await rosters(2);
  const [first, second] = await Promise.all(all.map((roster) => tcpTransport(roster, 50)));
  await expect(first!.receive(1, 9, new Uint8Array(4))).rejects.toThrow(
    "receiving 4 bytes from rank 1 did not finish: nothing moved for 0.1 s",
  );
  await Promise.all([first!.close(), second!.close(), ...all.map((roster) => roster.leave())]);
  await expect(memoryTransports(2, 50)[1]!.receive(0, 9, new Uint8Array(4))).rejects.toMatchObject({
    kind: "timeout",
    message: "receiving 4 bytes from rank 0 did not finish: nothing moved for 0.1 s",
  });
});

test("positions are dealt in order, as evenly as can be", () => {
  expect(dealt(8, 4)).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
  ]);
  expect(dealt(5, 2)).toEqual([
    [0, 1],
    [2, 3, 4],
  ]);
});

test("a process takes the devices after those of the processes before it on its host", () => {
  const places = dealt(7, 4); // 1, 2, 2, 2
  const before = (hosts: string, local: readonly (number | undefined)[] = []): readonly number[] =>
    places.map((_, rank) => devicesBefore(places, rank, [...hosts], local[rank]));
  expect(before("aaaa")).toEqual([0, 1, 3, 5]);
  expect(before("aabb")).toEqual([0, 1, 0, 2]);
  expect(before("abab")).toEqual([0, 0, 1, 2]);
  // Launchers count as well; where they count otherwise (hosts of one name), they know better.
  expect(before("aabb", [0, 1, 0, 1])).toEqual([0, 1, 0, 2]);
  expect(before("aaaa", [0, 1, 0, 1])).toEqual([0, 1, 0, 2]);
});

test("processes that may run on the same processors know how many they are", async () => {
  const { server, port } = await listen("127.0.0.1", 0);
  server.close();
  const master = { host: "127.0.0.1", port };
  const joining = [0, 1, 2].map((rank) =>
    joinCluster({ launcher: "a test", rank, size: 3, mpi: [], master }, { transport: "auto", limitMs: 20_000 }),
  );
  const all = await Promise.all(joining);
  expect(all.map(({ sharing, transport }) => [sharing, transport.name])).toEqual(Array(3).fill([3, "TCP"]));
  await Promise.all(all.map((cluster) => cluster.leave()));
});

/** The results of ringSum on each position, by processes that share the mesh through `transports`. */
async function acrossTransports(transports: readonly Transport[], devices: number) {
  const schedule = planned(ringSum(devices));
  const places = dealt(devices, transports.length);
  const results = await Promise.all(
    transports.map(async (transport) => {
      const positions = places[transport.rank]!;
      const all = await fakeMachine(schedule);
      const here = <T>(list: readonly T[]): T[] => positions.map((p) => list[p]!);
      const machine = {
        positions,
        devices: here(all.devices),
        kernels: here(all.kernels),
        memory: here(all.memory),
        carrier: acrossProcesses(transport, places),
      };
      const after = await runSchedule(schedule, machine);
      return Promise.all(
        machine.devices.map(async (device, i) => {
          const { buffer, value } = schedule.outputs[0]!;
          return new Uint32Array(await device.read(after[i]![buffer]!, 0, schedule.values[value]!.bytes));
        }),
      );
    }),
  );
  return [results.flat()];
}

test.each([
  [2, 4],
  [3, 4],
  [4, 4],
])("%i processes compute what one does, on %i devices", async (processes, devices) => {
  expect(await acrossTransports(memoryTransports(processes), devices)).toEqual(evalProgram(ringSum(devices)));
});
