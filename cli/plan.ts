/** `gyre plan`: from flags to a question for the planner. */
import { type Diagnostic, isError } from "../compiler/base/diagnostic.ts";
import { elaborateEntry, entrySignature, type Signature } from "../compiler/core/elaborate.ts";
import type { Candidate, Question } from "../planner/candidate.ts";
import { search } from "../planner/search.ts";
import { meshes } from "../planner/space.ts";
import { type ExitCode, usage, wrong } from "./exit.ts";
import { colors, type Io } from "./io.ts";
import { machineOf } from "./machines.ts";
import { describePlan, type PlanOptions, planJson } from "./planned.ts";
import { entryFlags, refused, sourceOf } from "./program.ts";
import { progress } from "./progress.ts";
import { exchangeableGroups, readSource } from "./sources.ts";
import { plural } from "./text.ts";

/** What hangs on sizes, so that other sizes may do. */
const SIZES = /^GY(6003|6004|6011|6013)$/;

export async function plan(file: string, options: PlanOptions, io: Io): Promise<ExitCode> {
  sourceOf(file);
  const { machine, diagnostics } = machineOf(options.machine);
  if (!machine) return refused(diagnostics, options, io);
  const { choices = {}, ...flags } = entryFlags(options);
  const given = { entry: flags.entry, meshSizes: flags.meshSizes ?? {} };
  const { signature, diagnostics: wrongHere } = entrySignature(file, readSource, given);
  if (!signature) return refused(wrongHere, options, io);
  const devices = devicesOf(options, signature, machine.devicesPerNode);
  const { exchangeable: _, ...fixed } = choices;
  const question: Question = {
    path: file,
    read: readSource,
    entry: options.entry,
    dims: options.dims ?? {},
    devices,
    // Without a number of devices, the sizes in the source hold too.
    mesh: options.devices === undefined && options.nodes === undefined ? sizesOf(signature) : given.meshSizes,
    fixed,
    exchangeable: exchangeableGroups(),
    machine,
    memory: options.memory ?? machine.memory.bytes,
  };
  const [mesh] = meshes(question, signature);
  if (!mesh)
    throw usage(
      `${plural(devices, "device")} cannot be dealt out over the mesh ${signature.mesh.name}(${signature.mesh.axes.map((a) => a.name).join(", ")})`,
      "give fewer sizes with --mesh, or another number of --devices",
    );
  const errors = errorsOf(question, mesh);
  if (errors.length > 0) return refused(errors, options, io);

  const line = progress(io);
  const result = await search(question, {
    limit: options.limit * 1000,
    told: options.top,
    progress: async (tried, of) => {
      line.at(`${tried} of ${of} ways`, tried / of);
      if (io.live) await new Promise(setImmediate);
    },
  });
  line.done();
  if (options.json) io.out(`${JSON.stringify(planJson(question, result, options), null, 2)}\n`);
  else io.out(`${describePlan(file, question, signature, result, options, colors(io.outColor))}\n`);
  if (result.best.length > 0) return 0;
  throw wrong(
    `no way to run ${signature.name} on ${plural(devices, "device")} of ${machine.name} was found`,
    result.cut
      ? "give it more time with --limit"
      : "the reasons are above: other --dims, more --devices or --memory may do",
  );
}

/** Errors that no choice mends. */
function errorsOf(q: Question, mesh: Candidate["mesh"]): readonly Diagnostic[] {
  const { entry, dims } = q;
  const { diagnostics } = elaborateEntry(q.path, q.read, { entry, dims, meshSizes: mesh });
  const errors = diagnostics.filter(isError);
  return errors.some((d) => !SIZES.test(d.code)) ? errors : [];
}

const sizesOf = ({ mesh }: Signature): Readonly<Record<string, number>> =>
  Object.fromEntries(mesh.axes.flatMap((a) => (a.size === undefined ? [] : [[a.name, a.size]])));

/** The number of devices. Errors: it is not said, or there are not so many (exit 2). */
function devicesOf({ devices, nodes }: PlanOptions, signature: Signature, perNode: number): number {
  const there = nodes === undefined ? undefined : nodes * perNode;
  if (devices !== undefined) {
    if (there !== undefined && devices > there)
      throw usage(
        `${plural(nodes!, "node")} of the machine have ${there} devices, and --devices asks for ${devices}`,
        `give it --nodes ${Math.ceil(devices / perNode)}, or leave --nodes out`,
      );
    return devices;
  }
  if (there !== undefined) return there;
  const open = signature.mesh.axes.filter((a) => a.size === undefined).map((a) => a.name);
  if (open.length > 0)
    throw usage(
      `the mesh ${signature.mesh.name} leaves the size of ${open.join(", ")} open, and no number of devices is given`,
      "give --devices or --nodes",
    );
  return signature.mesh.axes.reduce((n, a) => n * a.size!, 1);
}
