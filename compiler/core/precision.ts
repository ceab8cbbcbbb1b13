/** How exactly a result is computed: as its inputs are, and what it is made from on the way. */
import { dce } from "./dce.ts";
import type { DType, Program } from "./ir.ts";
import { eachEqn, freeVars, outsOf } from "./walk.ts";

/** The dtypes of all that result `k` of a program without derivatives hangs on. */
export function dtypesBehind(p: Program, k: number): ReadonlySet<DType> {
  const { body } = dce({ ...p, body: { ...p.body, results: [p.body.results[k]!] } });
  const found = new Set([...freeVars(body)].map((v) => v.type.dtype));
  eachEqn(body, (e) => {
    for (const v of outsOf(e)) found.add(v.type.dtype);
  });
  return found;
}
