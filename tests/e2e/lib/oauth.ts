/** An MCP client that signs its user in, and a user who decides without a page: what a browser would do, by supabase-js. */
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client";
// Deno 2.1 looks for the types of the package's wildcard export at the wrong name.
// @ts-types="../../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
// @ts-types="../../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/auth.d.ts"
import { type OAuthClientProvider, UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import type { SupabaseClient } from "@supabase/supabase-js";
import { within } from "./wait.ts";

/** Where the client is sent back to; nobody listens there. */
export const CALLBACK = "http://localhost:7777/callback";

/** What an application keeps of itself: its registration and its tokens. */
export class App implements OAuthClientProvider {
  client?: { client_id: string };
  saved?: { access_token: string; refresh_token?: string };
  /** Where the user is to go. */
  asked?: URL;
  #verifier = "";
  /** It knows since the refusal where the user signs in. */
  #transport?: StreamableHTTPClientTransport;

  constructor(readonly name = "Chat application", readonly redirectUrl = CALLBACK) {}

  get clientMetadata() {
    return {
      client_name: this.name,
      redirect_uris: [this.redirectUrl],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
  }
  state = () => "state-1";
  clientInformation = () => this.client;
  saveClientInformation = (client: { client_id: string }) => void (this.client = client);
  // deno-lint-ignore no-explicit-any
  tokens = () => this.saved as any;
  saveTokens = (tokens: { access_token: string; refresh_token?: string }) => void (this.saved = tokens);
  redirectToAuthorization = (url: URL) => void (this.asked = url);
  saveCodeVerifier = (verifier: string) => void (this.#verifier = verifier);
  codeVerifier = () => this.#verifier;

  /** Connects by a URL alone; fails with UnauthorizedError, and `asked`, when its user has to sign in. */
  async connect(url: string): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
    const client = new Client({ name: "toolbox-e2e", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: this });
    this.#transport = transport;
    await within(20_000, `MCP initialize at ${url}`, client.connect(transport));
    return { client, transport };
  }

  /** The address of the page where the user decides, after asking at `url`. */
  async ask(url: string): Promise<URL> {
    this.asked = undefined;
    await assert.rejects(this.connect(url), UnauthorizedError);
    assert.ok(this.asked, "the client asks its user");
    const page = await fetch(this.asked, { redirect: "manual" });
    await page.body?.cancel();
    assert.equal(page.status, 303);
    return new URL(page.headers.get("location")!);
  }

  /** Takes up what the user was sent back with. */
  async finish(back: string): Promise<void> {
    const { searchParams } = new URL(back);
    assert.equal(searchParams.get("state"), "state-1");
    await this.#transport!.finishAuth(searchParams.get("code")!);
  }
}

/** The user says yes, as the consent page does; where they are sent back to. */
export async function approve({ auth }: SupabaseClient, page: URL): Promise<string> {
  const id = page.searchParams.get("authorization_id")!;
  const details = await auth.oauth.getAuthorizationDetails(id);
  assert.equal(details.error, null);
  if ("redirect_url" in details.data!) return details.data.redirect_url;
  const { data, error } = await auth.oauth.approveAuthorization(id, { skipBrowserRedirect: true });
  assert.equal(error, null);
  return data!.redirect_url;
}
