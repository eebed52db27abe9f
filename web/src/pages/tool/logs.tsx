import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { LogView } from "@/components/log-view.tsx";
import { Select } from "@/components/ui/field.tsx";
import { firstSince, type Line } from "@/lib/log-lines.ts";
import { useLines } from "@/lib/use-lines.ts";
import { useTool } from "./layout.tsx";

const STREAMS = { stdout: "Standard output", stderr: "Standard error", all: "All streams" };

/** A line of the log as the function streams it. */
function parse(text: string): Omit<Line, "number"> {
  try {
    const { line, stream, time } = JSON.parse(text) as { line?: unknown; stream?: unknown; time?: unknown };
    if (typeof line === "string") {
      return {
        text: line,
        stream: stream === "stderr" ? "stderr" : "stdout",
        time: typeof time === "string" ? time : null,
      };
    }
  } catch {
    // What is no line of ours is shown as it came.
  }
  return { text };
}

export function LogsTab() {
  const { toolboxId, instanceId, tool } = useTool();
  const { stream } = useSearch({ from: "/signed-in/toolboxes/$toolboxId/tools/$instanceId/logs" });
  const navigate = useNavigate();
  const route = `toolbox-tools/${toolboxId}/tools/${instanceId}/logs?follow=true${stream ? `&stream=${stream}` : ""}`;
  // Where the time of the last line is known, the stream goes on after it and nothing is missing.
  const next = useCallback(
    (last: Line) =>
      last.time
        ? { path: `${route}&tail=all&since=${encodeURIComponent(last.time)}`, from: last.time }
        : { path: `${route}&tail=1`, from: null },
    [route],
  );
  const lines = useLines(`${route}&tail=1000`, next, parse);
  const started = tool.data?.tool_instance.live?.started_at ?? null;
  const [starts, setStarts] = useState<string[]>([]);
  if (started !== null && !starts.includes(started)) setStarts([...starts, started].slice(-STARTS));
  const { lines: read } = lines;
  const marked = useMemo(() => withStarts(read, starts), [read, starts]);
  const isStdio = tool.data?.tool_instance.transport === "stdio";
  const name = tool.data?.tool_instance.instance_name_on_toolbox ?? "tool";
  return (
    <LogView
      of={{ ...lines, lines: marked }}
      name={`Log of ${name}`}
      controls={
        <Select
          aria-label="Stream"
          className="w-full sm:w-auto"
          value={stream ?? ""}
          onChange={(event) =>
            void navigate({
              to: "/toolboxes/$toolboxId/tools/$instanceId/logs",
              params: { toolboxId, instanceId },
              search: event.target.value === "" ? {} : { stream: event.target.value as "stdout" | "stderr" | "all" },
              replace: true,
            })}
        >
          <option value="">{isStdio ? "Standard error; the rest is protocol" : "All streams (default)"}</option>
          {Object.entries(STREAMS).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        </Select>
      }
    />
  );
}

/** Starts that are told in a log at most. */
const STARTS = 20;

/** Says where the container was started, as often as this page saw it. */
function withStarts(lines: Line[], starts: string[]): Line[] {
  let marked = lines;
  starts.forEach((started, index) => {
    const begin = Date.parse(started);
    const first = firstSince(marked, begin);
    // Before its first line there is nothing to tell it from.
    if (first === 0 || first === marked.length) return;
    const mark: Line = { number: -1 - index, text: `Started ${new Date(begin).toLocaleString()}`, mark: true };
    marked = [...marked.slice(0, first), mark, ...marked.slice(first)];
  });
  return marked;
}
