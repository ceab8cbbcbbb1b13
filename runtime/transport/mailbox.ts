/** Messages that arrived, and those that are waited for: each pair of rank and tag is a queue of its own. */
export type Mailbox = {
  /** Where the next message of `tag` from `from` goes: into memory that waits for it, else into new memory. */
  readonly open: (
    from: number,
    tag: number,
    bytes: number,
  ) => { readonly into: Uint8Array; readonly arrived: () => void };
  /** Resolves when `into` holds the next message. */
  readonly receive: (from: number, tag: number, into: Uint8Array) => Promise<void>;
  /** Whoever waits for rank `from` is told this, now and later. */
  readonly fail: (from: number, error: unknown) => void;
};

type Wanted = {
  readonly into: Uint8Array;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
};
/** A message in memory of its own; `wanted` is who came for it while it was arriving. */
type Letter = { readonly bytes: Uint8Array; whole: boolean; wanted?: Wanted };
type Slot = { readonly wanted: Wanted[]; readonly kept: Letter[] };

export function mailbox(): Mailbox {
  const slots = new Map<string, Slot>();
  const failures = new Map<number, unknown>();
  const slotOf = (from: number, tag: number): Slot => {
    const key = `${from} ${tag}`;
    const known = slots.get(key) ?? { wanted: [], kept: [] };
    slots.set(key, known);
    return known;
  };
  const give = ({ into, done, failed }: Wanted, bytes: Uint8Array): void => {
    if (bytes.length === into.length) {
      into.set(bytes);
      done();
    } else failed(new Error(`${bytes.length} bytes came, ${into.length} were expected`));
  };
  return {
    open(from, tag, bytes) {
      const slot = slotOf(from, tag);
      const wanted = slot.wanted.shift();
      if (wanted && wanted.into.length === bytes) return { into: wanted.into, arrived: wanted.done };
      const letter: Letter = { bytes: new Uint8Array(bytes), whole: false, ...(wanted ? { wanted } : {}) };
      if (!wanted) slot.kept.push(letter);
      const arrived = () => {
        letter.whole = true;
        if (letter.wanted) give(letter.wanted, letter.bytes);
      };
      return { into: letter.bytes, arrived };
    },
    receive: (from, tag, into) =>
      new Promise((done, failed) => {
        const slot = slotOf(from, tag);
        const letter = slot.kept.shift();
        const wanted = { into, done, failed };
        if (letter?.whole) give(wanted, letter.bytes);
        else if (failures.has(from)) failed(failures.get(from));
        else if (letter) letter.wanted = wanted;
        else slot.wanted.push(wanted);
      }),
    fail(from, error) {
      failures.set(from, error);
      for (const [key, { wanted }] of slots)
        if (key.startsWith(`${from} `)) for (const { failed } of wanted.splice(0)) failed(error);
    },
  };
}
