/** The process of one contender and one workload, named on the command line; it does what it is asked, and tells how long it took. */
import type { Contender, Prepared } from "./contenders/contender.ts";
import { contenders } from "./contenders/table.ts";
import { inputsOf } from "./inputs.ts";
import type { Answer, Request, Spent } from "./protocol.ts";
import { workloads } from "./workloads/table.ts";
import type { Workload } from "./workloads/workload.ts";

const [contenderName, workloadName] = process.argv.slice(2);
const contender = contenders.find(({ name }) => name === contenderName)!;
const workload = workloads.find(({ name }) => name === workloadName)!;
let prepared: Prepared | undefined;

async function answerTo(request: Request): Promise<Answer> {
  if (request.ask === "prepare") return prepare(contender, workload);
  const { times } = request;
  // Who stood still may find its memory elsewhere.
  await prepared!.run();
  const [began, busy] = [performance.now(), process.cpuUsage()];
  const told: Spent[] = [];
  for (let i = 0; i < times; i++) {
    const spent = await prepared!.run();
    if (spent) told.push(spent);
  }
  const { user, system } = process.cpuUsage(busy);
  const here = { wall: (performance.now() - began) / times, processor: (user + system) / 1000 / times };
  const mean = (of: keyof Spent) => told.reduce((sum, spent) => sum + spent[of], 0) / told.length;
  return { answer: "ran", spent: told.length > 0 ? { wall: mean("wall"), processor: mean("processor") } : here };
}

async function prepare({ from }: Contender, workload: Workload): Promise<Answer> {
  const inputs = inputsOf(workload);
  const prepareOn = await from();
  const began = performance.now();
  prepared = await prepareOn(workload, inputs);
  const ms = performance.now() - began;
  if (!prepared) return { answer: "not offered" };
  await prepared.run();
  const results = await prepared.results();
  const values = workload.samples.map(({ output, at }) => at.map((i) => results[output]![i]!));
  return { answer: "ready", ms, values };
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0]!;

process.on("message", (request: Request) => {
  answerTo(request)
    .catch((error): Answer => ({ answer: "failed", why: said(error) }))
    .then((answer) => process.send!(answer));
});
process.on("disconnect", () => process.exit(0));
