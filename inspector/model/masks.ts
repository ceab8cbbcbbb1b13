/** What a kernel does on each block, on a device and in a step of its loop: nothing, all of it, or with its mask. */
import type { Mesh } from "../../compiler/schedule/schedule.ts";
import type { Mask, MaskAxis, MaskExpr } from "../data.ts";
import { along } from "./mesh.ts";

/** 0 skipped, 1 masked, 2 full. */
export type Work = 0 | 1 | 2;

type Where = { first: number; last: number; firstColumn: number; lastColumn: number; step: number; device: number };
type Run = (w: Where) => number;

export type MaskReader = {
  /** The blocks of one device and step, row by row; several as one where there are more than `most` in a direction. */
  readonly blocks: (
    device: number,
    step: number,
    most?: number,
  ) => { readonly rows: number; readonly columns: number; readonly work: Uint8Array };
  /** The same as if all were one block. */
  readonly whole: (device: number, step: number) => Work;
};

/** Makes functions of the mask's expressions. */
export function maskReader(mask: Mask, mesh: Mesh): MaskReader {
  const places = new Map<string, Int32Array>();
  const run = compile(mask.run, mesh, places);
  const full = compile(mask.full, mesh, places);
  const always = mask.full === 1;
  const at: Where = { first: 0, last: 0, firstColumn: 0, lastColumn: 0, step: 0, device: 0 };
  const work = (): Work => (run(at) === 0 ? 0 : !always && full(at) !== 0 ? 2 : 1);
  const block = (axis: MaskAxis, size: number, k: number): readonly [number, number] => [
    k * size,
    Math.min(axis.extent, (k + 1) * size) - 1,
  ];
  return {
    blocks(device, step, most = Number.POSITIVE_INFINITY) {
      const together = (axis: MaskAxis): number => axis.block * Math.ceil(blocksOf(axis) / most || 1);
      const [height, width] = [together(mask.rows), together(mask.columns)];
      const [rows, columns] = [Math.ceil(mask.rows.extent / height), Math.ceil(mask.columns.extent / width)];
      const found = new Uint8Array(rows * columns);
      at.device = device;
      at.step = step;
      for (let r = 0; r < rows; r++) {
        [at.first, at.last] = block(mask.rows, height, r);
        for (let c = 0; c < columns; c++) {
          [at.firstColumn, at.lastColumn] = block(mask.columns, width, c);
          found[r * columns + c] = work();
        }
      }
      return { rows, columns, work: found };
    },
    whole(device, step) {
      Object.assign(at, { device, step, first: 0, firstColumn: 0 });
      at.last = mask.rows.extent - 1;
      at.lastColumn = mask.columns.extent - 1;
      return work();
    },
  };
}

export const blocksOf = (axis: MaskAxis): number => Math.ceil(axis.extent / axis.block);

function compile(e: MaskExpr, mesh: Mesh, places: Map<string, Int32Array>): Run {
  if (typeof e === "number") return () => e;
  if ("at" in e) {
    if (e.at === "row") return e.end === "first" ? (w) => w.first : (w) => w.last;
    return e.end === "first" ? (w) => w.firstColumn : (w) => w.lastColumn;
  }
  if ("place" in e) {
    const key = e.place.join();
    const known = places.get(key) ?? placesOf(mesh, e.place);
    places.set(key, known);
    return (w) => known[w.device]!;
  }
  if ("step" in e) return (w) => w.step;
  const [a, b, c] = e.args.map((x) => compile(x, mesh, places)) as [Run, Run, Run];
  switch (e.op) {
    case "add":
      return (w) => a(w) + b(w);
    case "sub":
      return (w) => a(w) - b(w);
    case "mul":
      return (w) => a(w) * b(w);
    case "div":
      return (w) => Math.floor(a(w) / b(w));
    case "mod":
      return (w) => a(w) - b(w) * Math.floor(a(w) / b(w));
    case "min":
      return (w) => Math.min(a(w), b(w));
    case "max":
      return (w) => Math.max(a(w), b(w));
    case "abs":
      return (w) => Math.abs(a(w));
    case "neg":
      return (w) => -a(w);
    case "not":
      return (w) => +(a(w) === 0);
    case "and":
      return (w) => +(a(w) !== 0 && b(w) !== 0);
    case "or":
      return (w) => +(a(w) !== 0 || b(w) !== 0);
    case "eq":
      return (w) => +(a(w) === b(w));
    case "ne":
      return (w) => +(a(w) !== b(w));
    case "lt":
      return (w) => +(a(w) < b(w));
    case "le":
      return (w) => +(a(w) <= b(w));
    case "gt":
      return (w) => +(a(w) > b(w));
    case "ge":
      return (w) => +(a(w) >= b(w));
    case "select":
      return (w) => (a(w) !== 0 ? b(w) : c(w));
  }
}

function placesOf(mesh: Mesh, axes: readonly string[]): Int32Array {
  const n = mesh.axes.reduce((size, a) => size * a.size, 1);
  return Int32Array.from({ length: n }, (_, device) => along(mesh, axes, device).d);
}

/** Blocks of each kind, summed over the steps of the loop, for one device. */
export function workOf(
  reader: MaskReader,
  device: number,
  steps: number,
  most?: number,
): readonly [number, number, number] {
  const sum: [number, number, number] = [0, 0, 0];
  for (let step = 0; step < steps; step++) for (const w of reader.blocks(device, step, most).work) sum[w as Work]++;
  return sum;
}
