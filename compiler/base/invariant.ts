/** A bug of ours: something that holds of every program, and did not. Never the user's fault. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** States what must hold; `what` says it in words. Throws {@link InvariantError} where it does not. */
export function invariant(holds: unknown, what: string): asserts holds {
  if (!holds) throw new InvariantError(`compiler bug: ${what}`);
}

/** Where nothing can go on. Throws {@link InvariantError}. */
export function bug(what: string): never {
  throw new InvariantError(`compiler bug: ${what}`);
}

/** For the end of a `switch` over a union: TypeScript proves that it is not reached. */
export function unreachable(value: never, what = "case"): never {
  throw new InvariantError(`compiler bug: unexpected ${what} ${JSON.stringify(value)}`);
}
