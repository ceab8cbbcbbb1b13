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

/** Axes in parts, major first: `sp=2x8`; the flag may stand several times. */
export type Splits = Readonly<Record<string, readonly number[]>>;
export function splits(text: string, before: Splits = {}): Splits {
  return named(text, before, "sp=2x8", (value) => {
    const parts = value.split("x").map(Number);
    if (parts.length > 1 && /^\d+(x\d+)+$/.test(value) && parts.every((n) => Number.isSafeInteger(n) && n >= 1))
      return parts;
    throw new InvalidArgumentError(`'${value}' is not of the form 2x8: whole numbers from 1 on, major first.`);
  });
}

/** How dimensions lie: `S=zigzag`. */
export type Layouts = Readonly<Record<string, (typeof LAYOUTS)[number]>>;
export const LAYOUTS = ["contiguous", "striped", "zigzag"] as const;
export const layouts = (text: string, before: Layouts = {}): Layouts =>
  named(text, before, "S=zigzag", (value) => oneOf(LAYOUTS, value, "layout"));

/** What is called in the place of what: `ring_attention=hybrid_attention`. */
export type Uses = Readonly<Record<string, string>>;
export const uses = (text: string, before: Uses = {}): Uses =>
  named(text, before, "ring_attention=hybrid_attention", (value) => value);

/** The policy of checkpoints. */
export const POLICIES = ["nothing_saveable", "dots_saveable", "everything_saveable"] as const;
export const policy = (text: string): (typeof POLICIES)[number] => oneOf(POLICIES, text, "policy");

/** `80GB`, `74.5GiB`, `900MB`, or bytes. */
export function byteCount(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([A-Za-z]*)$/.exec(text.trim()) ?? [];
  const scale = BYTES[unit.toLowerCase()];
  if (number === undefined || scale === undefined || !(Number(number) > 0))
    throw new InvalidArgumentError(`'${text}' is no amount of memory; write it as in 80GB, 74.5GiB or 900MB.`);
  return Math.floor(Number(number) * scale);
}
const BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

function oneOf<T extends string>(all: readonly T[], text: string, what: string): T {
  const found = all.find((x) => x === text);
  if (found !== undefined) return found;
  const near = nearest(text, all);
  throw new InvalidArgumentError(
    `'${text}' is no ${what}${near ? ` (did you mean ${near}?)` : ""}; there are ${all.join(", ")}.`,
  );
}
/** Reads `NAME=value,NAME=value`; a later value counts. */
function named<T>(
  text: string,
  before: Readonly<Record<string, T>>,
  example: string,
  read: (value: string) => T,
): Readonly<Record<string, T>> {
  const found: Record<string, T> = { ...before };
  for (const part of text.split(",").filter((p) => p.trim() !== "")) {
    const [, name, value] = /^\s*([A-Za-z_]\w*)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined) throw new InvalidArgumentError(`'${part.trim()}' is not of the form ${example}.`);
    found[name] = read(value!);
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

/** `--link bandwidth=1e9,latency=5e-6,message=1e-6`: bytes per second and seconds; or a machine, whose links are taken. */
export type LinkFlag =
  | { readonly bandwidth: number; readonly latency: number; readonly message?: number }
  | { readonly machine: string };
export function linkFlag(text: string): LinkFlag {
  if (!text.includes("=")) return { machine: text };
  const found: { bandwidth: number; latency: number; message?: number } = {
    bandwidth: Number.POSITIVE_INFINITY,
    latency: 0,
  };
  for (const part of text.split(",")) {
    const [, name, value] = /^\s*(bandwidth|latency|message)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    const number = Number(value);
    if (name === undefined || !Number.isFinite(number) || number < 0 || (name === "bandwidth" && number === 0))
      throw new InvalidArgumentError(
        `'${part.trim()}' is not of the form bandwidth=1e9 (bytes/s), latency=5e-6 or message=1e-6 (s).`,
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
