/** What takes long to make is made once for each key, whoever asks meanwhile; what failed is made anew. */
export function once<T>(made: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = made.get(key);
  if (known) return known;
  const now = make();
  made.set(key, now);
  now.catch(() => made.delete(key));
  return now;
}
