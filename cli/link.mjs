/**
 * Makes `npx gyre` work in a clone: npm links the commands of dependencies into node_modules/.bin, but not a package's
 * own. Part of `npm run prepare`; does nothing where there is no such folder.
 */
import { chmodSync, existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "../node_modules/.bin");
if (existsSync(folder)) {
  const link = join(folder, "gyre");
  rmSync(link, { force: true });
  if (process.platform === "win32") {
    writeFileSync(`${link}.cmd`, '@node "%~dp0\\..\\..\\dist\\gyre.js" %*\r\n');
  } else {
    symlinkSync("../../dist/gyre.js", link);
    chmodSync(link, 0o755);
  }
}
