/** Memory of devices: a shared WebAssembly memory, handed out in blocks that are zero at first. */

export type Arena = {
  readonly memory: WebAssembly.Memory;
  /** The address of `bytes` zeros, a multiple of 64; undefined where there are no more. */
  readonly take: (bytes: number) => number | undefined;
  readonly give: (address: number, bytes: number) => void;
  readonly bytes: (address: number, bytes: number) => Uint8Array;
};

const PAGE = 65536;
/** Kernels' constants in addresses reach this far (compiler/emit/wasm.ts), so nothing lies below. */
const FIRST = 1 << 20;
const ALIGN = 64;
const rounded = (bytes: number): number => Math.ceil(Math.max(1, bytes) / ALIGN) * ALIGN;

/** At most `mostPages` of 64 KiB. */
export function createArena(mostPages: number): Arena {
  const memory = new WebAssembly.Memory({ initial: FIRST / PAGE, maximum: mostPages, shared: true });
  /** By address; neighbours are joined. */
  let free: { at: number; bytes: number }[] = [];
  /** From here on nothing was ever handed out, and all is zero. */
  let fresh = FIRST;

  const grow = (to: number): boolean => {
    const have = memory.buffer.byteLength;
    if (to <= have) return true;
    const most = mostPages * PAGE;
    if (to > most) return false;
    // By halves again, so that it happens seldom.
    const want = Math.min(most, Math.max(to, Math.ceil(have * 1.5)));
    for (const size of [want, to]) {
      try {
        memory.grow(Math.ceil((size - have) / PAGE));
        return true;
      } catch {
        // the next, smaller one
      }
    }
    return false;
  };

  return {
    memory,
    bytes: (address, bytes) => new Uint8Array(memory.buffer, address, bytes),
    take(asked) {
      const bytes = rounded(asked);
      const place = free.findIndex((f) => f.bytes >= bytes);
      if (place >= 0) {
        const found = free[place]!;
        const { at } = found;
        if (found.bytes === bytes) free.splice(place, 1);
        else free[place] = { at: at + bytes, bytes: found.bytes - bytes };
        new Uint8Array(memory.buffer, at, bytes).fill(0);
        return at;
      }
      // Four elements may be read where only one is left.
      if (!grow(fresh + bytes + ALIGN)) return undefined;
      const at = fresh;
      fresh += bytes;
      return at;
    },
    give(at, asked) {
      const all = [...free, { at, bytes: rounded(asked) }].sort((a, b) => a.at - b.at);
      free = [];
      for (const block of all) {
        const last = free.at(-1);
        if (last && last.at + last.bytes === block.at) last.bytes += block.bytes;
        else free.push({ ...block });
      }
    },
  };
}
