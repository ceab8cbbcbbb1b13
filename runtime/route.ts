/** Who sends to whom: places along the flattened ring of some mesh axes (major first), and the devices at them. */
import type { Mesh, Route } from "../compiler/schedule/schedule.ts";
import { coordinates, meshSize } from "./layout.ts";

/** The number of devices in the mesh. */
export const deviceCount = (mesh: Mesh): number => meshSize(mesh.axes);

const axisNumbers = (mesh: Mesh, axes: readonly string[]) =>
  axes.map((name) => mesh.axes.findIndex((axis) => axis.name === name));

/** The place of `position` along the ring of `axes`: what `axis_index(axes)` is there. */
export function ringPlace(mesh: Mesh, axes: readonly string[], position: number): number {
  const at = coordinates(mesh.axes, position);
  return axisNumbers(mesh, axes).reduce((place, i) => place * mesh.axes[i]!.size + at[i]!, 0);
}

/** The number of places in a ring of `axes`. */
export const ringSize = (mesh: Mesh, axes: readonly string[]): number =>
  axisNumbers(mesh, axes).reduce((n, i) => n * mesh.axes[i]!.size, 1);

/** The device at `place` of the ring that `position` is on. */
export function onRing(mesh: Mesh, axes: readonly string[], position: number, place: number): number {
  const at = [...coordinates(mesh.axes, position)];
  let rest = place;
  for (const i of axisNumbers(mesh, axes).reverse()) {
    at[i] = rest % mesh.axes[i]!.size;
    rest = Math.floor(rest / mesh.axes[i]!.size);
  }
  return at.reduce((index, coordinate, i) => index * mesh.axes[i]!.size + coordinate, 0);
}

/** The device that `position` sends to, and the one that it receives from, when the route's loop is in step `step`. */
export function peers(
  mesh: Mesh,
  axes: readonly string[],
  route: Route,
  position: number,
  stepOf: (loop: number) => number,
): { readonly to: number | undefined; readonly from: number | undefined } {
  const place = ringPlace(mesh, axes, position);
  const device = (other: number | undefined) => (other === undefined ? undefined : onRing(mesh, axes, position, other));
  if (route.kind === "pairs") {
    return {
      to: device(route.pairs.find(([from]) => from === place)?.[1]),
      from: device(route.pairs.find(([, to]) => to === place)?.[0]),
    };
  }
  const ring = ringSize(mesh, axes);
  const shift = route.offset + (route.loop === undefined ? 0 : (route.perStep ?? 1) * stepOf(route.loop));
  const { within = ring } = route;
  const begin = place - (place % within);
  const after = (by: number) => begin + ((((place - begin + by) % within) + within) % within);
  return { to: device(after(shift)), from: device(after(-shift)) };
}
