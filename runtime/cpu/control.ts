/**
 * What the threads share besides the devices' memory: a block of 32-bit words, read and written by atomic operations.
 *
 * Each device is a queue of commands, a ring that the main thread appends to. A thread that finds one with work takes its
 * lock and does the commands in their order. A launch of several workgroups is offered to all: `help` counts who is at
 * it (0: closed), `next` is the first workgroup that nobody has begun. The thread that holds the lock goes on when it
 * is alone again.
 */
export const control = {
  /** Counts what may be news to threads that sleep. */
  bell: 0,
  /** Messages posted to every thread. */
  mail: 1,
  quit: 2,
  sleeping: 3,
  header: 16,

  /** Words of a queue, before its ring. */
  head: 0,
  tail: 1,
  lock: 2,
  help: 3,
  next: 4,
  /** The command that is offered, as its place in the ring. */
  offered: 5,
  /** The main thread wants to hear when `head` has come to `wanted`. */
  listening: 6,
  wanted: 7,
  queueHeader: 16,

  /** Commands in a ring, and words of each. */
  ring: 256,
  command: 12,
  kinds: { launch: 1, copy: 2 },
  /** Words of a launch: kernel, arena, address of the arguments, workgroups, workgroups at a time, scratch and its stride. */
  launch: { kernel: 1, arena: 2, args: 3, groups: 4, chunk: 5, scratch: 6, stride: 7, timed: 8 },
  /** Words of a copy: from and to, each an arena and an address (unsigned), and bytes. */
  copy: { fromArena: 1, from: 2, toArena: 3, to: 4, bytes: 5 },
} as const;
export type Control = typeof control;

export const queueWords = control.queueHeader + control.ring * control.command;
export const queueBase = (queue: number): number => control.header + queue * queueWords;
export const controlWords = (queues: number): number => queueBase(queues);
