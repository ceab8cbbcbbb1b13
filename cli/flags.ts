/** What the flags' values mean. A value that means nothing ends the command with exit code 2 and says what would. */
import { InvalidArgumentError } from "commander";

/** Names and whole numbers: `--dims B=1,S=1024`, `--mesh sp=4,tp=2`. */
export type Sizes = Readonly<Record<string, number>>;

/** Reads `B=1,S=1024`; the flag may stand several times, and a later value counts. */
export function sizes(text: string, before: Sizes = {}): Sizes {
  const found: Record<string, number> = { ...before };
  for (const part of text.split(",").filter((p) => p.trim() !== "")) {
    const [, name, value] = /^\s*([A-Za-z_]\w*)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined)
      throw new InvalidArgumentError(`'${part.trim()}' is not of the form NAME=NUMBER, as in B=1,S=1024.`);
    const size = Number(value);
    if (!Number.isSafeInteger(size) || size < 1 || !/^\d+$/.test(value!)) {
      throw new InvalidArgumentError(`the size of ${name} is '${value}'; a size is a whole number from 1 on.`);
    }
    found[name] = size;
  }
  return found;
}

/** A whole number from `least` on, for `--seed` and `--repeat`. */
export const count =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`'${text}' is not a whole number from ${least} on.`);
  };

/** `--link bandwidth=1e9,latency=5e-6`: bytes per second and seconds; or a machine, whose links are taken. */
export type LinkFlag = { readonly bandwidth: number; readonly latency: number } | { readonly machine: string };
export function linkFlag(text: string): LinkFlag {
  if (!text.includes("=")) return { machine: text };
  const found = { bandwidth: Number.POSITIVE_INFINITY, latency: 0 };
  for (const part of text.split(",")) {
    const [, name, value] = /^\s*(bandwidth|latency)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    const number = Number(value);
    if (name === undefined || !Number.isFinite(number) || number < 0 || (name === "bandwidth" && number === 0))
      throw new InvalidArgumentError(
        `'${part.trim()}' is not of the form bandwidth=1e9 (bytes/s) or latency=5e-6 (s).`,
      );
    found[name as keyof typeof found] = number;
  }
  return found;
}

/** `--in q=q.npy` or `--in weights.npz`; the flag may stand several times. */
export type InFlag = { readonly name?: string; readonly file: string };
export function inFlag(text: string, before: readonly InFlag[] = []): readonly InFlag[] {
  const [, name, file] = /^([A-Za-z_][\w.]*)=(.+)$/.exec(text) ?? [];
  if (name !== undefined && file !== undefined) return [...before, { name, file }];
  if (text === "" || text.startsWith("="))
    throw new InvalidArgumentError(`'${text}' names no file; write NAME=FILE.npy.`);
  return [...before, { file: text }];
}

/** `auto`, `cuda`, `webgpu`, `cpu`, `reference`; devices may be picked: `webgpu:0-3`. */
export function backend(text: string): string {
  if (/^(auto|reference|(cuda|webgpu|cpu)(:[\d,-]+)?)$/.test(text)) return text;
  const near = nearest(text, ["auto", "cuda", "webgpu", "cpu", "reference"]);
  throw new InvalidArgumentError(
    `'${text}' is no backend${near ? ` (did you mean ${near}?)` : ""}; there are auto, cuda, webgpu, cpu and reference.`,
  );
}

/** `sm_80`, `sm_90a`: an architecture of NVIDIA's GPUs from 8.0 on, which is the first that computes with bf16. */
export function arch(text: string): string {
  const [, number] = /^sm_(\d{2,3})[af]?$/.exec(text) ?? [];
  if (number !== undefined && Number(number) >= 80) return text;
  throw new InvalidArgumentError(`'${text}' is no architecture from sm_80 on, as sm_80, sm_86, sm_90a.`);
}

/** The candidate that `name` is most likely a slip of, if any is near enough. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 0.5;
  for (const candidate of candidates) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) {
      best = candidate;
      least = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours from `a` to `b`. */
function edits(a: string, b: string): number {
  const d = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array<number>(b.length).fill(0)]);
  for (let j = 0; j <= b.length; j++) d[0]![j] = j;
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      const change = d[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(d[i - 1]![j]! + 1, d[i]![j - 1]! + 1, change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, d[i - 2]![j - 2]! + 1);
      d[i]![j] = least;
    }
  return d[a.length]![b.length]!;
}
