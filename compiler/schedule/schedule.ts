/**
 * Schedule: what every device does and when, as plain JSON. It imports nothing and survives `JSON.parse(JSON.stringify(s))`.
 *
 *   schedule ::= mesh, values, buffers, kernels, streams, inputs, step*, outputs, memory
 *   step     ::= launch kernel (buffer…) | send token | receive token | wait token | copy | loop count { step* } rotate
 *
 * All devices run the same steps (SPMD); what differs between them is `axis_index` and where a route leads. Its size does
 * not depend on the mesh or on the counts of loops.
 *
 * **Values and buffers.** A *value* is an array of the program, written once; a *buffer* is memory that holds one value
 * after another. Every step names both: `{ buffer: 3, value: 7 }` as an operand says "value 7, which is in buffer 3". So a
 * schedule says by itself what it computes, and check.ts can prove that each operand finds the value that it asks for.
 *
 * **Streams.** `compute` runs launches and copies in the order of the steps. Sends and receives run beside it, each ring
 * direction on a stream of its own (`sp+1`), in order within the stream. `wait` is the only thing that joins them: until
 * the token of a transfer has been waited for, nobody may write the source of its send or touch the target of its receive.
 *
 * **Loops.** At the end of each step the names of the buffers in `rotate` move on: double buffering without copies.
 *
 * A printed schedule (print.ts), the sum of x round a ring of 4; `acc[zero]` is the value acc in the buffer called zero:
 *
 *   schedule ring_sum on m(sp: 4)   160 bytes on each device
 *     input x                 x                                      f32[8]
 *     fill                    → zero                                 1×1×1 groups
 *     loop 0 × 4              acc[zero] = zero, cur = x[x at first]
 *       receive cur' on sp+1  → cur'                                 32 bytes, not in the last step
 *       send cur on sp+1      cur                                    32 bytes, not in the last step
 *       add                   acc[zero], cur → acc'                  1×1×1 groups
 *       wait for cur'                                                not in the last step
 *       rotate                zero ⇄ acc', cur ⇄ cur'
 *     output                  sum[zero]                              f32[8]
 */
export type DType = "f32" | "f16" | "bf16" | "i32" | "u32" | "bool";

export type Schedule = {
  readonly version: 1;
  readonly name: string;
  readonly mesh: Mesh;
  /** `values[i].id === i`. */
  readonly values: readonly Value[];
  /** `buffers[i].id === i`. */
  readonly buffers: readonly Buffer[];
  readonly kernels: readonly Kernel[];
  /** `compute` first, then one for each ring direction and axis. */
  readonly streams: readonly string[];
  readonly inputs: readonly Input[];
  readonly outputs: readonly Output[];
  readonly steps: readonly Step[];
  /** Transfers begin when all that was launched before them is done: what overlap is compared with. */
  readonly inTurn?: true;
  readonly memory: Memory;
  /** What was chosen so that transfers run beside kernels, what hides most first; for people. */
  readonly decisions?: Decisions;
  /** Loops that are gone through in parts, by kernels of their own, because there were few workgroups; for people. */
  readonly splits?: readonly SplitLoop[];
};
/** `kernel` goes on from what the `parts` of a loop along `axes` came to. `saves`: seconds of a launch that it is expected to save. */
export type SplitLoop = {
  readonly kernel: string;
  readonly axes: readonly string[];
  readonly parts: number;
  readonly saves: number;
};
/** `on`: the machine that it was weighed for. */
export type Decisions = { readonly on: string; readonly made: readonly Decision[] };
/**
 * `about`: the label of a step, or what was there in its place, as in `all_gather of w over tp`. `hides`: the seconds of
 * transfers that are expected to pass beside kernels for it in a run, over all steps of the loops around it; `saves`: by how
 * much it is faster than what was there.
 */
export type Decision = { readonly about: string; readonly what: string } & (
  | { readonly hides: number }
  | { readonly saves: number }
);

/** Axes in order, major first. A device's *position* is its place in the mesh, row-major: the last axis runs fastest. */
export type Mesh = {
  readonly name: string;
  readonly axes: readonly { readonly name: string; readonly size: number }[];
};

/** A local array. `name` is unique. bool takes a u32 for each element; f16 and bf16 lie two to a word. */
export type Value = {
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** A multiple of 4, at least 4. */
  readonly bytes: number;
};

/** Memory on each device, for the whole run. `name` is unique (of the first value it holds). */
export type Buffer = {
  readonly id: number;
  readonly name: string;
  readonly bytes: number;
  readonly role: "input" | "output" | "temp";
};

/** A kernel without its text, which is kept by name beside the schedule. `bindings[k]` belongs to `args[k]` of its launches. */
export type Kernel = {
  readonly name: string;
  readonly groups: readonly [x: number, y: number, z: number];
  readonly bindings: readonly Binding[];
  /** i32 parameters, in order. */
  readonly scalars: readonly Scalar[];
  /** For estimates: what one launch does, masks not counted. */
  readonly cost?: { readonly flops: number; readonly bytes: number };
  /** The same with masks counted, as a function of the scalars. */
  readonly work?: Work;
};
/**
 * What one launch does: `always`, and of each `masked` part the share of its blocks on which its condition holds. work.ts
 * makes it, and running.ts says what the shares are at given scalars.
 */
