/**
 * Messages over MPI, whose library is loaded at run time. There are two families, which differ in what handles are:
 *
 *     Open MPI   pointers to objects of the library, ompi_mpi_comm_world, ompi_mpi_byte, …
 *     MPICH      numbers; its relatives (Intel MPI, MVAPICH, Cray MPICH) have the same: the MPICH ABI
 *
 * All operations are non-blocking. A poll of the event loop completes them (MPI_Test), and thereby moves them on, while the
 * devices compute in threads of their own. The thread that polls is not the one that called MPI_Init_thread (which blocks,
 * and so runs in a thread of the pool): the library must be MPI_THREAD_SERIALIZED.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { fail, GyreRuntimeError, withLimit } from "../errors.ts";
import { loadLibrary as openLibrary } from "../library.ts";
import type { Launch, MpiFamily } from "./launcher.ts";
import { askAgain } from "./pace.ts";
import { COLLECTIVE_TAG, LIMIT_MS, type Transport } from "./transport.ts";

type Koffi = typeof import("koffi")["default"];
type Library = ReturnType<Koffi["load"]>;
type Handle = bigint | number | unknown;

/** What the two families call the same things. `handle`: the C type of a communicator, a datatype, an operation. */
type Family = {
  readonly files: readonly string[];
  readonly handle: string;
  readonly world: (library: Library) => Handle;
  readonly byte: (library: Library) => Handle;
  readonly float: (library: Library) => Handle;
  readonly sum: (library: Library) => Handle;
  readonly errorsReturn: (library: Library) => Handle;
  /** An array of one request. Typed arrays that were given to C lie outside of the heap, and do not move. */
  readonly request: () => BigUint64Array | Int32Array;
  /** MPI_STATUS_IGNORE */
  readonly noStatus: bigint | null;
  /** MPI_IN_PLACE */
  readonly inPlace: bigint;
};
const symbol = (name: string) => (library: Library) => library.symbol(name);
const constant = (value: number) => () => value;

const families: { readonly [F in MpiFamily]: Family } = {
  openmpi: {
    files: ["libmpi.so.40", "libmpi.so", "libmpi.40.dylib", "libmpi.dylib"],
    handle: "void *",
    world: symbol("ompi_mpi_comm_world"),
    byte: symbol("ompi_mpi_byte"),
    float: symbol("ompi_mpi_float"),
    sum: symbol("ompi_mpi_op_sum"),
    errorsReturn: symbol("ompi_mpi_errors_return"),
    request: () => new BigUint64Array(new ArrayBuffer(8)),
    noStatus: null,
    inPlace: 1n,
  },
  mpich: {
    files: ["libmpich.so.12", "libmpi.so.12", "libmpich.so", "libmpi.so", "libmpi.12.dylib"],
    handle: "int",
    world: constant(0x44000000),
    byte: constant(0x4c00010d),
    float: constant(0x4c00040a),
    sum: constant(0x58000003),
    errorsReturn: constant(0x54000001),
    request: () => new Int32Array(new ArrayBuffer(4)),
    noStatus: 1n,
    inPlace: 0xffffffffffffffffn,
  },
};

const THREAD_SERIALIZED = 2;
const LATER_MS = 1000;
/** Messages go in pieces, since MPI counts in int. */
const PIECE = 2 ** 30;

export type MpiOptions = {
  /** The library's path; when left out, the one that belongs to the launcher is looked for. */
  readonly library?: string;
  /** How long the start and a message may take without progress. */
  readonly limitMs?: number;
  readonly startMs?: number;
};

/**
 * Starts MPI. Errors: `peer` (no library, MPI_Init does not end, a library that does not belong to the launcher),
 * `unsupported` (one that takes no calls from threads).
 */
