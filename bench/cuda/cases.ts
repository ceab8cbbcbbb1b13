/** What `npm run bench:cuda` measures: `B · S` tokens and heads of `H · D` numbers, as FlashAttention's own tables have it. */

export type Case = {
  readonly B: number;
  readonly S: number;
  readonly H: number;
  /** Heads of keys and values. */
  readonly G: number;
  readonly D: number;
  readonly causal: boolean;
  readonly gradients: boolean;
  readonly softcap: boolean;
};

export type Sizes = { readonly lengths: readonly number[]; readonly tokens: number; readonly width: number };
export const usual: Sizes = { lengths: [2048, 4096, 8192, 16384, 32768], tokens: 16384, width: 2048 };

/** Forward and gradients, with and without a mask; grouped heads, and a score of one's own; each at all lengths. */
export function casesOf({ lengths, tokens, width }: Sizes): readonly Case[] {
  const of = (S: number, D: number, more: Partial<Case> = {}): Case => {
    const [B, H] = [Math.max(1, Math.floor(tokens / S)), width / D];
    return { B, S, H, G: H, D, causal: true, gradients: false, softcap: false, ...more };
  };
  return [64, 128].flatMap((D) => [
    ...[false, true].flatMap((gradients) =>
      [false, true].flatMap((causal) => lengths.map((S) => of(S, D, { causal, gradients }))),
    ),
    ...lengths.map((S) => of(S, D, { G: Math.max(1, width / D / 4) })),
    ...lengths.map((S) => of(S, D, { softcap: true })),
  ]);
}

/** Two products of S x S x D forward, five more for gradients; a causal mask leaves half. */
export const operations = ({ B, S, H, D, causal, gradients }: Case): number =>
  (gradients ? 3.5 : 1) * 4 * B * H * S * S * D * (causal ? 0.5 : 1);
/** The entry of attention.gyre. */
export const entryOf = ({ gradients, causal, softcap }: Case): string =>
  softcap ? "forward_softcap" : `${gradients ? "gradients" : "forward"}${causal ? "_causal" : ""}`;
export const titleOf = (c: Case): string =>
  [
    c.gradients ? "gradients" : "forward",
    c.causal ? "causal" : "full",
    `D ${c.D}`,
    `S ${c.S}`,
    ...(c.G < c.H ? [`${c.H} heads on ${c.G}`] : []),
    ...(c.softcap ? ["softcap"] : []),
  ].join(", ");
