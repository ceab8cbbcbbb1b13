/**
 * What kernels for Hopper (sm_90a) bring along besides cudaHelpers.ts: products of warpgroups (wgmma), copies of boxes by
 * the copy engine (TMA), the barriers in shared memory that count their bytes (mbarrier), and registers handed over
 * (setmaxnreg). Nearly all are instructions; what runs kernels elsewhere has its own under the same names.
 */
import type { Half } from "../core/half.ts";

const device = "__device__ __forceinline__";

/** The rows of cudaHelpers' table that are Hopper's. */
export const hopperTable = {
  tensor_map: {
    ptx: true,
    text: `/** What cuTensorMapEncodeTiled writes: an array in memory, and the box of it that one copy moves. */
struct alignas(64) tensor_map { unsigned long long words[16]; };`,
  },
  mbarrier: {
    ptx: true,
    text: `/** A barrier in shared memory. Its phase ends when all have arrived and all bytes that were expected are there. */
using mbarrier = unsigned long long;
${device} unsigned shared_address(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }
${device} void mbarrier_open(mbarrier* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
/** What has been opened is so for the copy engine too. */
${device} void mbarriers_opened() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
/** One thread arrives for its warp, which is done with what it read. */
${device} void mbarrier_release(mbarrier* b) {
  __syncwarp();
  if ((threadIdx.x & 31) == 0) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
/** Arrives, and says how many bytes will. */
${device} void mbarrier_expect(mbarrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}
/** Waits for the end of the phase of this parity. */
${device} void mbarrier_wait(mbarrier* b, int parity) {
  unsigned done = 0;
  while (done == 0)
    asm volatile("{\\n.reg .pred p;\\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\\nselp.u32 %0, 1, 0, p;\\n}"
                 : "=r"(done) : "r"(shared_address(b)), "r"(parity) : "memory");
}`,
  },
  mbarriers: {
    needs: ["mbarrier"],
    text: `/** Opens N barriers, each for so many that arrive. */
template <int N> ${device} void mbarriers_open(mbarrier* first, int arrivals) {
  if (threadIdx.x == 0)
    for (int k = 0; k < N; k++) mbarrier_open(first + k, arrivals);
}`,
  },
  fetch: {
    ptx: true,
    needs: ["tensor_map", "mbarrier"],
    text: `/** Starts copying the box at these coordinates, the fastest first; what lies outside the array is 0. */
${[2, 3, 4, 5].map(fetchOf).join("\n")}`,
  },
  registers: {
    ptx: true,
    text: `/** The warpgroup's threads go on with fewer or more registers each. */
template <int N> ${device} void registers_fewer() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> ${device} void registers_more() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }`,
  },
  meet: {
    ptx: true,
    text: `/** Barrier number id, of so many threads; and coming to it without waiting. */
${device} void meet(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
${device} void pass_by(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }`,
  },
  warpgroups: {
    ptx: true,
    needs: ["mbarrier"],
    text: `/**
 * A matrix in shared memory as wgmma is told of it: SPAN bytes of a row lie side by side, pieces of 16 bytes exchanged;
 * eight rows take STRIDE bytes, and columns that lie in the next span are LEADING bytes further.
 */
template <int SPAN, int STRIDE, int LEADING> ${device} unsigned long long matrix(const void* p) {
  const unsigned long long exchange = SPAN == 128 ? 1 : SPAN == 64 ? 2 : 3;
  return (shared_address(p) & 0x3ffffu) >> 4 | (unsigned long long)(LEADING >> 4) << 16 |
         (unsigned long long)(STRIDE >> 4) << 32 | exchange << 62;
}
/** Registers of products are as the thread left them; what was started is a group; at most N groups are under way. */
${device} void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
${device} void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> ${device} void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }`,
  },
} as const;

function fetchOf(rank: number): string {
  const names = Array.from({ length: rank }, (_, k) => `c${k}`);
  return `${device} void fetch(void* to, const tensor_map& map, mbarrier* b, ${names.map((n) => `int ${n}`).join(", ")}) {
  asm volatile("cp.async.bulk.tensor.${rank}d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {${names.map((_, k) => `%${k + 3}`).join(", ")}}], [%2];"
               ::"r"(shared_address(to)), "l"(&map), "r"(shared_address(b)), ${names.map((n) => `"r"(${n})`).join(", ")} : "memory");
}`;
}

/** Products of warpgroups that a kernel uses: `left` says where the left factor comes from. */
export type WarpgroupProducts = {
  readonly dtype: Half;
  readonly left: "registers" | "shared";
  /** Of the right factor and the result. */
  readonly columns: readonly number[];
};

/** The function for products of 64 x 16 and 16 x N, as PTX for each N. */
export function wgmmaText({ dtype, columns, left }: WarpgroupProducts): string {
  const ways = columns.map((n) => `  if constexpr (N == ${n})\n${instruction(dtype, n, left)}`);
  const [params, a] = left === "registers" ? ["int N, int B", "const unsigned* a"] : ["int N, int A, int B", matrix];
  return `/** d = a b, with \`add\` d += a b: 64 x 16 times 16 x N elements, those of a warpgroup. A factor with 1 has k along its rows. */
template <${params}> ${device} void wgmma_${dtype}(float* d, ${a}, ${matrix.replace(" a", " b")}, bool add) {
${ways.join("\n")}
}`;
}
const matrix = "unsigned long long a";

function instruction(dtype: Half, n: number, left: WarpgroupProducts["left"]): string {
  const list = (from: number, count: number): string =>
    Array.from({ length: count }, (_, k) => `%${from + k}`).join(", ");
  const d = n / 2;
  // The operands, in order: d, a, b, whether to add, what is turned.
  const [b, a] = left === "registers" ? [d + 4, `{${list(d, 4)}}`] : [d + 1, `%${d}`];
  const turned = left === "registers" ? list(b + 2, 1) : list(b + 2, 2);
  const factors = left === "registers" ? [0, 1, 2, 3].map((k) => `"r"(a[${k}])`).join(", ") : `"l"(a)`;
  const registers = Array.from({ length: d / 8 }, (_, k) =>
    Array.from({ length: 8 }, (_, i) => `"+f"(d[${8 * k + i}])`).join(", "),
  );
  return `    asm volatile("{\\n.reg .pred p;\\nsetp.ne.b32 p, %${b + 1}, 0;\\n"
                 "wgmma.mma_async.sync.aligned.m64n${n}k16.f32.${dtype}.${dtype} {${list(0, d)}}, ${a}, %${b}, p, 1, 1, ${turned};\\n}"
                 : ${registers.join(",\n                   ")}
                 : ${factors}, "l"(b), "r"(int(add)), ${left === "registers" ? "" : `"n"(A), `}"n"(B));`;
}
