/** Threads that share the work of several devices, and the queues by which they get it. Knows no particular kind of thread. */
import { type Arena, createArena } from "./arena.ts";
import { control, controlWords, queueBase, queueWords } from "./control.ts";
import { type Mail, type News, type Start, serve } from "./worker.ts";

/** A thread of the host: Node's or a browser's. It runs `source`, a function of a `Start` and `tell`, on its first message. */
export type Thread = {
  readonly post: (message: Start | Mail) => void;
  readonly stop: () => void;
  /** Whether the process stays alive for it. */
  readonly hold: (on: boolean) => void;
};
export type Spawn = (source: string, heard: (news: News) => void, failed: (reason: string) => void) => Thread;

export type Launch = {
  readonly kernel: number;
  readonly arena: number;
  readonly args: number;
  readonly groups: number;
  readonly chunk: number;
  readonly scratch: number;
  readonly stride: number;
};
export type Copy = {
  readonly fromArena: number;
  readonly from: number;
  readonly toArena: number;
  readonly to: number;
  readonly bytes: number;
};

/** One device's work, in order. */
export type Queue = {
  /** Work put in so far, and done so far. */
  readonly issued: () => number;
  readonly done: () => number;
  /** `write` is called with the place in the ring, when there is one. `timed`: told when it ran, in microseconds of performance.now(). */
  readonly launch: (launch: (place: number) => Launch, timed?: (start: number, end: number) => void) => void;
  readonly copy: (copy: Copy) => void;
  /** Resolves when the first `count` commands are done. */
  readonly reach: (count: number) => Promise<void>;
  /** A number that changes when something moves. */
  readonly moved: () => number;
};

export type Pool = {
  readonly threads: number;
  readonly arenas: readonly Arena[];
  readonly queues: readonly Queue[];
  /** A module that every thread knows, by number. */
  readonly add: (module: WebAssembly.Module, entry: string) => number;
  readonly close: () => void;
};

export type PoolOptions = {
  readonly threads: number;
  readonly queues: number;
  readonly arenas: number;
  readonly pages: number;
  /** Told once of what makes further work pointless. */
  readonly failed: (reason: string) => void;
};

