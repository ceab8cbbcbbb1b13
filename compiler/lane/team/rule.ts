/** Where a rule is missing: what for, in a sentence. The kernel is then written for threads that work alone. */

export class NoRule extends Error {}
export const give = (reason: string): never => {
  throw new NoRule(reason);
};
