// When a state is believed, and when it fades: the rules, without a browser.

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { AT_REST, LIVE, MOVING, pollAfter } from "../../web/src/lib/polling.ts";
import { type Observed, shown } from "../../web/src/lib/state.ts";
import { fromServer, learnServerTime } from "../../web/src/lib/server-time.ts";
import { type Tool, type ToolFacts, toolFacts, toolState } from "../../web/src/lib/states.ts";
import { boundInWords, byDay } from "../../web/src/lib/usage.ts";

const running = (goodFor: number | null): Observed => ({ word: "Running", tone: "ok", asOf: 1_000, goodFor });

Deno.test("a state is shown as long as it is good, then it is unknown and says what it was", () => {
  equal(shown(running(10), 11_000), { word: "Running", tone: "ok", ageSeconds: 10, last: null });
  const faded = shown(running(10), 11_001);
  equal([faded.tone, faded.last], ["unknown", "Running"]);
  ok(faded.word.startsWith("Unknown since "), faded.word);
});

Deno.test("what was never seen is unknown, however good it is said to be", () => {
  equal(shown({ ...running(10), asOf: null }, 2_000).tone, "unknown");
});

Deno.test("what somebody asked for does not wear out", () => {
  equal(shown({ ...running(null), tone: "moving" }, 10 ** 9).tone, "moving");
});

Deno.test("a clock that was set back makes nothing younger than new", () => {
  equal(shown(running(10), 0).ageSeconds, 0);
});

Deno.test("no status of a tool is green but running, and none is green when its machine is silent", () => {
  const now = Date.now();
  learnServerTime(now, now);
  const facts: ToolFacts = {
    status_on_toolbox: "running",
    observed_at: new Date(now).toISOString(),
    unknown_since: null,
    error: null,
    live: true,
  };
  equal(shown(toolState(facts), now).tone, "ok");
  for (
    const status of [
      "pending_deploy",
      "deploying",
      "starting",
      "stopping",
      "stopped",
      "pending_delete",
      "deleting",
      "error",
      "x",
    ]
  ) {
    ok(shown(toolState({ ...facts, status_on_toolbox: status }), now).tone !== "ok", status);
  }
  const unheard = shown(toolState({ ...facts, heard: false }), now + 1_000);
  equal([unheard.tone, unheard.last], ["unknown", "Running"]);
  const silent = shown(toolState({ ...facts, unknown_since: new Date(now - 1_000).toISOString() }), now);
  equal([silent.tone, silent.last], ["unknown", "Running"]);
});

Deno.test("a server that nobody uses is idle, which is neither running nor a fault, nor what its user stopped", () => {
  const now = Date.now();
  learnServerTime(now, now);
  const at = new Date(now).toISOString();
  const tool = {
    status_on_toolbox: "stopped",
    desired_status: "running",
    state_source: "live",
    state_observed_at: at,
    mcp: { state: "idle", evidence: "stopped after 30 minutes without use; the next call starts it", checked_at: at },
  } as Tool;
  const idle = toolState(toolFacts(tool));
  equal([idle.word, idle.tone, idle.evidence], ["Idle", "off", tool.mcp?.evidence]);
  equal(toolState(toolFacts({ ...tool, desired_status: "stopped" })).word, "Stopped");
  equal(toolState(toolFacts({ ...tool, status_on_toolbox: "starting" })).word, "Starting…");
  equal(shown(toolState(toolFacts(tool, false)), now + 1_000).tone, "unknown", "its agent does not answer");
});

Deno.test("a page asks often while something is under way, rarely at rest, and ever more rarely after failures", () => {
  const attended = true;
  equal(pollAfter({ moving: true, failures: 0, attended }), MOVING);
  equal(pollAfter({ moving: false, failures: 0, attended }), AT_REST);
  equal(pollAfter({ moving: false, failures: 0, attended }, LIVE), LIVE);
  equal(pollAfter({ moving: false, failures: 0, attended: false }, LIVE), AT_REST, "nobody is there");
  equal(pollAfter({ moving: true, failures: 0, attended: false }, LIVE), MOVING);
  const pauses = [1, 2, 3, 4, 5, 6, 7, 50].map((failures) => pollAfter({ moving: true, failures, attended }));
  equal(pauses, pauses.toSorted((a, b) => a - b));
  ok(Math.max(...pauses) <= 60_000 && Math.min(...pauses) > MOVING);
});

Deno.test("ages are those of the servers, also where this computer's clock is wrong", () => {
  const here = 1_000_000_000;
  // This clock is ten minutes ahead, and the answer took a second.
  learnServerTime(here - 600_000 - 1_000, here);
  learnServerTime(here - 600_000, here);
  equal(fromServer(new Date(here - 600_000 - 30_000).toISOString()), here - 30_000);
});

Deno.test("use is shown for each day, also without a call, and for no day beyond", () => {
  const row = { tool: "add", client: "a", calls: 2, errors: 1, bytes: 10, p50_ms: 5, p95_ms: 25 };
  const days = byDay(
    [{ ...row, day: "2026-03-02" }, { ...row, day: "2026-03-02", client: "b" }, { ...row, day: "2026-02-01" }],
    3,
    Date.parse("2026-03-02T23:59:00Z"),
  );
  equal(days, [
    { at: Date.parse("2026-02-28") / 1000, calls: 0, errors: 0 },
    { at: Date.parse("2026-03-01") / 1000, calls: 0, errors: 0 },
    { at: Date.parse("2026-03-02") / 1000, calls: 4, errors: 2 },
  ]);
  equal([25, 2_500, 300_000, 86_400_000].map(boundInWords), ["25 ms", "2.5 s", "5 min", "a day"]);
});
