/** Packages of the bench folder's own, which need not be installed. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const modules = fileURLToPath(new URL("../node_modules/", import.meta.url));

/** The version that is installed, if it is. */
export function peerVersion(name: string): string | undefined {
  const file = `${modules}${name}/package.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version : undefined;
}

/** Imports a file of a package; the caller says what it uses of it. */
export const importPeer = (path: string): Promise<unknown> => import(pathToFileURL(`${modules}${path}`).href);

export const peerPath = (path: string): string => `${modules}${path}`;

/** [S, H, D] to [H, S, D]; with S and H exchanged, the way back. */
export function byHead(x: Float32Array, length: number, heads: number): Float32Array {
  const depth = x.length / length / heads;
  const out = new Float32Array(x.length);
  for (let s = 0; s < length; s++)
    for (let h = 0; h < heads; h++)
      out.set(x.subarray((s * heads + h) * depth, (s * heads + h + 1) * depth), (h * length + s) * depth);
  return out;
}
