/** What is wrong with a mapping: nothing is taken on trust, wherever it comes from. Lowering is right for all that pass. */
import type { Axis } from "../tile/ir.ts";
import { type Allowed, blockAsked } from "./allowed.ts";
import type { AxisMap, Mapping } from "./map.ts";

/** One message for each rule that is broken; none where the mapping is legal for the kernel that allows this. */
export function checkMapping(allowed: Allowed, mapping: Mapping, maxThreads = 256): readonly string[] {
  const wrong = allowed.axes.flatMap((a) => {
    const m = mapping.axes.get(a.id);
    return m
      ? axisMessages(allowed, a, m, mapping.simd).map((what) => `${a.name}: ${what}`)
      : [`${a.name} has no mapping`];
  });
  if (wrong.length > 0) return wrong;
  const maps = [...mapping.axes.values()];
  const product = (of: (m: AxisMap) => number): number => maps.reduce((n, m) => n * of(m), 1);
  const threads = product((m) => m.lanes);
  const groups = product((m) => (m.axis.role === "grid" ? Math.ceil(m.axis.extent / m.block) : 1));
  return [
    ...(threads === mapping.threads ? [] : [`${mapping.threads} threads, but the axes have ${threads} lanes`]),
    ...(threads <= maxThreads ? [] : [`${threads} threads, more than ${maxThreads}`]),
    ...(groups === mapping.groups ? [] : [`${mapping.groups} workgroups, but the grid has ${groups} blocks`]),
    ...(mapping.simd && threads > 1 ? ["a thread on a processor is alone"] : []),
    ...(mapping.spread && threads % 4 !== 0
      ? ["values are handed round four threads, but threads do not come in fours"]
      : []),
  ];
}

function axisMessages(
  { free, vector, groups }: Allowed,
  a: Axis,
  m: AxisMap,
  simd: Mapping["simd"],
): readonly string[] {
  const numbers = [m.block, m.lanes, m.unroll, m.loop];
  if (!numbers.every((n) => Number.isSafeInteger(n) && n >= 1))
    return ["blocks, lanes, registers and rounds are whole numbers from 1 on"];
  // The last round over a whole axis may go past its end.
  const whole = simd ? Math.ceil(a.extent / m.unroll) * m.unroll : a.extent;
  const own = free.has(a.id);
  const grid = a.role === "grid" && own;
  return [
    ...(a.role === "inner" && m.block !== whole ? [`an inner axis is one block of ${whole}`] : []),
    ...(a.role !== "inner" && !own && m.block !== blockAsked(a)
      ? [`the program's blocks of ${blockAsked(a)} elements meet, so they stay`]
      : []),
    ...(m.lanes > 1 && !grid ? ["elements that meet belong to one thread"] : []),
    ...(m.lanes * m.unroll * m.loop === m.block
      ? []
      : [`${m.lanes} lanes × ${m.unroll} registers × ${m.loop} rounds are no block of ${m.block}`]),
    ...(own && groups.has(a.id) && (m.unroll % groups.get(a.id)! !== 0 || !(m.vector || m.lanes === 1))
      ? [`its elements meet in groups of ${groups.get(a.id)}, and a thread has whole groups`]
      : []),
    ...(grid && m.loop > 1 && !simd ? ["an axis that is dealt out has no rounds"] : []),
    ...(m.unroll > a.extent || m.lanes > Math.ceil(a.extent / m.unroll) || (!grid && m.block > whole)
      ? [`there are only ${a.extent} elements`]
      : []),
    ...(m.ragged === (a.extent % m.block !== 0)
      ? []
      : [m.ragged ? "no block is partial" : "the last block is partial"]),
    ...(m.vector && !((simd ? simd.axis === a.id : vector.has(a.id)) && m.unroll % 4 === 0)
      ? ["four neighbours are held together only where memory and registers come in fours"]
      : []),
  ];
}
