/**
 * Preloaded into processes that tests end or stop: the one of rank DIE_RANK sends itself DIE_SIGNAL at DIE_AT: `start`, before
 * anything; `compiling`, when it compiles its first kernel; `output`, when its part of a result is written; else when it
 * tells the others that it does something that matches. Without a signal it says `there` on its standard output instead. At
 * `full`, before it writes, the system lets it write no more than 1 KiB into a file.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { Socket } from "node:net";

const { DIE_RANK, DIE_SIGNAL, DIE_AT = "", OMPI_COMM_WORLD_RANK, PMI_RANK, RANK, SLURM_PROCID } = process.env;
const end = () => (DIE_SIGNAL ? process.kill(process.pid, DIE_SIGNAL) : fs.writeSync(1, "there\n"));
/** What a launcher starts is only the parent (cli/guard.ts). */
const isParent = !process.connected;

if (!isParent && (OMPI_COMM_WORLD_RANK ?? PMI_RANK ?? RANK ?? SLURM_PROCID) === DIE_RANK) {
  if (DIE_AT === "start") end();
  else if (DIE_AT === "full") {
    const { openSync } = fs;
    fs.openSync = (path, flags, ...rest) => {
      if (flags === "r+") spawnSync("prlimit", ["--pid", `${process.pid}`, "--fsize=1024"]);
      return openSync(path, flags, ...rest);
    };
    syncBuiltinESMExports();
  } else if (DIE_AT === "compiling") WebAssembly.compile = end;
  else if (DIE_AT === "output") {
    fs.fsyncSync = end;
    syncBuiltinESMExports();
  } else {
    const { write } = Socket.prototype;
    Socket.prototype.write = function (data, ...rest) {
      const [, doing = ""] = /"kind":"beat","doing":\["(.*?)"/.exec(typeof data === "string" ? data : "") ?? [];
      const sent = write.call(this, data, ...rest);
      if (new RegExp(DIE_AT).test(doing)) setImmediate(end);
      return sent;
    };
  }
}
