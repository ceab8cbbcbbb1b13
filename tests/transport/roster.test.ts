/** Who is there: exchanges, what is told when somebody is gone or silent, and by whom. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { agree } from "../../runtime/transport/cluster.ts";
import { host, join, listen } from "../../runtime/transport/meet.ts";

const KEY = "test";
async function roster(size: number, real: number, limitMs: number) {
  const listening = await listen("127.0.0.1", 0);
  const options = { size, hosts: ["127.0.0.1"], port: listening.port, key: KEY, limitMs };
  const members = Array.from({ length: real }, (_, rank) => {
    const own = { ...options, rank, hostName: "here" };
    return rank === 0 ? host(own, listening) : join(own);
  });
  return { members, port: listening.port };
}

/** A process that joins by hand, and does what a test says. */
function stranger(port: number, rank: number, size: number, key = KEY) {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(`${JSON.stringify({ kind: "hello", rank, size, key, hostName: "here" })}\n`);
  return socket;
}

test("everyone gets everyone's value, round by round", async () => {
  const all = await Promise.all((await roster(3, 3, 5000)).members);
  const got = await Promise.all(
    all.map(async (r) => [await r.exchange(r.rank), await r.exchange({ twice: 2 * r.rank })]),
  );
  for (const values of got)
    expect(values).toEqual([
      [0, 1, 2],
      [{ twice: 0 }, { twice: 2 }, { twice: 4 }],
    ]);
  for (const r of all) expect(Math.abs(await r.clock())).toBeLessThan(5000);
  await Promise.all(all.map((r) => r.leave()));
});

test("a process that is gone: one tells who, where, and where the others were; the others know that it is told", async () => {
  const { members, port } = await roster(3, 2, 5000);
  const socket = stranger(port, 2, 3);
  const [zero, one] = await Promise.all(members);
  zero!.at("step 'k'");
  socket.write(`${JSON.stringify({ kind: "beat", doing: ["step 'v'"] })}\n`, () => socket.destroy());
  await expect(zero!.broken).rejects.toMatchObject({
    kind: "peer",
    message: "rank 2 is gone: its process ended at 'step 'v''; the others were at: rank 0: step 'k', rank 1: start",
  });
  await expect(one!.broken).rejects.toMatchObject({ kind: "told" });
  await expect(one!.exchange(1)).rejects.toMatchObject({ kind: "told" });
});

test("a silent process is one that has stopped", async () => {
  const { members, port } = await roster(2, 1, 1000);
  stranger(port, 1, 2);
  const [zero] = await Promise.all(members);
  await expect(zero!.broken).rejects.toThrow("rank 1 has not answered for 1 s: it was last at 'start'");
});

test.each([
  ["rank 1 tells it", ["a", "a", "a"], ["peer", "told"], ["rank 0 is", "rank 1: start, rank 2: start"]],
  [
    "on a host with rank 1, rank 2 on another tells it, and names the hosts",
    ["a", "a", "b"],
    ["told", "peer"],
    ["rank 0 (a) is", "rank 1 (a): start, rank 2 (b): start"],
  ],
])("where rank 0 is gone, %s", async (_, hostNames, kinds, [who, others]) => {
  const listening = await listen("127.0.0.1", 0);
  listening.server.on("connection", (socket) => {
    for (const message of [{ kind: "welcome" }, { kind: "everyone", hostNames }])
      socket.write(`${JSON.stringify(message)}\n`);
    setTimeout(() => socket.destroy(), 50);
  });
  const options = { size: 3, hosts: ["127.0.0.1"], port: listening.port, key: KEY, limitMs: 5000 };
  const all = await Promise.all([1, 2].map((rank) => join({ ...options, rank, hostName: hostNames[rank]! })));
  const message = `${who} gone: its process ended at 'start'; the others were at: ${others}`;
  for (const [i, { broken }] of all.entries()) await expect(broken).rejects.toMatchObject({ kind: kinds[i], message });
  listening.server.close();
});

test("rank 0 gone before all had come: rank 1 tells it", async () => {
  const listening = await listen("127.0.0.1", 0);
  listening.server.on("connection", (socket) => {
    socket.write(`${JSON.stringify({ kind: "welcome" })}\n`);
    setTimeout(() => socket.destroy(), 50);
  });
  const options = { size: 3, hosts: ["127.0.0.1"], port: listening.port, key: KEY, limitMs: 5000, hostName: "here" };
  const all = await Promise.allSettled([1, 2].map((rank) => join({ ...options, rank })));
  expect(all.map((one) => one.status === "rejected" && one.reason.kind)).toEqual(["peer", "told"]);
  listening.server.close();
});

test("those who do not come are named, and those who came know it; strangers are not let in", async () => {
  const { members, port } = await roster(4, 2, 1500);
  stranger(port, 2, 4, "another run");
  stranger(port, 2, 7);
  stranger(port, 3, 4);
  const message = "rank 2 did not come within 1.5 s: 4 processes were announced to rank 0; not let in: rank 2 of 7";
  const [zero, one] = await Promise.allSettled(members);
  expect(zero).toMatchObject({ reason: { kind: "peer", message } });
  expect(one).toMatchObject({ reason: { kind: "told", message } });
});

test("nobody at rank 0's address", async () => {
  const options = { size: 2, hosts: ["127.0.0.1"], port: 1, key: KEY, limitMs: 200, hostName: "here" };
  const message = "rank 1 finds no rank 0 at 127.0.0.1, port 1, within 0.2 s: nobody listens there";
  await expect(join({ ...options, rank: 1 })).rejects.toThrow(message);
  await expect(join({ ...options, rank: 1, port: 65_535 })).rejects.toThrow("finds no rank 0");
});

test("who does not belong to the run is told why", async () => {
  const { members, port } = await roster(2, 2, 5000);
  const all = await Promise.all(members);
  const options = { size: 2, hosts: ["127.0.0.1"], port, key: KEY, limitMs: 1000, hostName: "here" };
  const refused = [
    [{ rank: 1 }, "another process there is rank 1 already"],
    [{ rank: 1, size: 3 }, "rank 0 there is one of 2 processes, and this is one of 3"],
    [{ rank: 1, key: "another" }, "rank 0 there is of another run"],
  ] as const;
  await Promise.all(refused.map(([who, why]) => expect(join({ ...options, ...who })).rejects.toThrow(`: ${why}`)));
  await Promise.all(all.map((r) => r.leave()));
});

test("the first that fails says why, and no one else", async () => {
  const all = await Promise.all((await roster(3, 3, 5000)).members);
  expect(await all[2]!.fail()).toBe(true);
  expect(await Promise.all([all[0]!.fail(), all[1]!.fail()])).toEqual([false, false]);
});

test("processes that run something else do not start", async () => {
  const all = await Promise.all((await roster(2, 2, 5000)).members);
  const agreed = await Promise.allSettled(all.map((r) => agree(r, "command", { dims: `S=${256 * (r.rank + 1)}` })));
  expect(agreed.map((a) => a.status === "rejected" && a.reason.kind)).toEqual(["peer", "told"]);
  expect(agreed[0]).toMatchObject({
    reason: { message: "the processes do not run the same command: rank 1 has dims S=512, and rank 0 has S=256" },
  });
});