export type Work = { readonly always: Ops; readonly masked: readonly Masked[] };
/** Floating-point operations: in sums of products, by the dtype of the factors (a multiply-add is 2), and all others. */
export type Ops = { readonly products: { readonly [K in DType]?: number }; readonly other: number };
/**
 * `ops` where every block runs. A block is a block of each of `axes`; it runs where the last of `nodes` is not 0. A node
 * is a number computed from nodes before it, from block edges (element numbers) and from the kernel's scalars; `unknown`
 * hangs on data.
 */
export type Masked = {
  readonly ops: Ops;
  readonly axes: readonly { readonly extent: number; readonly block: number }[];
  readonly nodes: readonly WorkNode[];
};
export type WorkNode =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "scalar"; readonly index: number }
  | { readonly kind: "edge"; readonly axis: number; readonly end: "first" | "last" }
  | { readonly kind: "unknown" }
  | { readonly kind: "op"; readonly op: WorkOp; readonly args: readonly number[] };
/** Whole numbers; quotients round down. Comparisons give 0 or 1. */
export type WorkOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "mod"
  | "min"
  | "max"
  | "neg"
  | "abs"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "eq"
  | "ne"
  | "and"
  | "or"
  | "not"
  | "select";
/** `update`: it goes on from what it held: written in part, or element by element where it was read before. */
export type Binding = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly access: "read" | "write" | "update";
};
/** The device's place along the axes (flattened, major first), or the step that a loop around the launch is in. */
export type Scalar =
  | { readonly kind: "axis_index"; readonly axes: readonly string[] }
  | { readonly kind: "step"; readonly loop: number };

/** How one array dimension lies on the mesh. */
export type SpecEntry = { readonly axes: readonly string[]; readonly layout: "contiguous" | "striped" | "zigzag" };

/** A global array at the edge. `path` is how it is named from outside: `q`, `params.w1`, or `` for a sole result. */
export type Port = {
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly spec: readonly SpecEntry[];
  /** The shape as the source has it, for messages. */
  readonly written: readonly string[];
  readonly value: number;
  readonly buffer: number;
};
/** A donated input may be overwritten: whoever gave it must not use it again. Others are never written. */
export type Input = Port & { readonly donated: boolean };
export type Output = Port;

/** In which steps of the innermost loop around it a step is done; always, where it is absent. */
export type When = "first" | "last" | "not-first" | "not-last";

/**
 * `shift`: to the device `offset + perStep * step(loop)` further round the ring, or round the part of it that it is in, of
 * `within` places that follow each other. `pairs`: places along the ring.
 */
export type Route =
  | {
      readonly kind: "shift";
      readonly offset: number;
      readonly loop?: number;
      readonly perStep?: number;
      readonly within?: number;
    }
  | { readonly kind: "pairs"; readonly pairs: readonly (readonly [from: number, to: number])[] };

/** `value` is in `buffer`. `from`: it held the value `from` before, which the kernel turns into `value` in place. */
export type Arg = { readonly buffer: number; readonly value: number; readonly from?: number };

/** `label` is unique in the schedule and readable; traces, errors and timelines use it. */
type Labelled = { readonly label: string; readonly when?: When };

export type Launch = Labelled & {
  readonly kind: "launch";
  readonly stream: "compute";
  readonly kernel: number;
  readonly args: readonly Arg[];
};
/**
 * The two ends of a transfer have the same token, axes, route and bytes. `axes`: the ring, flattened, major first.
 * `value`: of a send what is sent; of a receive what arrives. A device to which nobody sends receives zeros. Transfers with
 * the same `message` travel as one: it leaves when all of them have been begun, and they are there together. They stand side
 * by side, on one stream and route.
 */
export type Transfer = Labelled & {
  readonly kind: "send" | "receive";
  readonly stream: string;
  readonly token: number;
  readonly buffer: number;
  readonly value: number;
  readonly bytes: number;
  readonly axes: readonly string[];
  readonly route: Route;
  readonly message?: number;
};
/** Both ends of the transfer `token` are done on this device. */
export type Wait = Labelled & { readonly kind: "wait"; readonly token: number };
/** Afterwards `value` is in `to` as well. */
export type Copy = Labelled & {
  readonly kind: "copy";
  readonly stream: "compute";
  readonly value: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
};
/** `count` is at least 1. */
export type Loop = Labelled & {
  readonly kind: "loop";
  readonly id: number;
  readonly count: number;
  readonly carry: readonly Carry[];
  readonly body: readonly Step[];
  /** Cycles of buffers of one size: after each step, the first names what the second named, …, the last what the first did. */
  readonly rotate: readonly (readonly number[])[];
};
/**
 * What a loop hands from step to step. `buffer` holds `init` when the loop begins, and after each step's rotation `next`;
 * the body calls it `inside`, and what follows the loop calls it `out` (null where nobody reads it; then `next` may be
 * missing in the last step). `first`: in the first step, `buffer` stands for this other buffer, which is only read.
 */
export type Carry = {
  readonly buffer: number;
  readonly first?: number;
  readonly init: number;
  readonly inside: number;
  readonly next: number;
  readonly out: number | null;
};
export type Step = Launch | Transfer | Wait | Copy | Loop;

/** Bytes on each device while it runs, inputs and outputs included; buffers, the largest first, and the values each holds. */
export type Memory = {
  readonly bytes: number;
  readonly parts: readonly { readonly buffer: number; readonly bytes: number; readonly holds: readonly number[] }[];
  /** Under a limit: how many transfers begin only where they are waited for, and how many bytes it would be without that. */
  readonly late?: { readonly transfers: number; readonly without: number };
};
