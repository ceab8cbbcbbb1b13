/** Global arrays to the pieces that devices hold, and back; on the arrays of the reference interpreter. */
import { invariant } from "../base/invariant.ts";
import type { Mesh, Port } from "./ir.ts";
import { type Coordinates, globalRows, placeAlong, ringSize } from "./mesh-layout.ts";
import { copy, elements, type NDArray, ndarray, sameShape, stridesOf, taken } from "./ndarray.ts";

/** For each split dimension of a port, the global rows that the device at `at` holds. */
function rowsHeld(
  mesh: Mesh,
  port: Port,
  at: Coordinates,
): readonly { readonly dim: number; readonly rows: readonly number[] }[] {
  return port.spec.flatMap(({ axes, layout }, dim) => {
    if (axes.length === 0) return [];
    const n = ringSize(mesh, axes);
    return [{ dim, rows: globalRows(layout, n, port.shape[dim]! / n, placeAlong(mesh, axes, at)) }];
  });
}

/** The piece of a global array that the device at `at` holds. */
export function shard(mesh: Mesh, port: Port, global: NDArray, at: Coordinates): NDArray {
  invariant(
    sameShape(global.shape, port.shape),
    `array of shape [${global.shape.join(", ")}] for port ${port.path} of shape [${port.shape.join(", ")}]`,
  );
  return rowsHeld(mesh, port, at).reduce((x, { dim, rows }) => taken(x, dim, rows), global);
}

/** The global array made of the pieces that devices hold; where several hold the same rows, the last one counts. */
export function unshard(
  mesh: Mesh,
  port: Port,
  pieces: readonly { readonly at: Coordinates; readonly piece: NDArray }[],
): NDArray {
  const global = ndarray(port.dtype, port.shape);
  for (const { at, piece } of pieces) place(global, piece, rowsHeld(mesh, port, at));
  return global;
}

/** Writes a piece to its rows of the global array. */
function place(global: NDArray, piece: NDArray, held: ReturnType<typeof rowsHeld>): void {
  const to = stridesOf(global.shape),
    from = stridesOf(piece.shape);
  // Split dimensions are walked row by row; the others, which are whole, are copied at once.
  const whole = piece.shape.map((n, d) => (held.some((h) => h.dim === d) ? 1 : n));
  const step = (k: number, source: number, target: number): void => {
    const next = held[k];
    if (!next)
      copy(
        whole,
        { data: piece.data, start: source, strides: from },
        { data: global.data, start: target, strides: to },
      );
    else
      for (const [local, row] of next.rows.entries())
        step(k + 1, source + local * from[next.dim]!, target + row * to[next.dim]!);
  };
  if (elements(piece.shape) > 0) step(0, 0, 0);
}
