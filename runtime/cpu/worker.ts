/**
 * What a thread does: looks for work in the queues, does it, sleeps when there is none. The function is handed to the
 * thread as text (threads of Node and of browsers have no module loader in common), so it uses nothing from outside.
 */
import type { Control } from "./control.ts";

/** What a thread is told once. */
export type Start = {
  readonly control: Control;
  readonly shared: SharedArrayBuffer;
  /** Two times in microseconds for each command of each ring. */
  readonly times: SharedArrayBuffer;
  readonly arenas: readonly WebAssembly.Memory[];
  readonly queues: number;
  readonly queueWords: number;
  readonly threads: number;
  readonly worker: number;
};
/** A kernel, to be known by its number. */
export type Mail = { readonly kernel: number; readonly module: WebAssembly.Module; readonly entry: string };
/** What a thread tells: a queue has come to where the main thread wanted it, or a kernel failed. */
export type News = { readonly queue: number; readonly error?: string };

export function serve(start: Start, tell: (news: News) => void): (mail: Mail) => void {
  const { control: at, shared, arenas, queues, queueWords, threads, worker } = start;
  const words = new Int32Array(shared);
  const times = new Float64Array(start.times);
  const kernels = new Map<number, Mail>();
  type Entry = (first: number, end: number, scratch: number, args: number) => void;
  const entries = new Map<number, Entry>();
  let received = 0;

  const entryOf = (kernel: number, arena: number): Entry | undefined => {
    const key = kernel * arenas.length + arena;
    const known = entries.get(key);
    if (known) return known;
    const mail = kernels.get(kernel);
    if (!mail) return undefined;
    const { exports } = new WebAssembly.Instance(mail.module, { gyre: { memory: arenas[arena] } });
    const entry = exports[mail.entry] as Entry;
    entries.set(key, entry);
    return entry;
  };
  const baseOf = (queue: number): number => at.header + queue * queueWords;
  const commandAt = (base: number, place: number): number => base + at.queueHeader + place * at.command;

  /**
   * Takes workgroups of an offered launch until none is left, or until it is asked for elsewhere: a chunk at a time, and
   * fewer near the end, so that all threads end together.
   */
  const work = (base: number, command: number, entry: Entry, elsewhere?: () => boolean): void => {
    const { launch } = at;
    const groups = words[command + launch.groups]!;
    const chunk = words[command + launch.chunk]!;
    const scratch = words[command + launch.scratch]! + worker * words[command + launch.stride]!;
    const args = words[command + launch.args]!;
    for (;;) {
      const first = Atomics.load(words, base + at.next);
      if (first >= groups) return;
      const end = first + Math.min(chunk, Math.ceil((groups - first) / (2 * threads)));
      if (Atomics.compareExchange(words, base + at.next, first, end) !== first) continue;
      entry(first, end, scratch, args);
      if (elsewhere?.()) return;
    }
  };
  const leave = (base: number): void => {
    Atomics.sub(words, base + at.help, 1);
    Atomics.notify(words, base + at.help);
  };
  const ring = (): void => {
    Atomics.add(words, at.bell, 1);
    if (Atomics.load(words, at.sleeping) > 0) Atomics.notify(words, at.bell);
  };

  const isEmpty = (base: number): boolean =>
    Atomics.load(words, base + at.head) === Atomics.load(words, base + at.tail);
  /** Whether a queue has work that no thread is at: devices go on side by side, so that goes before helping. */
  const isNeeded = (): boolean => {
    for (let queue = 0; queue < queues; queue++) {
      const base = baseOf(queue);
      if (!isEmpty(base) && Atomics.load(words, base + at.lock) === 0) return true;
    }
    return false;
  };

  /** Helps with a launch of another thread, if one is offered. */
  const help = (queue: number): boolean => {
    const base = baseOf(queue);
    for (let n = Atomics.load(words, base + at.help); n > 0; n = Atomics.load(words, base + at.help)) {
      if (Atomics.compareExchange(words, base + at.help, n, n + 1) !== n) continue;
      // From here to `leave` the offer stands still.
      const command = commandAt(base, words[base + at.offered]!);
      const left = Atomics.load(words, base + at.next) < words[command + at.launch.groups]!;
      const entry = left ? entryOf(words[command + at.launch.kernel]!, words[command + at.launch.arena]!) : undefined;
      try {
        if (entry) work(base, command, entry, isNeeded);
      } catch (error) {
        tell({ queue, error: String(error) });
      }
      leave(base);
      return entry !== undefined;
    }
    return false;
  };

  const launch = (base: number, place: number, entry: Entry): void => {
    const command = commandAt(base, place);
    const alone = words[command + at.launch.groups]! <= words[command + at.launch.chunk]!;
    Atomics.store(words, base + at.next, 0);
    if (!alone) {
      words[base + at.offered] = place;
      Atomics.store(words, base + at.help, 1);
      ring();
    }
    try {
      work(base, command, entry);
    } finally {
      while (!alone && Atomics.compareExchange(words, base + at.help, 1, 0) !== 1) {
        const n = Atomics.load(words, base + at.help);
        if (n > 1) Atomics.wait(words, base + at.help, n, 1);
      }
    }
  };
  const now = (): number => 1000 * (performance.timeOrigin + performance.now());
  const copy = (command: number): void => {
    const word = (k: number): number => words[command + k]! >>> 0;
    const view = (arena: number, from: number): Uint8Array =>
      new Uint8Array(arenas[arena]!.buffer, from, word(at.copy.bytes));
    view(word(at.copy.toArena), word(at.copy.to)).set(view(word(at.copy.fromArena), word(at.copy.from)));
  };

  /** Does what is in a queue, if no other thread is at it. Gives whether there was something. */
  const drain = (queue: number): boolean => {
    const base = baseOf(queue);
    if (isEmpty(base) || Atomics.compareExchange(words, base + at.lock, 0, 1) !== 0) return false;
    let did = false;
    try {
      while (!isEmpty(base)) {
        const head = Atomics.load(words, base + at.head);
        const place = (head >>> 0) % at.ring;
        const command = commandAt(base, place);
        if (words[command] === at.kinds.launch) {
          const entry = entryOf(words[command + at.launch.kernel]!, words[command + at.launch.arena]!);
          if (!entry) break; // its module is in the mail
          const timed = words[command + at.launch.timed] === 1;
          const time = 2 * (queue * at.ring + place);
          if (timed) times[time] = now();
          launch(base, place, entry);
          if (timed) times[time + 1] = now();
        } else copy(command);
        did = true;
        Atomics.store(words, base + at.head, (head + 1) | 0);
        if (
          Atomics.load(words, base + at.listening) === 1 &&
          ((head + 1 - Atomics.load(words, base + at.wanted)) | 0) >= 0 &&
          Atomics.compareExchange(words, base + at.listening, 1, 0) === 1
        )
          tell({ queue });
      }
    } catch (error) {
      tell({ queue, error: String(error) });
      did = true;
      Atomics.store(words, base + at.head, Atomics.load(words, base + at.tail));
    }
    Atomics.store(words, base + at.lock, 0);
    return did;
  };

  /** Works until a message is waiting: only outside of this function can it arrive. */
  const run = (): void => {
    while (Atomics.load(words, at.quit) === 0 && Atomics.load(words, at.mail) === received) {
      const heard = Atomics.load(words, at.bell);
      let did = false;
      // Each thread begins with queues of its own, and helps with others' work when those are empty.
      for (let k = 0; k < queues; k++) if (drain((worker + k) % queues)) did = true;
      for (let k = 0; k < queues && !did; k++) did = help((worker + k) % queues);
      if (did) continue;
      for (let turn = 0; turn < 500; turn++) if (Atomics.load(words, at.bell) !== heard) break;
      Atomics.add(words, at.sleeping, 1);
      Atomics.wait(words, at.bell, heard);
      Atomics.sub(words, at.sleeping, 1);
    }
  };

  run();
  return (mail) => {
    kernels.set(mail.kernel, mail);
    received++;
    run();
  };
}
