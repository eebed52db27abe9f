/// <reference lib="dom" />
// Rules of the console that need no browser.

import { deepStrictEqual as equal } from "node:assert/strict";
import type { Access } from "../../web/src/api/access.ts";
import type { McpServer } from "../../web/src/api/applications.ts";
import { rows, within } from "../../web/src/api/client.ts";
import { ApiError, fromAnswer, isRefused, toApiError } from "../../web/src/api/error.ts";
import { offered, takenBack } from "../../web/src/lib/consent.ts";
import { changesBack, changesOf, changesOfTool, inPlainSight, type ToolVersion } from "../../web/src/lib/diff.ts";
import { eventsOf, linesOf } from "../../web/src/lib/events.ts";
import { find, finder, firstSince, isAfter, saidBy } from "../../web/src/lib/log-lines.ts";
import {
  isHeld,
  isMoving,
  pinInWords,
  type Tool,
  type Toolbox,
  toolboxState,
  toolState,
} from "../../web/src/lib/states.ts";

Deno.test("a page asks by the second for what goes on, not for what waits for a person or what nobody sees", () => {
  const now = Date.now();
  const at = (minutes: number) => new Date(now - minutes * 60_000).toISOString();
  const waits = (minutes: number) =>
    toolboxState({ status: "awaiting_heartbeat", kind: "byo", status_changed_at: at(minutes) } as Toolbox);
  equal([1, 60].map((minutes) => isMoving(waits(minutes), now)), [true, false]);
  const facts = { status_on_toolbox: "deploying", observed_at: at(0), unknown_since: null, error: null, live: true };
  equal(isMoving(toolState(facts), now), true);
  equal(isMoving(toolState({ ...facts, unknown_since: at(1) }), now), false);
  equal(isMoving(toolState({ ...facts, status_on_toolbox: "running" }), now), false);
});

Deno.test("an order is over when it was refused, and not when its answer was lost", () => {
  const error = { code: "x", message: "It is so" };
  equal([400, 409, 422, 499].map((status) => isRefused(fromAnswer(status, { error }))), [true, true, true, true]);
  equal([500, 502, 503, 504].map((status) => isRefused(fromAnswer(status, { error }))), [false, false, false, false]);
  equal(isRefused(new ApiError("unreachable", "The server could not be reached", null)), false);
  equal(isRefused(new TypeError("Failed to fetch")), false);
  equal(isRefused({ message: "Failed to fetch", status: 0 }), false, "as sign-in says it");
  const replaced = new TypeError("Failed to fetch dynamically imported module: https://a.example/assets/x.js");
  equal(toApiError(replaced).code, "page_not_loaded", "another try asks for the same file");
});

Deno.test("of what an application may use, what is not chosen any more is taken back", () => {
  const access = (toolbox_id: string, instance_id: string | null) => ({ toolbox_id, instance_id }) as Access;
  const server = (toolbox_id: string, instance_id: string, is_own = true) =>
    ({ toolbox_id, instance_id, is_own }) as McpServer;
  const choice = (toolboxId: string, instanceId: string | null) => ({ toolboxId, instanceId }) as never;
  const [whole, one, gone, shared] = [access("a", null), access("a", "1"), access("b", "9"), access("c", "5")];
  const before = [whole, one, gone, shared];
  const servers = [server("a", "1"), server("a", "2"), server("c", "5", false)];
  equal(offered(before, servers), [whole, one, shared]);
  equal(offered([access("c", null)], servers), [], "all servers of somebody else's toolbox cannot be chosen");
  equal(takenBack(before, [choice("a", "1"), choice("c", "5")]), [whole, gone], "from all servers to one");
  equal(takenBack(before, [choice("a", null)]), [one, gone, shared], "and from one to all");
  equal(takenBack([], [choice("a", null)]), []);
});

Deno.test("a log that goes on from its last line brings that line no second time", () => {
  const last = "2026-11-30T22:00:00.000000009Z";
  const times = ["2026-11-30T21:59:59.999999999Z", last, "2026-11-30T22:00:00.000000010Z", null];
  equal(times.map((time) => isAfter({ time }, last)), [false, false, true, true]);
  equal(times.map((time) => isAfter({ time }, null)), [true, true, true, true], "at first all lines are new");
});

