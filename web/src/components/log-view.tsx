import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, Download } from "lucide-react";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Copy } from "@/components/copy.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Input } from "@/components/ui/field.tsx";
import { find, finder, saidBy, type ShownLine } from "@/lib/log-lines.ts";
import type { Lines } from "@/lib/use-lines.ts";
import { cn } from "@/lib/utils.ts";

interface Props {
  of: Lines;
  /** Names the log, and the file it is saved as. */
  name: string;
  /** Further controls, such as a choice of streams. */
  controls?: React.ReactNode;
}

/** How many lines are copied at most; all of them are saved. */
const COPIED = 5_000;

/** A log that is followed. It stops following when one scrolls up; what is searched is marked, and shown with what is around it. */
export function LogView({ of, name, controls }: Props) {
  const [search, setSearch] = useState("");
  const [following, setFollowing] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const scrolledTo = useRef(0);
  const typed = useDeferredValue(search.trim());
  const wanted = useMemo(() => finder(typed), [typed]);
  const { shown: lines, count } = useMemo(() => find(of.lines, wanted), [of.lines, wanted]);
  const keyOf = useCallback((index: number) => lines[index]?.number ?? index, [lines]);
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => 18,
    overscan: 10,
    paddingStart: 4,
    paddingEnd: 4,
    getItemKey: keyOf,
  });
  // A log that is full has as many lines after others came.
  const last = lines.at(-1)?.number;
  useEffect(() => {
    if (!following || lines.length === 0) return;
    rows.scrollToIndex(lines.length - 1, { align: "end" });
    scrolledTo.current = box.current?.scrollTop ?? 0;
  }, [following, lines.length, last, rows]);

  const save = () => {
    const url = URL.createObjectURL(
      new Blob([of.lines.map((line) => `${line.text}\n`).join("")], { type: "text/plain" }),
    );
    const link = document.createElement("a");
    link.href = url;
    link.download = `${name.replaceAll(/[^\w-]+/g, "-")}.log`;
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <div className="grid gap-2">
      <div className="flex flex-wrap items-center gap-2">
        <Input
          aria-label="Search in the log"
          placeholder="Search"
          type="search"
          className="w-full sm:w-56"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        {controls}
        <span role="status" className="text-xs text-ink-3">
          {of.state === "connecting"
            ? "Connecting…"
            : `${count.toLocaleString()} ${count === 1 ? "line" : "lines"}${wanted === null ? "" : " found"}`}
        </span>
        <Copy
          text={() => lines.slice(-COPIED).map(({ text }) => text).join("\n")}
          label={wanted === null ? "Copy" : "Copy what was found"}
          what="the log"
          className="ml-auto h-7 px-2 font-sans hover:bg-muted"
        />
        <Button size="sm" variant="ghost" onClick={save} disabled={of.lines.length === 0}>
          <Download aria-hidden /> Save
        </Button>
      </div>
      {of.error !== null && <ErrorPanel error={of.error} title="The log cannot be followed" retry={of.again} />}
      <div className="relative">
        <div
          ref={box}
          role="log"
          aria-label={name}
          aria-live="off"
          tabIndex={0}
          className="h-[min(60vh,40rem)] overflow-auto rounded-md border border-line bg-surface font-mono text-xs"
          onScroll={(event) => {
            const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
            // New lines may move the end away before this event comes. Only scrolling up ends the following.
            if (scrollHeight - scrollTop - clientHeight < 24) setFollowing(true);
            else if (scrollTop < scrolledTo.current) setFollowing(false);
            scrolledTo.current = scrollTop;
          }}
        >
          {lines.length === 0 && of.state !== "connecting" && (
            <p className="p-4 font-sans text-[13px] text-ink-3">
              {wanted === null ? "Nothing was written yet" : "No line has this text"}
            </p>
          )}
          <div className="relative w-full" style={{ height: rows.getTotalSize() }}>
            {rows.getVirtualItems().map((row) => {
              const line = lines[row.index];
              return line === undefined ? null : (
                <div
                  key={row.key}
                  data-index={row.index}
                  ref={rows.measureElement}
                  className={cn(
                    "absolute top-0 left-0 w-full px-3 leading-[18px] break-words whitespace-pre-wrap",
                    line.stream === "stderr" && "border-l-2 border-warn/60",
                    line.mark && "text-warn italic",
                    line.role !== undefined && "text-ink-3",
                    line.role === "left-out" && "italic",
                  )}
                  style={{ transform: `translateY(${row.start}px)` }}
                >
                  <Text line={line} wanted={wanted} />
                </div>
              );
            })}
          </div>
        </div>
        {!following && (
          <Button
            size="sm"
            className="absolute right-4 bottom-3 shadow-raised"
            onClick={() => setFollowing(true)}
          >
            <ArrowDown aria-hidden /> Follow
          </Button>
        )}
      </div>
    </div>
  );
}

/** A line; one that is a JSON object is folded to one row, and opened by a click. */
function Text({ line, wanted }: { line: ShownLine; wanted: RegExp | null }) {
  const object = line.mark || line.role === "left-out" ? null : parsed(line.text);
  if (object === null) return <Marked text={line.text} wanted={wanted} />;
  const said = saidBy(object);
  return (
    <details>
      <summary className="cursor-pointer truncate marker:text-ink-3">
        {said !== null && `${said} `}
        <span className={said === null ? undefined : "text-ink-3"}>
          <Marked text={line.text} wanted={wanted} />
        </span>
      </summary>
      <span className="block pl-3">
        <Marked text={JSON.stringify(object, null, 2)} wanted={wanted} />
      </span>
    </details>
  );
}

function parsed(text: string): Record<string, unknown> | null {
  if (!text.startsWith("{")) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Logs are text of others: it is only ever shown as text. */
function Marked({ text, wanted }: { text: string; wanted: RegExp | null }) {
  const found = wanted?.exec(text);
  if (!found) return text === "" ? "\u00a0" : text;
  const end = found.index + found[0].length;
  return (
    <>
      {text.slice(0, found.index)}
      <mark className="bg-warn-soft text-ink outline outline-warn/50">{found[0]}</mark>
      {text.slice(end)}
    </>
  );
}