export async function mpiTransport(launch: Launch, options: MpiOptions = {}): Promise<Transport> {
  const { limitMs = LIMIT_MS, startMs = LIMIT_MS } = options;
  const koffi = (await import("koffi")).default;
  const { library, path } = loadLibrary(koffi, launch, options.library);
  const name = hasSymbol(library, "ompi_mpi_comm_world") ? "openmpi" : "mpich";
  const family = families[name];
  const calls = functionsOf(library, family);

  const world = family.world(library);
  const provided = [0];
  const init = promisify(calls.initThread.async)(null, null, THREAD_SERIALIZED, provided) as Promise<number>;
  const begun = await Promise.race([init, sleep(startMs, undefined, { ref: false })]);
  if (begun === undefined)
    fail(
      "timeout",
      `rank ${launch.rank} waited ${startMs / 1000} s in MPI_Init for the others: one did not come, and MPI does not say which`,
      "see whether all were started on hosts that reach each other; --peer-timeout says how long they are waited for",
    );
  check(begun, "MPI_Init_thread");
  check(calls.setErrhandler(world, family.errorsReturn(library)), "MPI_Comm_set_errhandler");
  const [rank, size] = [[0], [0]];
  check(calls.rank(world, rank), "MPI_Comm_rank");
  check(calls.size(world, size), "MPI_Comm_size");
  const version = versionOf(calls.version);
  if (size[0] !== launch.size || rank[0] !== launch.rank)
    fail(
      "peer",
      `${path} (${version}) says that this is rank ${rank[0]} of ${size[0]}, and ${launch.launcher}'s launcher says rank ${launch.rank} of ${launch.size}`,
      "they belong to different MPIs: give the launcher's library with --mpi-library, or start with the library's own mpirun",
    );
  if (provided[0]! < THREAD_SERIALIZED)
    fail(
      "unsupported",
      `${version} takes no calls from several threads`,
      "use an MPI that is built with thread support",
    );

  function check(code: number, what: string): void {
    if (code === 0) return;
    const [text, length] = [new Uint8Array(new ArrayBuffer(1024)), [0]];
    calls.errorString(code, text, length);
    const reason = Buffer.from(text.subarray(0, length[0])).toString("latin1");
    throw new GyreRuntimeError("peer", `${what} of rank ${launch.rank} failed: ${reason}`, "see what MPI says");
  }

  // ---- progress ----------------------------------------------------------------------------------------------------
  type Pending = {
    readonly request: BigUint64Array | Int32Array;
    readonly done: () => void;
    readonly failed: (error: unknown) => void;
    readonly what: string;
    /** Memory that MPI uses until then. */
    readonly memory: readonly unknown[];
  };
  const pending = new Set<Pending>();
  let moved = performance.now();
  let polling = false;
  const flag = [0];
  const poll = (): void => {
    for (const one of pending) {
      const code = calls.test(one.request, flag, family.noStatus);
      if (code === 0 && flag[0] === 0) continue;
      pending.delete(one);
      moved = performance.now();
      try {
        check(code, one.what);
        one.done();
      } catch (error) {
        one.failed(error);
      }
    }
    polling = pending.size > 0;
    if (!polling) return;
    askAgain(poll, performance.now() - moved);
  };
  /** Starts an operation, and resolves when it is complete. */
  const complete = (what: string, memory: readonly unknown[], start: (request: Pending["request"]) => number) => {
    const request = family.request();
    const operation = new Promise<void>((done, reject) => {
      // That a process is gone, the roster says better; this is for the case that only messages fail.
      const failed = (error: unknown): void => void setTimeout(() => reject(error), LATER_MS);
      try {
        check(start(request), what);
      } catch (error) {
        return failed(error);
      }
      pending.add({ request, done, failed, what, memory });
      if (polling) return;
      polling = true;
      moved = performance.now();
      setImmediate(poll);
    });
    return withLimit(operation, limitMs, what, () => moved);
  };

  // ---- operations --------------------------------------------------------------------------------------------------
  const [byte, float, sum] = [family.byte(library), family.float(library), family.sum(library)];
  const move = async (
    what: (bytes: number) => string,
    memory: Uint8Array | bigint,
    bytes: number,
    start: (piece: Uint8Array | bigint, bytes: number, request: Pending["request"]) => number,
  ): Promise<void> => {
    for (let at = 0; at === 0 || at < bytes; at += PIECE) {
      const count = Math.min(PIECE, bytes - at);
      const piece = typeof memory === "bigint" ? memory + BigInt(at) : memory.subarray(at, at + count);
      await complete(what(count), [piece], (request) => start(piece, count, request));
    }
  };
  const sendFrom = (to: number, tag: number, memory: Uint8Array | bigint, bytes: number): Promise<void> =>
    move(
      (n) => `MPI_Isend of ${n} bytes to rank ${to}`,
      memory,
      bytes,
      (piece, n, request) => calls.isend(piece, n, byte, to, tag, world, request),
    );
  const receiveInto = (from: number, tag: number, memory: Uint8Array | bigint, bytes: number): Promise<void> =>
    move(
      (n) => `MPI_Irecv of ${n} bytes from rank ${from}`,
      memory,
      bytes,
      (piece, n, request) => calls.irecv(piece, n, byte, from, tag, world, request),
    );
  const send: Transport["send"] = (to, tag, bytes) => sendFrom(to, tag, bytes, bytes.length);
  const receive: Transport["receive"] = (from, tag, into) => receiveInto(from, tag, into, into.length);

  return {
    name: version,
    rank: launch.rank,
    size: launch.size,
    send,
    receive,
    ...(takesGpuMemory(library) ? { onDevice: { send: sendFrom, receive: receiveInto } } : {}),
    async permute(to, bytes, from, into) {
      await Promise.all([receive(from, COLLECTIVE_TAG, into), send(to, COLLECTIVE_TAG, bytes)]);
    },
    allGather: (mine, all) =>
      complete("MPI_Iallgather", [mine, all], (request) =>
        calls.iallgather(mine, mine.length, byte, all, mine.length, byte, world, request),
      ),
    reduceScatter: (values, mine) =>
      complete("MPI_Ireduce_scatter_block", [values, mine], (request) =>
        calls.ireduceScatter(values, mine, mine.length, float, sum, world, request),
      ),
    allReduce: (values) =>
      complete("MPI_Iallreduce", [values], (request) =>
        calls.iallreduce(family.inPlace, values, values.length, float, sum, world, request),
      ),
    allToAll(bytes, into) {
      const each = bytes.length / launch.size;
      return complete("MPI_Ialltoall", [bytes, into], (request) =>
        calls.ialltoall(bytes, each, byte, into, each, byte, world, request),
      );
    },
    barrier: () => complete("MPI_Ibarrier", [], (request) => calls.ibarrier(world, request)),
    async close() {
      const finalize = promisify(calls.finalize.async)() as Promise<number>;
      check(await withLimit(finalize, startMs, `MPI_Finalize of rank ${launch.rank}`), "MPI_Finalize");
    },
  };
}