export function createPool(spawn: Spawn, options: PoolOptions): Pool {
  const shared = new SharedArrayBuffer(4 * controlWords(options.queues));
  const times = new SharedArrayBuffer(16 * options.queues * control.ring);
  const words = new Int32Array(shared);
  const stamps = new Float64Array(times);
  const arenas = Array.from({ length: options.arenas }, () => createArena(options.pages));
  const queues: (Queue & { readonly heard: () => void })[] = [];
  let closed = false;
  const fail = (reason: string): void => {
    if (!closed) options.failed(reason);
  };

  const threads = Array.from({ length: options.threads }, (_, worker) => {
    const thread = spawn(
      serve.toString(),
      ({ queue, error }) => {
        if (error !== undefined) fail(error);
        queues[queue]!.heard();
      },
      fail,
    );
    thread.post({
      control,
      shared,
      times,
      arenas: arenas.map((a) => a.memory),
      queues: options.queues,
      queueWords,
      threads: options.threads,
      worker,
    });
    thread.hold(false);
    return thread;
  });
  /** The process stays while somebody waits. */
  let waiting = 0;
  const hold = (by: number): void => {
    const before = waiting;
    waiting += by;
    if (before === 0 || waiting === 0) for (const t of threads) t.hold(waiting > 0);
  };
  const ring = (): void => {
    Atomics.add(words, control.bell, 1);
    Atomics.notify(words, control.bell);
  };

  const createQueue = (queue: number): Queue & { readonly heard: () => void } => {
    const base = queueBase(queue);
    type Pending = { readonly write: (command: number, place: number) => void; readonly timed: Timed | undefined };
    type Timed = (start: number, end: number) => void;
    /** What the ring has no room for yet. */
    const backlog: Pending[] = [];
    let issued = 0;
    let written = 0;
    let collected = 0;
    const timers = new Map<number, Timed>();
    let waits: { readonly count: number; readonly resolve: () => void }[] = [];
    const done = (): number => {
      // The head is a 32-bit count; what is written is never a whole turn ahead of it.
      const head = Atomics.load(words, base + control.head);
      return written - ((written - head) | 0);
    };
    const collect = (): void => {
      for (const until = done(); collected < until; collected++) {
        const timed = timers.get(collected);
        if (!timed) continue;
        timers.delete(collected);
        const at = 2 * (queue * control.ring + (collected % control.ring));
        const zero = 1000 * performance.timeOrigin;
        timed(stamps[at]! - zero, stamps[at + 1]! - zero);
      }
    };
    const feed = (): void => {
      let fed = false;
      while (backlog.length > 0 && written - done() < control.ring - 1) {
        collect();
        const batch = backlog.splice(0, control.ring - 1 - (written - done()));
        for (const { write, timed } of batch) {
          const place = written % control.ring;
          if (timed) timers.set(written, timed);
          write(base + control.queueHeader + place * control.command, place);
          written++;
          Atomics.store(words, base + control.tail, written | 0);
        }
        fed = true;
      }
      if (fed) ring();
    };
    /** Asks to be told of the next thing that somebody waits for, or of room in the ring. */
    const listen = (): void => {
      const next = Math.min(
        ...waits.map((w) => w.count),
        backlog.length > 0 ? written - control.ring / 2 : Number.POSITIVE_INFINITY,
      );
      if (!Number.isFinite(next)) return;
      Atomics.store(words, base + control.wanted, Math.min(next, written) | 0);
      Atomics.store(words, base + control.listening, 1);
      // It may have come there in between; whoever takes the flag back tells.
      if (done() >= Math.min(next, written) && Atomics.compareExchange(words, base + control.listening, 1, 0) === 1)
        queueMicrotask(heard);
    };
    const heard = (): void => {
      collect();
      feed();
      const until = done();
      const reached = waits.filter((w) => w.count <= until);
      waits = waits.filter((w) => w.count > until);
      for (const w of reached) w.resolve();
      hold(-reached.length);
      listen();
    };
    const push = (pending: Pending): void => {
      issued++;
      backlog.push(pending);
      feed();
      if (backlog.length > 0) listen();
    };
    return {
      heard,
      issued: () => issued,
      done,
      moved: () => done() + Atomics.load(words, base + control.next) / 2 ** 31,
      launch: (launch, timed) =>
        push({
          timed,
          write(command, place) {
            const l = launch(place);
            const { launch: at } = control;
            words[command] = control.kinds.launch;
            for (const name of ["kernel", "arena", "args", "groups", "chunk", "scratch", "stride"] as const)
              words[command + at[name]] = l[name];
            words[command + at.timed] = timed ? 1 : 0;
          },
        }),
      copy: (copy) =>
        push({
          timed: undefined,
          write(command) {
            const { copy: at } = control;
            words[command] = control.kinds.copy;
            for (const name of ["fromArena", "from", "toArena", "to", "bytes"] as const)
              words[command + at[name]] = copy[name];
          },
        }),
      reach(count) {
        if (done() >= count) {
          collect();
          return Promise.resolve();
        }
        return new Promise((resolve) => {
          waits.push({ count, resolve });
          hold(1);
          listen();
        });
      },
    };
  };
  for (let queue = 0; queue < options.queues; queue++) queues.push(createQueue(queue));

  let kernels = 0;
  return {
    threads: threads.length,
    arenas,
    queues,
    add(module, entry) {
      const kernel = kernels++;
      for (const t of threads) t.post({ kernel, module, entry });
      Atomics.add(words, control.mail, 1);
      ring();
      return kernel;
    },
    close() {
      if (closed) return;
      closed = true;
      Atomics.store(words, control.quit, 1);
      ring();
      for (const t of threads) t.stop();
    },
  };
}
