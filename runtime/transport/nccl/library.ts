/**
 * NVIDIA's NCCL by FFI: as much of its C API (nccl.h) as transfers need. Communicators are non-blocking, which NCCL has from
 * 2.14 on: a call may give `ncclInProgress`, and what came of it is asked for (`ncclCommGetAsyncError`), so that a process
 * that is gone never holds up this one.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fail, GyreRuntimeError, type RuntimeErrorKind } from "../../errors.ts";
import { loadLibrary } from "../../library.ts";
import { REPORT } from "../../refusals.ts";

/** A communicator's handle. */
export type Communicator = bigint;

const SIGNATURES = {
  ncclGetVersion: "int ncclGetVersion(_Out_ int *version)",
  ncclGetUniqueId: "int ncclGetUniqueId(void *id)",
  ncclCommInitRankConfig:
    "int ncclCommInitRankConfig(void *communicator, int ranks, GyreNcclUniqueId id, int rank, void *config)",
  ncclCommSplit: "int ncclCommSplit(uint64_t communicator, int color, int key, void *made, void *config)",
  ncclCommFinalize: "int ncclCommFinalize(uint64_t communicator)",
  ncclCommDestroy: "int ncclCommDestroy(uint64_t communicator)",
  ncclCommAbort: "int ncclCommAbort(uint64_t communicator)",
  ncclCommGetAsyncError: "int ncclCommGetAsyncError(uint64_t communicator, _Out_ int *status)",
  ncclGetErrorString: "const char *ncclGetErrorString(int status)",
  ncclGetLastError: "const char *ncclGetLastError(uint64_t communicator)",
  ncclGroupStart: "int ncclGroupStart()",
  ncclGroupEnd: "int ncclGroupEnd()",
  ncclSend: "int ncclSend(uint64_t from, size_t count, int type, int peer, uint64_t communicator, uint64_t stream)",
  ncclRecv: "int ncclRecv(uint64_t to, size_t count, int type, int peer, uint64_t communicator, uint64_t stream)",
  ncclAllGather:
    "int ncclAllGather(uint64_t from, uint64_t to, size_t count, int type, uint64_t communicator, uint64_t stream)",
  ncclReduceScatter:
    "int ncclReduceScatter(uint64_t from, uint64_t to, size_t count, int type, int op, uint64_t communicator, uint64_t stream)",
  ncclAllReduce:
    "int ncclAllReduce(uint64_t from, uint64_t to, size_t count, int type, int op, uint64_t communicator, uint64_t stream)",
} as const;
type Name = keyof typeof SIGNATURES;

export type NcclLibrary = {
  /** `NCCL 2.21.5`. */
  readonly name: string;
  readonly path: string;
  /** Whether communicators can be split (2.18). */
  readonly splits: boolean;
  /** Calls; throws what went wrong: `doing` that. What is still under way is no error. */
  readonly call: (doing: string, name: Name, ...args: readonly unknown[]) => void;
  /** Whether a communicator is ready; throws what went wrong. */
  readonly ready: (communicator: Communicator, doing: string) => boolean;
  /** A new id, in base64. */
  readonly uniqueId: () => string;
  /** The argument of `ncclCommInitRankConfig` for an id. */
  readonly idOf: (text: string) => unknown;
  /** Makes the operations begun in `action` one group. */
  readonly group: (doing: string, action: () => void) => void;
  /** Ends a communicator without the others, in a thread of its own. */
  readonly abort: (communicator: Communicator) => Promise<void>;
};

/** ncclDataType_t and ncclRedOp_t. */
export const UINT8 = 1;
export const FLOAT32 = 7;
export const SUM = 0;
/** NCCL_SPLIT_NOCOLOR */
export const NO_COLOR = -1;

const ID_BYTES = 128;
const IN_PROGRESS = 7;
const OLDEST = 21400;
const FIRST_SPLIT = 21800;

/** ncclConfig_t as of 2.14, which later ones read by its version: size, magic, version, blocking (and padding). */
export function nonBlocking(): Uint8Array {
  const config = new DataView(new ArrayBuffer(24));
  config.setBigUint64(0, 24n, true);
  config.setUint32(8, 0xcafebeef, true);
  config.setUint32(12, OLDEST, true);
  config.setInt32(16, 0, true);
  config.setInt32(20, -(2 ** 31), true);
  return new Uint8Array(config.buffer);
}

type Words = { readonly kind: RuntimeErrorKind; readonly says: string; readonly help: string };
const DEBUG = "set NCCL_DEBUG=WARN and run it again: NCCL then says why";
/** By ncclResult_t. */
const STATUSES: Readonly<Record<number, Words>> = {
  1: { kind: "device-lost", says: "a call of CUDA failed", help: `see \`nvidia-smi\`; ${DEBUG}` },
  2: {
    kind: "peer",
    says: "a call of the system failed",
    help: `NCCL_SOCKET_IFNAME names the network, and /dev/shm must have room; ${DEBUG}`,
  },
  3: { kind: "peer", says: "NCCL failed", help: DEBUG },
  4: { kind: "internal", says: "an argument is wrong", help: REPORT },
  5: { kind: "internal", says: "it was used wrongly", help: `${DEBUG}; ${REPORT}` },
  6: {
    kind: "peer",
    says: "another process is gone, or the network is",
    help: `see what the other processes say; ${DEBUG}`,
  },
  8: { kind: "timeout", says: "NCCL waited for too long", help: DEBUG },
};

