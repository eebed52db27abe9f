import { useMemo } from "react";
import { axis, color, usePlot } from "./plot.ts";

interface Props {
  /** Moments in seconds since 1970. */
  at: number[];
  /** In percent, of the same moments. */
  values: (number | null)[];
  label: string;
}

/** A small line of percents over time, with the limit at its top. */
export default function Series({ at, values, label }: Props) {
  const place = usePlot(
    () => ({
      scales: { x: { time: true }, y: { range: [0, 100] } },
      axes: [
        {
          ...axis(),
          size: 18,
          space: 60,
          values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, 5)),
        },
        { ...axis(), size: 34, splits: () => [0, 50, 100], values: (_, ticks) => ticks.map((tick) => `${tick} %`) },
      ],
      series: [{}, { stroke: color("--accent"), width: 1.5, points: { show: false } }],
    }),
    useMemo(() => [at, values], [at, values]),
  );
  const known = values.filter((value): value is number => value !== null);
  const last = known.at(-1);
  const text = last === undefined
    ? label
    : `${label}: ${Math.round(last)} now, ${Math.round(Math.max(...known))} at most`;
  return <div ref={place} role="img" aria-label={text} className="h-24 w-full" />;
}
