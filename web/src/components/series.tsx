import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "react";
import uPlot from "uplot";

interface Props {
  /** Moments in seconds since 1970. */
  at: number[];
  /** In percent, of the same moments. */
  values: (number | null)[];
  label: string;
}

/** A small line of percents over time, with the limit at its top. */
export default function Series({ at, values, label }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  useEffect(() => {
    const node = place.current;
    if (node === null) return;
    const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = {
      stroke: css("--ink-3"),
      grid: { stroke: css("--line"), width: 1 },
      ticks: { show: false },
      font: "10px sans-serif",
    };
    const made = new uPlot(
      {
        width: node.clientWidth,
        height: 96,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: true }, y: { range: [0, 100] } },
        axes: [
          {
            ...axis,
            size: 18,
            space: 60,
            values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, 5)),
          },
          { ...axis, size: 34, splits: () => [0, 50, 100], values: (_, ticks) => ticks.map((tick) => `${tick} %`) },
        ],
        series: [{}, { stroke: css("--accent"), width: 1.5, points: { show: false } }],
      },
      [[], []],
      node,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: node.clientWidth, height: 96 }));
    observer.observe(node);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => {
    plot.current?.setData([at, values]);
  }, [at, values]);
  const known = values.filter((value): value is number => value !== null);
  const last = known.at(-1);
  const text = last === undefined
    ? label
    : `${label}: ${Math.round(last)} now, ${Math.round(Math.max(...known))} at most`;
  return <div ref={place} role="img" aria-label={text} className="h-24 w-full" />;
}
