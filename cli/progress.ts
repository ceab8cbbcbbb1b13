/** A line on the terminal for what takes longer than a second; nothing where nobody looks on. */
import type { Io } from "./io.ts";
import { humanTime } from "./text.ts";

const PATIENCE_MS = 1000;
const TICK_MS = 200;

export type Progress = {
  /** Says what is being done now, and how far it is (0 … 1), where that is known. */
  readonly at: (what: string, share?: number) => void;
  /** Takes the line away. */
  readonly done: () => void;
};

export function progress(io: Io): Progress {
  if (!io.live) return { at: () => {}, done: () => {} };
  const began = performance.now();
  let line = "",
    shown = false;
  const draw = (): void => {
    const spent = performance.now() - began;
    if (spent < PATIENCE_MS || line === "") return;
    shown = true;
    io.err(`\r\u001b[2K${line} ${humanTime(spent)}`);
  };
  const timer = setInterval(draw, TICK_MS);
  timer.unref();
  return {
    at: (what, share) => {
      line = share === undefined ? what : `${bar(share)} ${what}`;
      draw();
    },
    done: () => {
      clearInterval(timer);
      if (shown) io.err("\r\u001b[2K");
      line = "";
    },
  };
}

const bar = (share: number): string => {
  const full = Math.round(Math.max(0, Math.min(1, share)) * 20);
  return `[${"█".repeat(full)}${" ".repeat(20 - full)}]`;
};
