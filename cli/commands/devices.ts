import type { ListedDevice } from "../../runtime/backend.ts";
import type { ListedBackend } from "../../runtime/open.ts";
import type { Declare } from "../command.ts";
import { type Colors, colors } from "../io.ts";
import { humanBytes } from "../text.ts";

/** `gyre devices`: what each backend finds, and why one finds none; of several processes, on whose hosts that is so. */
export const devicesCommand: Declare = (program, io, done) => {
  program
    .command("devices")
    .description(
      "list the devices that each backend finds, and the libraries that connect them, and why there are none",
    )
    .option("--json", "machine-readable output on standard output")
    .addHelpText("after", EXAMPLES)
    .action(async ({ json }: { json?: true }) => {
      const { launchOf } = await import("../../runtime/transport/launcher.ts");
      const launch = launchOf(io.env);
      const styles = colors(io.outColor);
      if (!launch) {
        const found = await look();
        return io.out(json ? printJson([...found.backends, ...found.transports]) : `${describeAll(found, styles)}\n`);
      }
      const { together } = await import("../cluster.ts");
      const code = await together(launch, { transport: "auto", peerTimeout: 30 }, io, async ({ roster }, own) => {
        const groups = alike(await roster.exchange(await look()), roster.hostNames);
        const lines = groups.map((g) => `${styles.bold(whose(g.ranks, g.hosts))}\n${describeAll(g.found, styles)}`);
        own.out(json ? printJson(groups) : `${lines.join("\n\n")}\n`);
        return 0;
      });
      done(code);
    });
};

const EXAMPLES = `
Examples:
  $ gyre devices
  $ gyre devices --json | jq '.[].devices[]?.name'
  $ mpirun -np 4 gyre devices                    what the processes find on their hosts`;

type Looked = { readonly backends: readonly ListedBackend[]; readonly transports: readonly Libraries[] };

async function look(): Promise<Looked> {
  const [{ listDevices }, { listMpi }, { listNccl }] = await Promise.all([
    import("../../runtime/open.ts"),
    import("../../runtime/transport/mpi.ts"),
    import("../../runtime/transport/nccl/library.ts"),
  ]);
  return {
    backends: [...(await listDevices()), reference],
    transports: [
      { transport: "mpi", ...(await listMpi()) },
      { transport: "nccl", ...(await listNccl()) },
    ],
  };
}

/** Processes that find the same. `hosts[i]` is that of `ranks[i]`. */
type Group = { readonly ranks: readonly number[]; readonly hosts: readonly string[]; readonly found: Looked };

function alike(all: readonly Looked[], hostNames: readonly string[]): readonly Group[] {
  const groups = new Map<string, { ranks: number[]; hosts: string[]; found: Looked }>();
  for (const [rank, found] of all.entries()) {
    const key = JSON.stringify(found);
    const group = groups.get(key) ?? { ranks: [], hosts: [], found };
    group.ranks.push(rank);
    group.hosts.push(hostNames[rank]!);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** `rank 0 on a, ranks 1, 2 on b`. */
function whose(ranks: readonly number[], hosts: readonly string[]): string {
  const on = [...new Set(hosts)].map((host) => ({ host, ranks: ranks.filter((_, i) => hosts[i] === host) }));
  return on.map((o) => `${o.ranks.length === 1 ? "rank" : "ranks"} ${o.ranks.join(", ")} on ${o.host}`).join(", ");
}

const printJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const describeAll = ({ backends, transports }: Looked, styles: Colors): string =>
  [...backends.map((b) => describe(b, styles)), ...transports.map((t) => libraries(t, styles))].join("\n");

/** The libraries of a transport between processes, as far as they are found. */
type Libraries = { readonly transport: string; readonly found: readonly string[]; readonly why: readonly string[] };
const libraries = ({ transport, found, why }: Libraries, { bold, dim }: Colors): string =>
  [bold(transport), ...found.map((line) => `  ${line}`), ...why.map((line) => dim(`  ${line}`))].join("\n");

const reference = { backend: "reference", devices: [], why: ["the interpreter in float64: always there, slow, exact"] };

function describe({ backend, devices, why }: ListedBackend, { bold, dim, green }: Colors): string {
  const head = devices.length > 0 ? `${bold(backend)}  ${green(`${devices.length} found`)}` : `${bold(backend)}`;
  return [head, ...devices.flatMap((d, i) => device(d, i)), ...why.map((line) => dim(`  ${line}`))].join("\n");
}

function device(d: ListedDevice, number: number): readonly string[] {
  const { limits: l, features: f } = d;
  const subgroups = f.subgroups === false ? "no subgroups" : `subgroups of ${range(f.subgroups.min, f.subgroups.max)}`;
  return [
    `  ${number}  ${d.name}${d.software ? " (software)" : ""}`,
    `     ${[subgroups, f.f16 ? "f16" : "no f16", f.timestamps ? "timestamps" : "no timestamps"].join(", ")}`,
    `     buffers to ${humanBytes(l.maxBindingBytes)}, ${humanBytes(l.workgroupMemoryBytes)} of workgroup memory, ${l.maxWorkgroupInvocations} invocations`,
  ];
}

const range = (a: number, b: number): string => (a === b ? `${a}` : `${a} to ${b}`);
