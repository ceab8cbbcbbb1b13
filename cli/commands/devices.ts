import type { ListedDevice } from "../../runtime/backend.ts";
import type { ListedBackend } from "../../runtime/open.ts";
import type { Declare } from "../command.ts";
import { type Colors, colors } from "../io.ts";
import { humanBytes } from "../text.ts";

/** `gyre devices`: what each backend finds, and why one finds none. */
export const devicesCommand: Declare = (program, io) => {
  program
    .command("devices")
    .description("list the devices that each backend finds, and why one finds none")
    .option("--json", "machine-readable output on standard output")
    .addHelpText("after", "\nExamples:\n  $ gyre devices\n  $ gyre devices --json | jq '.[].devices[].name'")
    .action(async (options: { json?: true }) => {
      const { listDevices } = await import("../../runtime/open.ts");
      const backends = [...(await listDevices()), reference];
      if (options.json) io.out(`${JSON.stringify(backends, null, 2)}\n`);
      else io.out(`${backends.map((b) => describe(b, colors(io.outColor))).join("\n")}\n`);
    });
};

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