// ---- the library -----------------------------------------------------------------------------------------------------

/** koffi unloads a library when its handle is collected. */
const held: Library[] = [];

function loadLibrary(koffi: Koffi, launch: Launch, told: string | undefined): { library: Library; path: string } {
  const candidates = told === undefined ? launch.mpi.flatMap((family) => families[family].files) : [told];
  const reasons: string[] = [];
  // UCX, below MPICH, would write over the code of libc's memory calls, in which the threads of V8 may be at that moment.
  process.env.UCX_MEM_MMAP_HOOK_MODE ??= "none";
  // And it aborts a process that reads from the memory of another that has died.
  process.env.UCX_TLS ??= "^cma";
  for (const path of candidates) {
    try {
      // Its plug-ins look for its symbols among the global ones.
      const library = koffi.load(path, { global: true });
      held.push(library);
      if (hasSymbol(library, "MPI_Init_thread")) return { library, path };
      reasons.push(`${path} is no MPI library`);
    } catch (error) {
      const [why] = String((error as Error).message).split("\n");
      reasons.push(`${path}: ${why!.replace(/^.*library: /, "")}`);
    }
  }
  return fail(
    "peer",
    `this was started by ${launch.launcher}'s launcher, and no MPI library can be loaded: ${reasons.join("; ")}`,
    "install it (Debian: libopenmpi3, or libmpich12), say where it is with --mpi-library, or use --transport tcp",
  );
}

