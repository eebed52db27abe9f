// Samples of one measure, and the table of all of them.

export interface Samples {
  median: number;
  min: number;
  max: number;
  count: number;
}

export interface Line {
  measure: string;
  unit: string;
  /** What is compared: ours against the floor or the raw API, or ours alone. */
  ours: Samples;
  reference?: Samples;
  /** Median of the ratios of each round; both halves of a round ran next to each other. */
  ratio?: Samples;
  target?: { limit: number; of: "ratio" | "value"; better: "less" | "more" };
  note?: string;
}

export function samples(values: number[]): Samples {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], count: sorted.length };
}

/** A measure of two variants whose rounds alternate. */
export function compared(measure: string, unit: string, rounds: [ours: number, reference: number][]): Line {
  return {
    measure,
    unit,
    ours: samples(rounds.map(([ours]) => ours)),
    reference: samples(rounds.map(([, reference]) => reference)),
    ratio: samples(rounds.map(([ours, reference]) => ours / reference)),
  };
}

/** Whether the line meets its target; null without one. */
export function meets(line: Line): boolean | null {
  if (!line.target) return null;
  const { limit, of, better } = line.target;
  const value = of === "ratio" ? line.ratio!.median : line.ours.median;
  // What the table shows is what is judged: 1.054 is shown, and counts, as 1.05.
  const shown = Number(of === "ratio" ? value.toFixed(2) : digits(value));
  return better === "less" ? shown <= limit : shown >= limit;
}

export function table(lines: Line[]): string {
  const rows = [["measure", "target", "measured", "reference", "ratio", "verdict"]];
  for (const line of lines) {
    const { target, unit } = line;
    const sign = target?.better === "more" ? "≥" : "≤";
    const verdict = meets(line);
    rows.push([
      line.measure + (line.note ? ` (${line.note})` : ""),
      target ? `${sign} ${target.of === "ratio" ? `${target.limit.toFixed(2)}×` : `${target.limit} ${unit}`}` : "",
      `${range(line.ours)} ${unit}`,
      line.reference ? `${range(line.reference)} ${unit}` : "",
      line.ratio ? `${range(line.ratio, 2)}×` : "",
      verdict === null ? "" : verdict ? "ok" : "MISSED",
    ]);
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  rows.splice(1, 0, widths.map((width) => "-".repeat(width)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd()).join("\n");
}

function range({ median, min, max, count }: Samples, decimals?: number): string {
  const show = (value: number) => decimals === undefined ? digits(value) : value.toFixed(decimals);
  return count === 1 ? show(median) : `${show(median)} [${show(min)}–${show(max)}]`;
}

/** Three significant digits, never an exponent. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
