/** What every backend checks of what it is given, before its driver sees it. What is wrong here is a bug of the caller. */
import type { Access, DeviceBuffer, DeviceInfo, Kernel, UniformWords } from "./device.ts";
import { formatBytes } from "./errors.ts";
import { bug, limit } from "./refusals.ts";

/** A buffer as its backend sees it. `owner`: the devices that may touch it have the same. */
export type Owned = DeviceBuffer & { readonly owner: object; freed: boolean };
/** Who asks: a device by its name, and what it owns. */
export type Owner = { readonly name: string; readonly owner: object };

/** Bytes of a buffer that holds `bytes`: whole words, and no more than one array may have. */
export function wholeWords(info: DeviceInfo, bytes: number, label: string): number {
  const size = Math.max(4, Math.ceil(bytes / 4) * 4);
  const most = info.limits.maxBufferBytes;
  if (size > most) limit(info, `'${label}' needs ${formatBytes(size)}`, most);
  return size;
}

export function owned<B extends Owned>({ name, owner }: Owner, buffer: DeviceBuffer, use: string): B {
  const mine = buffer as B;
  if (mine.owner !== owner) bug(`${use} on ${name}: '${buffer.label}' is a buffer of another device`);
  if (mine.freed) bug(`${use} on ${name}: '${buffer.label}' was freed`);
  return mine;
}

/** The buffer, if it has whole words at `offset … offset + bytes`. */
export function ownedRange<B extends Owned>(
  by: Owner,
  buffer: DeviceBuffer,
  offset: number,
  bytes: number,
  use: string,
): B {
  const mine = owned<B>(by, buffer, use);
  if (offset % 4 !== 0 || bytes % 4 !== 0 || offset < 0 || bytes < 0 || offset + bytes > buffer.bytes)
    bug(`${use} on ${by.name}: bytes ${offset} + ${bytes} of '${buffer.label}', which has ${buffer.bytes}`);
  return mine;
}

/** The buffers of a launch. One that is written must not be bound anywhere else in it. */
export function bound<B extends Owned>(
  by: Owner,
  { source }: Kernel,
  bindings: readonly DeviceBuffer[],
  words: UniformWords,
): readonly B[] {
  const { name, access, uniformWords } = source;
  if (bindings.length !== access.length || words.length !== uniformWords)
    bug(
      `kernel '${name}' takes ${access.length} buffers and ${uniformWords} words, and got ${bindings.length} and ${words.length}`,
    );
  const all = bindings.map((buffer) => owned<B>(by, buffer, `kernel '${name}'`));
  const writes = (mode: Access | undefined): boolean => mode === "read_write";
  all.forEach((buffer, i) => {
    const j = all.indexOf(buffer);
    const clash = all.some((other, k) => k < i && other === buffer && (writes(access[k]) || writes(access[i])));
    if (clash) bug(`kernel '${name}': '${buffer.label}' is bound at ${j + 1} and ${i + 1}, and written`);
  });
  return all;
}
