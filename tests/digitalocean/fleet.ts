/** Toolboxes with stub machines at a simulator, and the servers that make and remove them. */
import assert from "node:assert/strict";
import { Database } from "../e2e/lib/db.ts";
import type { Stack } from "../lib/stack.ts";
import type { Simulator } from "./simulator.ts";

const REPOSITORY = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** A server of the control plane on a free port. */
export function startServer(stack: Stack, shop: { url: string; token: string }): Deno.ChildProcess {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return new Deno.Command(`${Deno.env.get("CARGO_TARGET_DIR") ?? `${REPOSITORY}/target`}/debug/toolbox-backend`, {
    args: ["--listen=127.0.0.1", `--port=${port}`],
    clearEnv: true,
    env: {
      SUPABASE_URL: stack.ready.url,
      SUPABASE_ANON_KEY: stack.ready.anon_key,
      SUPABASE_SERVICE_ROLE_KEY: stack.ready.service_role_key,
      BACKEND_TO_DTMA_API_KEY: stack.ready.agent_root,
      INTERNAL_API_SECRET: "fedcba9876543210fedcba9876543210",
      DO_API_TOKEN: shop.token,
      TOOLBOX_DIGITALOCEAN_URL: shop.url,
      TOOLBOX_RELEASE_URL: "https://releases.example",
      TOOLBOX_BACKEND_LOG: "error",
    },
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

export interface Row {
  id: string;
  status: string;
  step: string | null;
  droplet: number | null;
}

/** The toolboxes of the demo user. */
export class Fleet {
  readonly db: Database;

  constructor(readonly stack: Stack, readonly simulator: Simulator) {
    this.db = new Database(stack.ready.admin_db_url);
  }

  // deno-lint-ignore no-explicit-any
  async call(name: string, p: Record<string, unknown>): Promise<any> {
    const { url, secret_key } = this.stack.ready;
    const answer = await fetch(`${url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: { apikey: secret_key, "content-type": "application/json" },
      body: JSON.stringify({ p }),
      signal: AbortSignal.timeout(10_000),
    });
    const body = await answer.json();
    assert.ok(answer.ok, JSON.stringify(body));
    return body;
  }

  async order(name: string): Promise<string> {
    const { outcome, id } = await this.call("order_toolbox", {
      user_id: this.stack.ready.demo.user_id,
      name,
      max_toolboxes: 10_000,
      max_monthly_usd: 100_000,
      region_slug: "nyc3",
      size_slug: "s-1vcpu-1gb",
      image_slug: "ubuntu-24-04-x64",
      price_hourly_usd: 0.00893,
      price_monthly_usd: 6,
    });
    assert.equal(outcome, "ordered");
    return id;
  }

  async deprovision(id: string): Promise<void> {
    const { outcome } = await this.call("ask_toolbox", { toolbox_id: id, change: "deprovision" });
    assert.equal(outcome, "accepted");
  }

  /** The agents report, on machines that have an address. Stubs have none, so the database is told. */
  async report(): Promise<void> {
    await this.db.execute(
      `select private.advance_tool_environment(id, status, 'active') from public.account_tool_environments
       where kind = 'droplet' and provisioning_step = 'agent'`,
    );
  }

  /** A minute must pass after an order before a droplet that is not shown is taken for gone: it has passed. */
  async passMinute(): Promise<void> {
    await this.db.execute(
      "update public.account_tool_environments set machine_asked_at = machine_asked_at - interval '1 minute'",
    );
  }

  rows(): Promise<Row[]> {
    return this.db.rows<Row>(
      `select id, status, provisioning_step as step, do_droplet_id as droplet from public.account_tool_environments
       where kind = 'droplet' order by id`,
    );
  }

  /** What is paid for now; nothing of it is a list that may be behind. */
  async paidFor(): Promise<{ droplets: number[]; firewalls: number }> {
    const { body: droplets } = await this.simulator.raw("GET", "/simulator/droplets");
    const { body } = await this.simulator.raw("GET", "/v2/firewalls?per_page=1");
    return {
      droplets: droplets.map((droplet: { id: number }) => droplet.id).sort((a: number, b: number) => a - b),
      firewalls: body.meta.total,
    };
  }
}
