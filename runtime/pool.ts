/**
 * A free list: things of a size (buffers) are kept when they are given back, and handed out again.
 *
 * Sizes are rounded up to *classes*, four to a power of two (1, 1.25, 1.5, 1.75 × 2^k), so at most a quarter is wasted
 * and nearly equal sizes share. At most `keepBytes` lie idle; beyond that, what comes back is destroyed.
 */
export type Pool<T> = {
  /** A thing of at least `bytes` bytes; what it held before is still in it. */
  take(bytes: number): T;
  give(thing: T): void;
  /** Destroys what lies idle. */
  clear(): void;
};

export type PoolOps<T> = {
  readonly make: (bytes: number) => T;
  readonly size: (thing: T) => number;
  readonly destroy: (thing: T) => void;
  readonly keepBytes: number;
};

export function createPool<T>(ops: PoolOps<T>): Pool<T> {
  const idle = new Map<number, T[]>();
  let idleBytes = 0;
  return {
    take(bytes) {
      const size = sizeClass(bytes);
      const found = idle.get(size)?.pop();
      if (found === undefined) return ops.make(size);
      idleBytes -= size;
      return found;
    },
    give(thing) {
      const size = ops.size(thing);
      if (idleBytes + size > ops.keepBytes) return ops.destroy(thing);
      const list = idle.get(size);
      if (list) list.push(thing);
      else idle.set(size, [thing]);
      idleBytes += size;
    },
    clear() {
      for (const list of idle.values()) for (const thing of list) ops.destroy(thing);
      idle.clear();
      idleBytes = 0;
    },
  };
}

/** The smallest class that holds `bytes`: a multiple of 4, at least 256. */
export function sizeClass(bytes: number): number {
  let power = 256;
  while (power * 2 <= bytes) power *= 2;
  for (const quarters of [4, 5, 6, 7]) {
    const size = (power / 4) * quarters;
    if (size >= bytes) return size;
  }
  return power * 2;
}
