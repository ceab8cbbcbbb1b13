/** One process of tests that need several: `mpirun -np 4 node --import tsx tests/mpi/rank.ts`. */
import { joinCluster } from "../../runtime/transport/cluster.ts";
import { launchOf } from "../../runtime/transport/launcher.ts";
import { checkOperations } from "../transport/operations.ts";

const launch = launchOf(process.env);
if (!launch) throw new Error("not started by a launcher");
const cluster = await joinCluster(launch, { transport: "auto", limitMs: 60_000 });
await checkOperations(cluster.transport);
const everyone = await cluster.roster.exchange(`rank ${launch.rank}`);
if (launch.rank === 0) process.stdout.write(`${everyone.join(", ")} agree on ${cluster.transport.name}\n`);
await cluster.leave();
process.exit(0);