Deno.test("a line of a log says what is text in it, whatever else is there", () => {
  equal(saidBy({ msg: "ready", level: "warn" }), "warn ready");
  equal(saidBy({ event: "ready" }), "ready");
  equal(saidBy(JSON.parse('{"msg":"ready","level":{"toString":1}}')), "ready");
  equal(saidBy({ msg: 7, level: "warn" }), null);
});

Deno.test("rows of a table fail with the status of the answer, so that an answer counts as one", async () => {
  const error = { code: "PGRST301", message: "JWT expired" };
  const failed = (status: number) => rows(Promise.resolve({ data: null, error, status })).catch((thrown) => thrown);
  const { code, status } = await failed(401);
  equal([code, status], ["PGRST301", 401]);
  equal((await failed(0)).status, null, "nobody answered");
});

Deno.test("a deadline holds also where the caller may end the request", async () => {
  const signal = within(1, new AbortController().signal);
  const reason = await new Promise<Error>((resolve) =>
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true })
  );
  equal(reason.name, "TimeoutError");
  const caller = new AbortController();
  const other = within(60_000, caller.signal);
  caller.abort();
  equal(other.aborted, true);
});

Deno.test("an update says of a list that it takes the place of all that was there", () => {
  const tool = { ports: [{ container_port: 80, host_port: 8080 }] } as Tool;
  const sent = { portMappings: [{ containerPort: 81 }], volumes: [{ name: "data", path: "/data" }], networks: ["a"] };
  equal(changesOf(tool, sent), [
    { field: "Ports, all of them", before: "80 as 8080", after: "81 as any" },
    { field: "Volumes, all of them", before: null, after: "data at /data" },
    { field: "Networks, all of them", before: null, after: "a" },
  ]);
});

Deno.test("a rollback says what comes back, the image by its digest, and of secrets only that they do", () => {
  const current = { image: "x:2" } as ToolVersion;
  const version = {
    image: "x:1",
    rollback_image: "x:1@sha256:ab",
    differences: [
      { field: "dockerImage", change: "changed", hidden: false, then: "x:1", now: "x:2" },
      { field: "environmentVariables.TOKEN", change: "changed", hidden: true, then: null, now: null },
      { field: "environmentVariables.NEW", change: "added", hidden: true, then: null, now: null },
      { field: "resources.memory", change: "changed", hidden: false, then: 1 << 20, now: 2 << 20 },
      {
        field: "portMappings",
        change: "removed",
        hidden: false,
        then: [{ container_port: 80, protocol: "tcp" }],
        now: null,
      },
    ],
  } as ToolVersion;
  equal(changesBack(version, current), [
    { field: "Image", before: "x:2", after: "x:1@sha256:ab" },
    { field: "Variable TOKEN", before: null, after: "the one of that version" },
    { field: "Variable NEW", before: null, after: "none" },
    { field: "Limit of memory", before: "2 MB", after: "1 MB" },
    { field: "Ports", before: "none", after: "80/tcp as any" },
  ]);
  equal(changesBack({ ...version, rollback_image: "x:2", differences: [] }, current).length, 1, "that nothing does");
});

Deno.test("what is found in a log stands among its neighbours, each line once, and says what is left out", () => {
  const lines = Array.from({ length: 20 }, (_, number) => ({ number, text: `line ${number}` }));
  const found = (text: string) => {
    const { shown, count } = find(lines, finder(text));
    return [count, shown.map(({ text, role }) => (role === "near" ? `(${text})` : text))];
  };
  equal(found("LINE 10"), [1, ["8 lines left out", "(line 8)", "(line 9)", "line 10", "(line 11)", "(line 12)"]]);
  equal(found("e 0"), [1, ["line 0", "(line 1)", "(line 2)"]]);
  equal(found("9"), [2, [
    "7 lines left out",
    ...["(line 7)", "(line 8)", "line 9", "(line 10)", "(line 11)"],
    "5 lines left out",
    ...["(line 17)", "(line 18)", "line 19"],
  ]]);
  equal(find(lines, finder("1")).shown.filter(({ role }) => role === undefined).length, 11);
  equal(new Set(find(lines, finder("1")).shown.map(({ number }) => number)).size, 17);
  equal(found("(a+)+$"), [0, []]);
  equal(find(lines, finder("")).shown, lines);
});

