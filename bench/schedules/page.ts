/** The tables of docs/guide/simulation.md, ours beside the papers', and of docs/guide/cluster.md. `npm run docs` writes them, and a test sees that they are true. */
import {
  blocksOnDevice,
  contextInPaper,
  hiddenBy,
  hiding,
  longerOnRing,
  machine,
  overlapInPaper,
  secondsByLayout,
  smallestBlock,
  stages,
  weakScaling,
} from "./tables.ts";

const tables: Readonly<Record<string, () => string>> = { overlap, memory, context, balance, hidden, weak };

/** The page with what stands between `<!-- table NAME -->` and `<!-- end -->` made anew. */
export const withTables = (page: string): string =>
  page.replace(/(<!-- table (\w+) -->\n)[\s\S]*?(<!-- end -->)/g, (_, begin: string, name: string, end: string) => {
    return `${begin}\n${tables[name]!()}\n${end}`;
  });

type Row = readonly (string | number)[];
const table = (head: Row, rows: readonly Row[]): string =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |\n`).join("");

function overlap(): string {
  const thousands = (tokens: number, digits: number) => (tokens / 1000).toFixed(digits);
  return table(
    ["device", "TFLOP/s", "GB/s", "block, paper", "block", "sequence, paper", "sequence", "off by"],
    overlapInPaper.map((row) => {
      const on = machine(row.name);
      const block = smallestBlock(on);
      const link = on.links.inside ?? on.links.between!;
      return [
        row.title,
        on.peak.bf16! / 1e12,
        link.bandwidth / 1e9,
        row.block.toFixed(1),
        thousands(block, 2),
        row.sequence.toFixed(1),
        thousands(6 * block, 1),
        `${Math.abs((100 * (6 * block)) / 1000 / row.sequence - 100).toFixed(1)} %`,
      ];
    }),
  );
}

function memory(): string {
  const blocks = (n: number) => blocksOnDevice(n).toFixed(2);
  const sizes = [1, 2, 8, 64, 1024];
  return table(["devices", ...sizes], [["blocks on each device", ...sizes.map(blocks)]]);
}

function context(): string {
  return table(
    ["machine", "model", "blocks alone, paper", "ring, paper", "times longer, paper", "times longer"],
    contextInPaper.map((row) => {
      const devices = row.ring / row.alone;
      const longer = longerOnRing(devices, row.layers);
      return [row.title, row.model, `${row.alone}K`, `${row.ring}K`, devices, longer.toFixed(1)];
    }),
  );
}

function balance(): string {
  return table(
    ["devices", "contiguous / striped", "contiguous / zigzag", "2n / (n + 1)", "2 - 1/n"],
    [2, 4, 8, 32, 128].map((n) => {
      const { contiguous, striped, zigzag } = secondsByLayout(n, n > 32 ? 16 : 64);
      const ratios = [contiguous / striped, contiguous / zigzag, (2 * n) / (n + 1), 2 - 1 / n];
      return [n, ...ratios.map((r) => r.toFixed(2))];
    }),
  );
}

function hidden(): string {
  const ms = (seconds: number): string => Number((1000 * seconds).toPrecision(3)).toString();
  return table(
    ["exposed of all, in ms", ...stages.map((s) => s.name)],
    hiding.map((row) => [row.title, ...hiddenBy(row).map((t) => `${ms(t.exposed)} of ${ms(t.seconds)}`)]),
  );
}

function weak(): string {
  const tokens = 65_536;
  return table(
    ["devices", "tokens", "seconds", "milliseconds / devices", "exposed", "of peak"],
    [8, 64, 256, 1024].map((n) => {
      const { seconds, exposed, utilisation } = weakScaling(n, tokens);
      const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
      return [
        n,
        n * tokens,
        seconds.toFixed(2),
        ((1000 * seconds) / n).toFixed(1),
        percent(exposed.most / seconds),
        percent(utilisation),
      ];
    }),
  );
}
