import { useMemo } from "react";
import uPlot from "uplot";
import type { Day } from "@/lib/usage.ts";
import { axis, color, usePlot } from "./plot.ts";

const SHORT = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

/** A bar of calls for each day, and over it one of those that failed. */
export default function DayBars({ days, label }: { days: Day[]; label: string }) {
  const place = usePlot(
    () => {
      const paths = uPlot.paths.bars?.({ size: [0.7, 24] });
      const bar = (name: string) => ({
        stroke: color(name),
        fill: color(name),
        width: 0,
        points: { show: false },
        ...(paths !== undefined && { paths }),
      });
      return {
        // Half a day on both sides, so that no bar is cut.
        scales: {
          x: { time: true, range: (_, from, to) => [from - 43_200, to + 43_200] },
          y: { range: (_, _from, to) => [0, Math.max(1, to)] },
        },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
        axes: [
          { ...axis(), size: 18, space: 60, values: (_, ticks) => ticks.map((tick) => SHORT.format(tick * 1000)) },
          {
            ...axis(),
            size: 40,
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6, 1e7],
          },
        ],
        series: [{}, bar("--accent"), bar("--bad")],
      };
    },
    useMemo(
      () => [days.map(({ at }) => at), days.map(({ calls }) => calls), days.map(({ errors }) => errors)],
      [days],
    ),
  );
  return <div ref={place} role="img" aria-label={label} className="h-24 w-full" />;
}
