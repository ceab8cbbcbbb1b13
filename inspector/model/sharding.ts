/** Which device holds which part of an array, as a picture of at most two dimensions. */
import type { Mesh, Port, SpecEntry } from "../../compiler/schedule/schedule.ts";
import { along, ownerOf } from "./mesh.ts";

/** One direction of the picture: a dimension of the array that is split, or one that is not. */
export type Side = {
  readonly dim: number;
  readonly size: number;
  readonly written: string;
  readonly entry: SpecEntry;
  /** Devices along it. */
  readonly parts: number;
};
export type Picture = {
  readonly across: Side | undefined;
  readonly down: Side | undefined;
  /** Axes over which every part has copies. */
  readonly copies: readonly string[];
  /** Split dimensions that the picture leaves out. */
  readonly hidden: number;
};

/** The last split dimension runs across, the one before it down. */
export function pictureOf(port: Port, mesh: Mesh): Picture {
  const sides = port.shape.map((size, dim): Side => {
    const entry = port.spec[dim] ?? { axes: [], layout: "contiguous" };
    return { dim, size, written: port.written[dim] ?? String(size), entry, parts: along(mesh, entry.axes, 0).n };
  });
  const split = sides.filter((s) => s.parts > 1);
  const used = new Set(split.flatMap((s) => s.entry.axes));
  const copies = mesh.axes.filter((a) => a.size > 1 && !used.has(a.name)).map((a) => a.name);
  const across = split.at(-1) ?? sides.at(-1);
  const down = split.length > 1 ? split.at(-2) : undefined;
  return { across, down, copies, hidden: Math.max(0, split.length - 2) };
}

/** A stretch of a dimension, as fractions of it, and the place that holds it. */
export type Stretch = { readonly from: number; readonly to: number; readonly place: number };

/** The stretches of a side, in order; stripes finer than `most` are drawn as if the dimension had that many elements. */
export function stretches(side: Side, most = 2048): readonly Stretch[] {
  const size = side.entry.layout === "striped" ? Math.min(side.size, Math.max(side.parts, most)) : side.size;
  const pieces =
    side.entry.layout === "striped" ? size : side.entry.layout === "zigzag" ? 2 * side.parts : Math.max(1, side.parts);
  return Array.from({ length: pieces }, (_, k) => ({
    from: k / pieces,
    to: (k + 1) / pieces,
    place: ownerOf(side.entry, side.parts, pieces, k),
  }));
}

/** Whether a device is at this place of a side. */
export const holds = (side: Side | undefined, mesh: Mesh, device: number, place: number): boolean =>
  side === undefined || along(mesh, side.entry.axes, device).d === place;

/** `rows 64 to 127`, `every 4th from 1`, `0 to 31 and 224 to 255` of a dimension of `size` elements: what a place holds. */
export function rangeText(side: Side, place: number): string {
  const { size, parts, entry } = side;
  if (parts <= 1) return `all ${size}`;
  if (entry.layout === "striped") return `every ${parts}th from ${place}`;
  const c = size / (entry.layout === "zigzag" ? 2 * parts : parts);
  const range = (k: number): string => (c === 1 ? `${k}` : `${k * c} to ${(k + 1) * c - 1}`);
  return entry.layout === "zigzag" ? `${range(place)} and ${range(2 * parts - 1 - place)}` : range(place);
}