const libraries = new Map<string, Promise<NcclLibrary>>();

/** `told`: the library's path; else `GYRE_NCCL`'s, else it is looked for. Errors: `unsupported`, with what was tried. */
export function loadNccl(told?: string): Promise<NcclLibrary> {
  const { GYRE_NCCL, CUDA_HOME, CUDA_PATH } = process.env;
  const named = told ?? GYRE_NCCL;
  const homes = [CUDA_HOME, CUDA_PATH, "/usr/local/cuda"].flatMap((home) => (home ? [join(home, "lib64")] : []));
  const found = homes.map((folder) => join(folder, "libnccl.so.2")).filter(existsSync);
  const paths = named ? [named] : ["libnccl.so.2", "libnccl.so", ...found];
  const key = paths.join(":");
  const made = libraries.get(key) ?? load(paths);
  libraries.set(key, made);
  made.catch(() => libraries.delete(key));
  return made;
}

/** What is found, for lists; does not throw. */
export async function listNccl(): Promise<{ readonly found: readonly string[]; readonly why: readonly string[] }> {
  try {
    const { name, path } = await loadNccl();
    return { found: [`${name} (${path})`], why: [] };
  } catch (error) {
    return { found: [], why: [String((error as Error).message).replace(/^NCCL cannot be loaded: /, "no NCCL: ")] };
  }
}

const HELP =
  "install NCCL 2.14 or later (Debian and Ubuntu: libnccl2 of NVIDIA's repository), say where it is with --nccl-library, or use --transport mpi or tcp";

async function load(paths: readonly string[]): Promise<NcclLibrary> {
  const reasons: string[] = [];
  for (const path of paths) {
    try {
      const { lib, koffi } = await loadLibrary(path);
      const functions = new Map<Name, ReturnType<typeof lib.func>>();
      if (!unique) {
        koffi.struct("GyreNcclUniqueId", { internal: koffi.array("uint8_t", ID_BYTES) });
        unique = true;
      }
      const find = (name: Name) => {
        const made = functions.get(name) ?? lib.func(SIGNATURES[name]);
        functions.set(name, made);
        return made;
      };
      const version = [0];
      find("ncclGetVersion")(version);
      if (version[0]! >= OLDEST) return libraryOf(find, version[0]!, path);
      reasons.push(`${path} is NCCL ${spoken(version[0]!)}, and 2.14 is needed`);
    } catch (error) {
      reasons.push(
        `${path}: ${String((error as Error).message)
          .split("\n")[0]!
          .replace(/^.*library: /, "")}`,
      );
    }
  }
  return fail("unsupported", `NCCL cannot be loaded: ${reasons.join("; ")}`, HELP);
}
/** Whether koffi knows the struct: it is one for the process. */
let unique = false;

function libraryOf(find: (name: Name) => (...args: unknown[]) => unknown, version: number, path: string): NcclLibrary {
  const name = `NCCL ${spoken(version)}`;
  const status = (which: Name, ...args: readonly unknown[]) => Number(find(which)(...args));
  const error = (doing: string, code: number, communicator?: Communicator): GyreRuntimeError => {
    const words = STATUSES[code];
    const own = String(find("ncclGetErrorString")(code) ?? code);
    const last = String(find("ncclGetLastError")(communicator ?? 0n) ?? "").trim();
    const says = [words?.says ?? own, last].filter((part) => part !== "").join(": ");
    return new GyreRuntimeError(
      words?.kind ?? "internal",
      `${doing}: ${says} (${name}: ${own})`,
      words?.help ?? REPORT,
    );
  };
  const call: NcclLibrary["call"] = (doing, which, ...args) => {
    const code = status(which, ...args);
    if (code !== 0 && code !== IN_PROGRESS) throw error(`${which}, ${doing}`, code);
  };
  return {
    name,
    path,
    splits: version >= FIRST_SPLIT,
    call,
    ready(communicator, doing) {
      const state = [0];
      call(doing, "ncclCommGetAsyncError", communicator, state);
      if (state[0] === IN_PROGRESS) return false;
      if (state[0] !== 0) throw error(doing, state[0]!, communicator);
      return true;
    },
    uniqueId() {
      const id = new Uint8Array(new ArrayBuffer(ID_BYTES));
      call("a new communicator", "ncclGetUniqueId", id);
      return Buffer.from(id).toString("base64");
    },
    idOf: (text) => ({ internal: Uint8Array.from(Buffer.from(text, "base64")) }),
    group(doing, action) {
      call(doing, "ncclGroupStart");
      try {
        action();
      } catch (error) {
        status("ncclGroupEnd"); // says the same again
        throw error;
      }
      call(doing, "ncclGroupEnd");
    },
    abort: (communicator) =>
      new Promise((resolve) => {
        const abort = find("ncclCommAbort") as unknown as { async: (...args: unknown[]) => void };
        abort.async(communicator, () => resolve());
      }),
  };
}

/** 2708 → `2.7.8`, 22105 → `2.21.5`: NCCL_VERSION_CODE. */
function spoken(code: number): string {
  const [major, rest] = code < 10_000 ? [1000, 100] : [10_000, 100];
  return `${Math.floor(code / major)}.${Math.floor((code % major) / rest)}.${code % rest}`;
}
