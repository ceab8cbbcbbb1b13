/** Attention by others, in a process of Python (peers.py): a line of JSON for each question, and one for each answer. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Case } from "./cases.ts";

export const peers = ["flash", "cudnn", "flex", "jax"] as const;
export type Peer = (typeof peers)[number];

/** Milliseconds of each run by the GPU's clock; or why there are none. */
export type Answer = { readonly ms: readonly number[] } | { readonly why: string };
export type Peers = {
  readonly ask: (peer: Peer, c: Case, repeat: number) => Promise<Answer>;
  readonly close: () => void;
};

/** `command`: a Python. Where it is missing or ends, that is every answer. */
export function startPeers(command = "python3"): Peers {
  const child = spawn(command, [new URL("peers.py", import.meta.url).pathname], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const gone = new Promise<Answer>((resolve) => {
    child.on("error", () => resolve({ why: `there is no ${command}` }));
    child.on("exit", () => resolve({ why: `the process of ${command} ended` }));
  });
  child.stdin.on("error", () => {});
  return {
    async ask(contender, c, repeat) {
      child.stdin.write(`${JSON.stringify({ contender, case: c, repeat })}\n`);
      const answer = lines
        .next()
        .then(({ value, done }): Answer | Promise<Answer> => (done ? gone : JSON.parse(value)));
      return Promise.race([answer, gone]);
    },
    close: () => child.stdin.end(),
  };
}
