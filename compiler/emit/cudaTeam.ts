/** What threads of a block do together, in CUDA: shared memory, barriers, copies, and the products of tensor cores. */
import { isHalf } from "../core/half.ts";
import type { Barrier, Expr, LaneStmt, SharedMatrix } from "../lane/ir.ts";
import { type Args, type Call, sixteen, stored } from "./cudaCalls.ts";
import type { Printer, TeamStmt } from "./spelling.ts";

/** What the threads of a block do together: helpers that hold the instructions. */
export function together(
  { expr: i, program }: Printer,
  call: Call,
  shared: ReadonlyMap<string, number>,
  s: TeamStmt,
): string {
  const place = (name: string, at: Expr): string =>
    at.kind === "lit" && at.value === 0 ? name : `${name} + ${i(at, 5)}`;
  const barrier = (b: Barrier): string => place(b.name, b.at);
  const matrix = (m: SharedMatrix): string => {
    const begin = call.generic("warpgroups", `matrix<${m.span}, ${m.stride}, ${m.leading}>`, [place(m.shared, m.at)]);
    return m.step.kind === "lit" && m.step.value === 0 ? begin : `${begin} + ${i(m.step, 5)}`;
  };
  const copy = (bytes: number, args: Args): string => call.generic("copy_async", `copy_async<${bytes}>`, args);
  switch (s.kind) {
    case "shared": {
      call.generic("shared_memory", "", []);
      if (isHalf(s.dtype)) call.generic(s.dtype, "", []);
      const type = stored[s.dtype];
      return `${type}* const ${s.name} = reinterpret_cast<${type}*>(shared_memory + ${shared.get(s.name)}); // ${s.size} elements`;
    }
    case "barrier":
      return s.threads === undefined
        ? "__syncthreads();"
        : `${call.generic("meet", "meet", ["1", String(s.threads)])};`;
    case "copy": {
      const b = program.buffers[s.buffer]!;
      const bytes = s.count * (sixteen(b) ? 2 : 4);
      return `${copy(bytes, [place(s.shared, s.at), place(b.name, s.from), ...(s.valid ? [i(s.valid)] : [])])};`;
    }
    case "commit":
      return `${call.generic("copy_async", "copy_commit", [])};`;
    case "wait":
      return `${call.generic("copy_async", `copy_wait<${s.left}>`, [])};`;
    case "matrices":
      return `${call.generic("matrices", s.transposed ? "matrices_transposed" : "matrices", [place(s.to, s.at), place(s.shared, s.from)])};`;
    case "mma":
      return `${call.generic(`mma_${s.dtype}`, `mma_${s.dtype}`, [place(s.to, s.at), place(s.a, s.aAt), place(s.b, s.bAt)])};`;
    case "mbarriers": {
      call.generic("shared_memory", "", []);
      const open = call.generic("mbarriers", `mbarriers_open<${s.count}>`, [s.name, `${s.arrivals}`]);
      return [
        `mbarrier* const ${s.name} = reinterpret_cast<mbarrier*>(shared_memory + ${shared.get(s.name)}); // ${s.count}`,
        `  ${open};`,
      ].join("\n");
    }
    case "fetch": {
      const to = [place(s.shared, s.at), program.tensors![s.tensor]!.name, barrier(s.barrier)];
      return `${call.generic("fetch", "fetch", [...to, ...s.place.map((e) => i(e))])};`;
    }
    case "expect":
      return `${call.generic("mbarrier", "mbarrier_expect", [barrier(s.barrier), `${s.bytes}`])};`;
    case "await":
      return `${call.generic("mbarrier", "mbarrier_wait", [barrier(s.barrier), i(s.parity)])};`;
    case "release":
      return `${call.generic("mbarrier", "mbarrier_release", [barrier(s.barrier)])};`;
    case "wgmma": {
      const left = "shared" in s.a ? "shared" : "registers";
      call.product(s.dtype, left, s.columns);
      const turned = [...("shared" in s.a ? [s.a.turned] : []), s.b.turned].map(Number);
      const a = "shared" in s.a ? matrix(s.a) : place(s.a.name, s.a.at);
      return `wgmma_${s.dtype}<${[s.columns, ...turned].join(", ")}>(${[place(s.to, s.at), a, matrix(s.b), i(s.add)].join(", ")});`;
    }
    case "fence":
      return `${call.generic("warpgroups", "wgmma_fence", [])};`;
    case "commitProducts":
      return `${call.generic("warpgroups", "wgmma_commit", [])};`;
    case "waitProducts":
      return `${call.generic("warpgroups", `wgmma_wait<${s.left}>`, [])};`;
    case "turn":
      return `${turn(call, s)};`;
  }
}

/** Warpgroup w takes its turn at barrier 2 + w, where itself and the one before it meet. At first it is that of the first. */
function turn(call: Call, { what, warpgroups: n }: Extract<TeamStmt, { kind: "turn" }>): string {
  if (what === "take") return call.generic("meet", "meet", ["2 + warpgroup", "256"]);
  const next = n === 2 ? "3 - warpgroup" : `2 + (warpgroup + 1) % ${n}`;
  const pass = call.generic("meet", "pass_by", [what === "open" ? "2" : next, "256"]);
  return what === "open" ? `if (warpgroup == ${n - 1}) ${pass}` : pass;
}

/** The last warpgroup fetches, by one thread; registers move to the others. */
export function roles(p: Printer, call: Call, s: Extract<LaneStmt, { kind: "roles" }>, depth: number): string {
  const { threads } = p.program;
  const registers = (name: string, n: number): string => call.generic("registers", `registers_${name}<${n}>`, []);
  const [pad, inner] = ["  ".repeat(depth), "  ".repeat(depth + 1)];
  return [
    `${pad}${call.generic("mbarrier", "mbarriers_opened", [])};`,
    `${pad}__syncthreads();`,
    `${pad}if (warpgroup == ${threads / 128 - 1}) {`,
    `${inner}${registers("fewer", s.registers.fetching)};`,
    `${inner}if (threadIdx.x == ${threads - 128}) {`,
    p.block(s.fetching, depth + 2),
    `${inner}}`,
    `${pad}} else {`,
    `${inner}${registers("more", s.registers.computing)};`,
    p.block(s.computing, depth + 1),
    `${pad}}`,
  ].join("\n");
}
