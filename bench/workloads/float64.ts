/** What oracles compute with: products in float64, whatever the operands are. */

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** A row times a matrix with as many rows as the row has elements. */
export function times(row: ArrayLike<number>, matrix: Float32Array): Float64Array {
  const columns = matrix.length / row.length;
  const out = new Float64Array(columns);
  for (let i = 0; i < row.length; i++)
    for (let j = 0, at = i * columns; j < columns; j++) out[j]! += row[i]! * matrix[at + j]!;
  return out;
}

/** ‖got - wanted‖ / ‖wanted‖ over all elements; NaN counts as infinitely wrong. */
export function relativeError(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (got[i]! - wanted[i]!) ** 2;
    norm += wanted[i]! ** 2;
  }
  const error = Math.sqrt(difference / norm);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}
