/** What this WebAssembly engine has, told by modules that use it. */

/** A module of one function of four-float values, whose body is `code`. */
const withBody = (parameters: number, ...code: readonly number[]): Uint8Array =>
  Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[1, 5 + parameters, 1, 0x60, parameters, ...Array<number>(parameters).fill(0x7b), 1, 0x7b],
    ...[3, 2, 1, 0],
    ...[10, 4 + code.length, 1, 2 + code.length, 0, ...code, 0x0b],
  ]);

/** f32x4.abs */
export const hasSimd = (): boolean => WebAssembly.validate(withBody(1, 0x20, 0, 0xfd, 0xe0, 1));
/** f32x4.relaxed_madd */
export const hasRelaxedSimd = (): boolean =>
  WebAssembly.validate(withBody(3, 0x20, 0, 0x20, 1, 0x20, 2, 0xfd, 0x85, 2));
