/** toolbox-dtma-console as a caller uses it, on one toolbox. */
import assert from "node:assert/strict";
import type { StackReady } from "../../lib/stack.ts";
import { describe, type Reply, send } from "./http.ts";

/** What was looked at, and what was found. */
export interface Check {
  name: string;
  verdict: string;
  evidence: string;
  action?: string;
}

export class Console {
  constructor(readonly ready: StackReady, readonly token: string, readonly toolboxId = ready.toolbox_id) {}

  get url(): string {
    return `${this.ready.url}/functions/v1/toolbox-dtma-console`;
  }

  headers(token = this.token): Record<string, string> {
    return { apikey: this.ready.publishable_key, authorization: `Bearer ${token}` };
  }

  /** `path` is what follows the function's name. */
  ask(method: string, path: string, json?: unknown, token = this.token): Promise<Reply> {
    return send(this.url + path, { method, headers: this.headers(token), json });
  }

  get(action: string): Promise<Reply> {
    return this.ask("GET", `/${this.toolboxId}/${action}`);
  }

  /** Asks for a change of the machine, and waits `wait` seconds for its end. */
  change(action: "restart" | "redeploy" | "rollback", json?: unknown, wait = 20): Promise<Reply> {
    const headers = { ...this.headers(), prefer: `wait=${wait}` };
    return send(`${this.url}/${this.toolboxId}/${action}`, { method: "POST", headers, json });
  }

  /** What the check `name` found. */
  async check(name: string): Promise<Check> {
    const reply = await this.get("diagnose");
    assert.equal(reply.status, 200, describe(reply));
    const found = (reply.json.checks as Check[]).filter((one) => one.name === name);
    assert.equal(found.length, 1, `${name} is there once: ${describe(reply)}`);
    return found[0];
  }
}
