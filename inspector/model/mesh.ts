/** Devices of a mesh: where they stand, and who sends to whom. The same arithmetic as the runtime's. */
import type { Mesh, Route, SpecEntry } from "../../compiler/schedule/schedule.ts";

export const deviceCount = (mesh: Mesh): number => mesh.axes.reduce((n, a) => n * a.size, 1);

/** The coordinate along each axis; the last axis runs fastest. */
export function coordinates(mesh: Mesh, device: number): readonly number[] {
  const at: number[] = [];
  let rest = device;
  for (let i = mesh.axes.length - 1; i >= 0; i--) {
    at[i] = rest % mesh.axes[i]!.size;
    rest = Math.floor(rest / mesh.axes[i]!.size);
  }
  return at;
}

/** `sp 3`, `dp 0 · sp 3`; axes of one device are left out. */
export function deviceName(mesh: Mesh, device: number): string {
  const at = coordinates(mesh, device);
  const parts = mesh.axes.flatMap((a, i) => (a.size > 1 ? [`${a.name} ${at[i]}`] : []));
  return parts.length > 0 ? parts.join(" · ") : `device ${device}`;
}

/** Place and size along some axes, flattened, the first the slowest. */
export function along(mesh: Mesh, axes: readonly string[], device: number): { readonly d: number; readonly n: number } {
  const at = coordinates(mesh, device);
  return axes.reduce(
    ({ d, n }, name) => {
      const i = mesh.axes.findIndex((a) => a.name === name);
      const size = mesh.axes[i]?.size ?? 1;
      return { d: d * size + (at[i] ?? 0), n: n * size };
    },
    { d: 0, n: 1 },
  );
}

/** The device to which `device` sends in the given steps of the loops, if it does. */
export const receiverOf = (
  mesh: Mesh,
  axes: readonly string[],
  route: Route,
  device: number,
  stepOf: (loop: number) => number,
): number | undefined => {
  const { d, n } = along(mesh, axes, device);
  const to =
    route.kind === "pairs" ? route.pairs.find(([from]) => from === d)?.[1] : moved(d, n, route, shiftOf(route, stepOf));
  return to === undefined ? undefined : onRing(mesh, axes, device, to);
};

/** The device from which `device` receives, if it does. */
export const senderOf = (
  mesh: Mesh,
  axes: readonly string[],
  route: Route,
  device: number,
  stepOf: (loop: number) => number,
): number | undefined => {
  const { d, n } = along(mesh, axes, device);
  const from =
    route.kind === "pairs" ? route.pairs.find(([, to]) => to === d)?.[0] : moved(d, n, route, -shiftOf(route, stepOf));
  return from === undefined ? undefined : onRing(mesh, axes, device, from);
};

const shiftOf = (route: Extract<Route, { kind: "shift" }>, stepOf: (loop: number) => number): number =>
  route.offset + (route.loop === undefined ? 0 : (route.perStep ?? 1) * stepOf(route.loop));
const modulo = (a: number, n: number): number => ((a % n) + n) % n;
/** A place further round, of the whole ring or of the part of it that it is in. */
const moved = (d: number, n: number, { within = n }: Extract<Route, { kind: "shift" }>, shift: number): number => {
  const begin = d - (d % within);
  return begin + modulo(d - begin + shift, within);
};

/** The device at a place of the ring that `device` is on. */
function onRing(mesh: Mesh, axes: readonly string[], device: number, place: number): number {
  const at = [...coordinates(mesh, device)];
  let rest = place;
  for (const name of [...axes].reverse()) {
    const i = mesh.axes.findIndex((a) => a.name === name);
    at[i] = rest % mesh.axes[i]!.size;
    rest = Math.floor(rest / mesh.axes[i]!.size);
  }
  return at.reduce((index, c, i) => index * mesh.axes[i]!.size + c, 0);
}

/**
 * Which place along the axes of a spec's entry holds element `i` of a dimension of `size` elements: contiguous pieces,
 * stripes, or two pieces from both ends for each.
 */
export function ownerOf(entry: SpecEntry, n: number, size: number, i: number): number {
  if (n <= 1) return 0;
  if (entry.layout === "striped") return i % n;
  if (entry.layout === "contiguous") return Math.min(n - 1, Math.floor((i * n) / size));
  const piece = Math.min(2 * n - 1, Math.floor((i * 2 * n) / size));
  return Math.min(piece, 2 * n - 1 - piece);
}
