import "uplot/dist/uPlot.min.css";
import { type RefObject, useEffect, useRef } from "react";
import uPlot from "uplot";

/** A colour of the theme, as it is now. */
export const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** How every axis looks. */
export const axis = () => ({
  stroke: color("--ink-3"),
  grid: { stroke: color("--line"), width: 1 },
  ticks: { show: false },
  font: "10px sans-serif",
});

const HEIGHT = 96;

/** Draws `data` in the element, as wide as it is. The options are made once, when the element is there. */
export function usePlot(
  options: () => Omit<uPlot.Options, "width" | "height">,
  data: uPlot.AlignedData,
): RefObject<HTMLDivElement | null> {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const first = useRef(options);
  useEffect(() => {
    const node = place.current;
    if (node === null) return;
    const size = () => ({ width: node.clientWidth, height: HEIGHT });
    const hidden = { legend: { show: false }, cursor: { show: false } };
    const made = new uPlot({ ...size(), ...hidden, ...first.current() }, [[]], node);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize(size()));
    observer.observe(node);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);
  return place;
}
