import type { ListedDevice } from "../../runtime/backend.ts";
import type { ListedBackend } from "../../runtime/open.ts";
import type { Declare } from "../command.ts";
import { type Colors, colors } from "../io.ts";
import { humanBytes } from "../text.ts";

/** `gyre devices`: what each backend finds, and why one finds none. */
export const devicesCommand: Declare = (program, io) => {
  program
    .command("devices")
    .description(
      "list the devices that each backend finds, and the libraries that connect them, and why there are none",
    )
    .option("--json", "machine-readable output on standard output")
    .addHelpText("after", "\nExamples:\n  $ gyre devices\n  $ gyre devices --json | jq '.[].devices[]?.name'")
    .action(async (options: { json?: true }) => {
      const [{ listDevices }, { listMpi }, { listNccl }] = await Promise.all([
        import("../../runtime/open.ts"),
        import("../../runtime/transport/mpi.ts"),
        import("../../runtime/transport/nccl/library.ts"),
      ]);
      const backends = [...(await listDevices()), reference];
      const transports = [
        { transport: "mpi", ...(await listMpi()) },
        { transport: "nccl", ...(await listNccl()) },
      ];
      if (options.json) return io.out(`${JSON.stringify([...backends, ...transports], null, 2)}\n`);
      const styles = colors(io.outColor);
      const lines = [...backends.map((b) => describe(b, styles)), ...transports.map((t) => libraries(t, styles))];
      io.out(`${lines.join("\n")}\n`);
    });
};

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
