import { useEffect, useState } from "react";
import { api } from "@/api/client.ts";
import { fromAnswer, toApiError } from "@/api/error.ts";
import { isAfter, type Line } from "./log-lines.ts";

export interface Lines {
  lines: Line[];
  /** connecting, live, or why there is nothing new. */
  state: "connecting" | "live" | "paused";
  error: Error | null;
  again: () => void;
}

/** More would slow the page; the oldest go first. */
const MOST = 100_000;
/** Lines come in bursts: they are shown together, a few times a second. */
const BURST = 150;
/** A stream may be silent; agents and gateways end it by themselves after two minutes or more. */
const PAUSE = 1_000;
/** One that ends at once, as of a container that is stopped, is begun ever more rarely, up to this. */
const LONGEST_PAUSE = 30_000;

/** How a stream is begun again after a line: with the lines from a time on, or from now on, so that some may be missing. */
export type Next = (last: Line) => { path: string; from: string | null };

/**
 * Follows a log, and begins again when its stream ends, with a mark where lines may be missing.
 * `path` says how many lines come first; `next` is asked for when the stream is begun again.
 */
export function useLines(path: string, next: string | Next, parse: (text: string) => Omit<Line, "number">): Lines {
  const [state, setState] = useState<{ lines: Line[]; state: Lines["state"]; error: Error | null }>({
    lines: [],
    state: "connecting",
    error: null,
  });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let number = 0;
    let kept: Line[] = [];
    let waiting: Line[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const keep = () => {
      kept = kept.concat(waiting);
      if (kept.length > MOST) kept = kept.slice(-MOST);
      waiting = [];
    };
    const flush = () => {
      timer = undefined;
      keep();
      setState({ lines: kept, state: "live", error: null });
    };
    const pausedBy = (error: Error) => {
      clearTimeout(timer);
      timer = undefined;
      keep();
      setState({ lines: kept, state: "paused", error });
    };
    const add = (line: Omit<Line, "number">) => {
      waiting.push({ ...line, number: number++ });
      timer ??= setTimeout(flush, BURST);
    };
    const follow = async () => {
      let target = path;
      let pause = PAUSE;
      /** The lines up to this time are known. */
      let known: string | null = null;
      let missing = false;
      while (!stop.signal.aborted) {
        let before = number;
        try {
          const reply = await api().raw(target, { signal: stop.signal });
          if (!reply.ok) throw fromAnswer(reply.status, await reply.json().catch(() => null));
          if (missing && !(waiting.at(-1) ?? kept.at(-1))?.mark) {
            add({ text: "The stream was begun again; lines may be missing here", mark: true });
          }
          missing = false;
          before = number;
          flush();
          const after = known;
          await readLines(reply, (text) => {
            const line = parse(text);
            if (isAfter(line, after)) add(line);
          });
        } catch (thrown) {
          if (stop.signal.aborted) return;
          const error = toApiError(thrown);
          // What the server refuses it refuses again; what broke off may come back.
          if (error.status !== null && error.status < 500) throw error;
          missing = true;
          pausedBy(error);
        }
        if (stop.signal.aborted) return;
        pause = number > before ? PAUSE : Math.min(2 * pause, LONGEST_PAUSE);
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (stop.signal.aborted) return;
        const last = waiting.findLast(({ mark }) => !mark) ?? kept.findLast(({ mark }) => !mark);
        // Before the first line there is nothing to go on after.
        if (last === undefined) continue;
        const again = typeof next === "string" ? { path: next, from: null } : next(last);
        target = again.path;
        known = again.from;
        missing ||= known === null;
      }
    };
    follow().catch((error: unknown) => {
      if (!stop.signal.aborted) pausedBy(toApiError(error));
    });
    return () => {
      stop.abort();
      clearTimeout(timer);
      setState({ lines: [], state: "connecting", error: null });
    };
  }, [path, next, parse, attempt]);
  return { ...state, again: () => setAttempt((before) => before + 1) };
}

/** How long lines are read at a time before the page does something else, in milliseconds. */
const SLICE = 20;

/** The lines of an answer as they come. One that is cut off by the end of the stream counts. */
async function readLines(reply: Response, line: (text: string) => void): Promise<void> {
  const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  let rest = "";
  let begun = performance.now();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    // What has come already is read without a pause, so a long log would hold the page up.
    if (performance.now() - begun > SLICE) {
      await new Promise((resolve) => setTimeout(resolve));
      begun = performance.now();
    }
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) line(part);
  }
  if (rest !== "") line(rest);
}
