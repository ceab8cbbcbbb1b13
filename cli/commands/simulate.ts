import type { Declare } from "../command.ts";
import { cannot } from "../exit.ts";

/** `gyre simulate`: the name is taken, the command comes later. */
export const simulateCommand: Declare = (program) => {
  program
    .command("simulate")
    .description("run the schedule on the cost model of a named machine (not supported yet)")
    .argument("<file>", "a Gyre program")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw cannot(
        "`gyre simulate` is not supported yet",
        "`gyre inspect FILE` shows the schedule with its steps and bytes",
      );
    });
};