/**
 * Whether MPI reads and writes GPUs' memory (CUDA-aware): as Open MPI and MPICH say themselves once they have begun; Cray
 * MPICH does what this variable tells it.
 */
function takesGpuMemory(library: Library): boolean {
  if (process.env.MPICH_GPU_SUPPORT_ENABLED === "1") return true;
  if (!hasSymbol(library, "MPIX_Query_cuda_support")) return false;
  return library.func("int MPIX_Query_cuda_support()")() === 1;
}

/** The libraries of each family that are found, by what they call themselves; nothing is started. */
export async function listMpi(): Promise<{ readonly found: readonly string[]; readonly why: readonly string[] }> {
  const found: string[] = [];
  const why: string[] = [];
  for (const [family, { files }] of Object.entries(families)) {
    const before = found.length;
    for (const path of files) {
      try {
        const { lib } = await openLibrary(path);
        const version = lib.func("int MPI_Get_library_version(void *text, _Out_ int *length)");
        found.push(`${versionOf(version)} (${path})`);
        break;
      } catch {
        // perhaps the next
      }
    }
    if (found.length === before) why.push(`no ${family === "mpich" ? "MPICH" : "Open MPI"} (${files[0]})`);
  }
  return { found, why };
}

function hasSymbol(library: Library, name: string): boolean {
  try {
    return Boolean(library.symbol(name));
  } catch {
    return false;
  }
}

/** The functions, with H for handles. */
function functionsOf(library: Library, { handle }: Family) {
  const f = (text: string) => library.func(text.replaceAll(/\bH\b/g, handle));
  return {
    initThread: f("int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)"),
    finalize: f("int MPI_Finalize()"),
    rank: f("int MPI_Comm_rank(H comm, _Out_ int *rank)"),
    size: f("int MPI_Comm_size(H comm, _Out_ int *size)"),
    setErrhandler: f("int MPI_Comm_set_errhandler(H comm, H handler)"),
    errorString: f("int MPI_Error_string(int code, void *text, _Out_ int *length)"),
    version: f("int MPI_Get_library_version(void *text, _Out_ int *length)"),
    isend: f("int MPI_Isend(void *bytes, int count, H type, int to, int tag, H comm, void *request)"),
    irecv: f("int MPI_Irecv(void *bytes, int count, H type, int from, int tag, H comm, void *request)"),
    test: f("int MPI_Test(void *request, _Out_ int *flag, void *status)"),
    iallgather: f("int MPI_Iallgather(void *mine, int n, H type, void *all, int m, H type2, H comm, void *request)"),
    ireduceScatter: f(
      "int MPI_Ireduce_scatter_block(void *all, void *mine, int n, H type, H op, H comm, void *request)",
    ),
    iallreduce: f("int MPI_Iallreduce(void *mine, void *all, int n, H type, H op, H comm, void *request)"),
    ialltoall: f("int MPI_Ialltoall(void *from, int n, H type, void *to, int m, H type2, H comm, void *request)"),
    ibarrier: f("int MPI_Ibarrier(H comm, void *request)"),
  };
}

/** `Open MPI v4.1.4`, `MPICH 4.0.2`. */
function versionOf(version: ReturnType<typeof functionsOf>["version"]): string {
  const [text, length] = [new Uint8Array(new ArrayBuffer(8192)), [0]];
  version(text, length);
  const all = Buffer.from(text.subarray(0, length[0])).toString("latin1");
  const mpich = /MPICH Version:\s*(\S+)/.exec(all)?.[1];
  return mpich === undefined ? (all.split(/[,\n]/)[0] ?? "MPI").trim() : `MPICH ${mpich}`;
}
