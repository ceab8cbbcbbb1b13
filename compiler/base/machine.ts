/**
 * Machine: what programs are planned for and simulated on: rates, memory, links and topology, as plain data. A file that
 * says one is read and checked by schedule/machine.ts, which also tells what each field is.
 */
type Name = "f32" | "f16" | "bf16" | "i32" | "u32" | "bool";

export type Machine = {
  readonly name: string;
  readonly about?: string;
  /** Flop/s of sums of products, by the dtype of the factors. A dtype that is not there runs as the next wider one that is. */
  readonly peak: { readonly [K in Name]?: number };
  /** Flop/s of everything else. */
  readonly vector: number;
  /** The share of each rate that programs reach. */
  readonly efficiency: { readonly compute: number; readonly memory: number; readonly links: number };
  /** Of one device, in bytes and bytes per second. */
  readonly memory: { readonly bytes: number; readonly bandwidth: number };
  /** Seconds that a kernel takes besides its work. */
  readonly launch: number;
  /** Position p of a mesh is in node ⌊p / devicesPerNode⌋. */
  readonly devicesPerNode: number;
  readonly links: { readonly inside?: Link; readonly between?: Link };
};
/**
 * `bandwidth`: bytes per second, one way, of each device. `latency`: seconds until the first byte arrives. `message`: seconds
 * for which a message keeps the port besides its bytes. `duplex`: sending and receiving don't slow each other. `shared`: a device has one port for all its transfers (a switch); else each direction
 * of each ring has a link of its own (a torus).
 */
export type Link = {
  readonly bandwidth: number;
  readonly latency: number;
  readonly message?: number;
  readonly duplex: boolean;
  readonly shared: boolean;
};

/** What programs are planned for where nothing else is said: the numbers of machines/h100-nvlink8.json. */
export const usualMachine: Machine = {
  name: "h100-nvlink8",
  peak: { bf16: 989e12, f16: 989e12, f32: 67e12 },
  vector: 67e12,
  efficiency: { compute: 0.6, memory: 0.85, links: 0.85 },
  memory: { bytes: 80e9, bandwidth: 3350e9 },
  launch: 4e-6,
  devicesPerNode: 8,
  links: {
    inside: { bandwidth: 450e9, latency: 3e-6, message: 1e-6, duplex: true, shared: true },
    between: { bandwidth: 50e9, latency: 8e-6, message: 1e-6, duplex: true, shared: true },
  },
};

/** The peak for products of a dtype: its own, or that of the next wider dtype that the machine has one for. */
export function peakOf({ peak, vector }: Machine, dtype: Name): number {
  const wider: Readonly<Record<Name, readonly Name[]>> = {
    bf16: ["bf16", "f16", "f32"],
    f16: ["f16", "bf16", "f32"],
    f32: ["f32"],
    i32: [],
    u32: [],
    bool: [],
  };
  const has = wider[dtype].find((d) => peak[d] !== undefined);
  return has === undefined ? vector : peak[has]!;
}

/** Seconds of a launch with so many seconds of arithmetic at the peaks, and so many bytes read and written. */
export const launchSeconds = ({ efficiency, memory, launch }: Machine, arithmetic: number, bytes: number): number =>
  launch + Math.max(arithmetic / efficiency.compute, bytes / (memory.bandwidth * efficiency.memory));

/**
 * The link between devices of one node, or of different ones, and its bytes per second one way. Where a machine has only one
 * kind, that serves both; one without links moves everything at once.
 */
export function linkOf({ links, efficiency }: Machine, inside: boolean) {
  const link = (inside ? (links.inside ?? links.between) : (links.between ?? links.inside)) ?? FREE;
  return { link, message: link.message ?? 0, rate: link.bandwidth * efficiency.links * (link.duplex ? 1 : 0.5) };
}
const FREE: Link = { bandwidth: Number.POSITIVE_INFINITY, latency: 0, duplex: true, shared: true };