Deno.test("a start is told before its first line, also where lines say no time", () => {
  const at = (second: number | null) => ({
    number: 0,
    text: "",
    time: second === null ? null : `2026-01-01T00:00:0${second}.000000000Z`,
  });
  const lines = [at(1), at(null), at(2), at(null), at(3)];
  const start = (second: number) => firstSince(lines, Date.parse(`2026-01-01T00:00:0${second}Z`));
  equal([0, 1, 2, 3, 4].map(start), [0, 0, 1, 3, 5]);
  equal(firstSince([], 1), 0);
});

Deno.test("a difference of tools is shown part by part, and what has no look of its own is written out", () => {
  const before = { name: "a", description: "Adds", inputSchema: { type: "object" }, annotations: null };
  equal(changesOfTool(before, { ...before, description: "Adds\u200b\u{e0041} all\n" }), [
    { field: "Description", before: "Adds", after: "Adds\\u{200b}\\u{e0041} all\n" },
  ]);
  equal(changesOfTool({}, before).map(({ field, before }) => [field, before]), [
    ["Description", "none"],
    ["What it takes", "none"],
  ]);
  equal(inPlainSight({ a: "\u202e" }), '{\n  "a": "\\u{202e}"\n}');
  equal(inPlainSight("a\ufe0f\u{e0101}\u034f\u2800b\n"), "a\\u{fe0f}\\u{e0101}\\u{34f}\\u{2800}b\n");
  const tool = (pinned: string | null, listed: string | null) =>
    ({ mcp_pinned_fingerprint: pinned, mcp: { tools_fingerprint: listed } }) as Tool;
  equal(["a", null].map((listed) => pinInWords(tool(null, listed)).split(/[.:]/)[0]), [
    "The tools of its first answer are being pinned",
    "Its tools will be pinned at its first answer",
  ]);
  equal([["a", "b"], ["a", "a"], [null, "b"], ["a", null]].map(([p, l]) => isHeld(tool(p!, l!))), [
    true,
    false,
    false,
    false,
  ]);
});

Deno.test("looks at a machine that a page repeats are one line of its history that counts them, and no act is hidden", () => {
  const event = (id: number, operation: string, more: Record<string, unknown> = {}) => ({
    id,
    occurred_at: `2026-01-01T00:00:0${id}Z`,
    actor_kind: "user",
    actor_id: "me",
    kind: "ssh_command",
    detail: { operation },
    result: "succeeded",
    request_id: null,
    ...more,
  });
  const history = [
    event(9, "agent-status"),
    event(8, "agent-status"),
    event(7, "agent-status", { result: "ssh_timeout" }),
    event(6, "agent-status"),
    event(5, "agent-restart"),
    event(4, "agent-restart"),
    event(3, "agent-status", { actor_kind: "operator" }),
    event(2, "agent-status"),
    event(1, "agent-status", { account_tool_environment_id: "other" }),
  ];
  const lines = linesOf(eventsOf({ toolbox: history, tools: [] } as never, new Map(), "me"));
  equal(lines.map(({ count, since }) => [count, since.slice(-3)]), [
    [2, "08Z"],
    [1, "07Z"],
    [1, "06Z"],
    [1, "05Z"],
    [1, "04Z"],
    [1, "03Z"],
    [1, "02Z"],
    [1, "01Z"],
  ]);
  equal(lines[0].what, "looked by SSH how the machine is (succeeded)");
  equal(lines[0].why, "operation agent-status");
  equal(lines[3].what, "ssh command (succeeded)");
});
