/**
 * Messages between the processes of a run (its *ranks*), from and into host memory. Implementations: `memory.ts` (ranks of
 * one process), `tcp.ts` (sockets), `mpi.ts` (Open MPI, MPICH and their relatives).
 *
 * Everything is asynchronous and has a deadline: after `limitMs` without progress a promise rejects with a
 * GyreRuntimeError (`timeout`) that names the operation and the rank. Collectives are called by all ranks in the same order.
 */
export type Transport = PointToPoint & Collectives;

export type PointToPoint = {
  /** How messages call it: `tcp`, `Open MPI v4.1.4`. */
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  /** Resolves when `bytes` may be changed. Messages to a rank with one tag arrive in order. Tags from 8 on are free. */
  readonly send: (to: number, tag: number, bytes: Uint8Array) => Promise<void>;
  /** Fills `into`, which has the size of the message, with the next one of `tag` from rank `from`. */
  readonly receive: (from: number, tag: number, into: Uint8Array) => Promise<void>;
  /** Messages of memory on devices, by its address; absent where there can be none. Either side may be a device's. */
  readonly onDevice?: {
    readonly send: (to: number, tag: number, address: bigint, bytes: number) => Promise<void>;
    readonly receive: (from: number, tag: number, address: bigint, bytes: number) => Promise<void>;
  };
  /** Ends it; all ranks do. */
  readonly close: () => Promise<void>;
};

export type Collectives = {
  /** Sends `bytes` to rank `to` and fills `into` from rank `from`: a step of a ring. */
  readonly permute: (to: number, bytes: Uint8Array, from: number, into: Uint8Array) => Promise<void>;
  /** `all` gets the `mine` of every rank, by rank: size × mine.length bytes. */
  readonly allGather: (mine: Uint8Array, all: Uint8Array) => Promise<void>;
  /** `mine` gets this rank's stretch of the sum of every rank's `values`: size × mine.length numbers. */
  readonly reduceScatter: (values: Float32Array, mine: Float32Array) => Promise<void>;
  /** `values` becomes its sum over all ranks; the order of the sum is the same in every run and on every rank. */
  readonly allReduce: (values: Float32Array) => Promise<void>;
  /** Stretch r of `bytes` goes to rank r; stretch r of `into` is what rank r sent here. */
  readonly allToAll: (bytes: Uint8Array, into: Uint8Array) => Promise<void>;
  /** Resolves when every rank has called it. */
  readonly barrier: () => Promise<void>;
};

/** The tag of a collective's messages. */
export const COLLECTIVE_TAG = 0;
/** The first tag that is free. */
export const FIRST_FREE_TAG = 8;

/** How long nothing may move, when nothing else is said. */
export const LIMIT_MS = 600_000;
