/**
 * Supabase Auth's OAuth 2.1 server, simulated on this machine: what the library `oidc-provider` does (registration, PKCE, codes,
 * refresh with rotation, discovery), and around it the routes that Supabase has of its own. The gateway sends requests here;
 * for the routes of signed-in users it has verified them, and says who they are.
 *
 * Settings are the JSON in TOOLBOX_OAUTH: issuer, the address of the consent page, the key that signs, a secret that the gateway
 * presents, where oidc-provider is, a file to keep state in, and a marker. Once it serves, "<marker> <port>" goes to standard output.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const settings = JSON.parse(process.env.TOOLBOX_OAUTH);
delete process.env.TOOLBOX_OAUTH;
const { default: Provider } = await import(settings.library);

/** Life of an access token in seconds, as of the other tokens of the stack. */
const ACCESS = 3600;
const WEEKS = 14 * 24 * 3600;
/** How long somebody may think about an authorization, in seconds. */
const PENDING = 600;
/** What Supabase takes for no scope. */
const DEFAULT_SCOPE = "email";
const BODY_LIMIT = 64 * 1024;
/** Stands for whatever resource is named: Supabase stores resource indicators and does nothing with them. */
const ANY_RESOURCE = "urn:supabase:project";

/** Everything that is kept, by kind and id; written to the file after each change, so that clients outlive a restart. */
const kept = load();
let writing;

function load() {
  try {
    return new Map(JSON.parse(readFileSync(settings.file, "utf8")));
  } catch {
    return new Map();
  }
}

function save() {
  writing ??= setTimeout(() => {
    writing = undefined;
    const live = [...kept].filter(([, { until }]) => until > Date.now());
    writeFileSync(`${settings.file}.draft`, JSON.stringify(live), { mode: 0o600 });
    renameSync(`${settings.file}.draft`, settings.file);
  }, 100);
}

/** The library's storage. */
class Kept {
  constructor(kind) {
    this.kind = kind;
  }
  async upsert(id, payload, expiresIn) {
    const until = expiresIn ? Date.now() + expiresIn * 1000 : Number.MAX_SAFE_INTEGER;
    kept.set(`${this.kind}:${id}`, { payload, until });
    save();
  }
  async find(id) {
    const found = kept.get(`${this.kind}:${id}`);
    return found && found.until > Date.now() ? found.payload : undefined;
  }
  async findByUid(uid) {
    return this.#all().find(({ payload }) => payload.uid === uid)?.payload;
  }
  async findByUserCode() {}
  async destroy(id) {
    kept.delete(`${this.kind}:${id}`);
    save();
  }
  async consume(id) {
    kept.get(`${this.kind}:${id}`).payload.consumed = Math.floor(Date.now() / 1000);
    save();
  }
  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of kept) if (payload.grantId === grantId) kept.delete(key);
    save();
  }
  #all() {
    return [...kept].filter(([key]) => key.startsWith(`${this.kind}:`)).map(([, value]) => value);
  }
}

const account = (id) => kept.get(`User:${id}`)?.payload;

const provider = new Provider(settings.issuer, {
  adapter: Kept,
  jwks: { keys: [settings.key] },
  clientDefaults: {
    grant_types: ["authorization_code", "refresh_token"],
    id_token_signed_response_alg: "ES256",
    token_endpoint_auth_method: "client_secret_basic",
  },
  clientAuthMethods: ["none", "client_secret_basic", "client_secret_post"],
  enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
  clientBasedCORS: () => true,
  responseTypes: ["code"],
  scopes: ["openid", "email", "profile", "phone"],
  claims: { openid: ["sub"], email: ["email"], phone: ["phone"], profile: ["name"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: account(id)?.email, name: account(id)?.user_metadata?.name }),
  }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  pkce: { required: () => true },
  interactions: { url: (_, { uid }) => `${settings.consent}?authorization_id=${encodeURIComponent(uid)}` },
  ttl: {
    AccessToken: ACCESS,
    AuthorizationCode: 300,
    Grant: WEEKS,
    IdToken: ACCESS,
    Interaction: PENDING,
    RefreshToken: WEEKS,
    Session: PENDING,
  },
  features: {
    devInteractions: { enabled: false },
    // As Supabase names clients.
    registration: { enabled: true, idFactory: () => crypto.randomUUID() },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => ANY_RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "",
        audience: "authenticated",
        accessTokenFormat: "jwt",
        accessTokenTTL: ACCESS,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
    rpInitiatedLogout: { enabled: false },
    userinfo: { enabled: false },
  },
  // An access token is a user's own, and names the client.
  formats: {
    customizers: {
      jwt(_, token, jwt) {
        const user = account(token.accountId) ?? {};
        jwt.header = { typ: "JWT" };
        jwt.payload = {
          iss: settings.issuer,
          sub: token.accountId,
          aud: "authenticated",
          exp: jwt.payload.exp,
          iat: jwt.payload.iat,
          email: user.email,
          phone: "",
          app_metadata: user.app_metadata,
          user_metadata: user.user_metadata,
          role: "authenticated",
          aal: "aal1",
          amr: [{ method: "oauth_provider/authorization_code", timestamp: jwt.payload.iat }],
          session_id: crypto.randomUUID(),
          is_anonymous: false,
          client_id: token.clientId,
        };
      },
    },
  },
  routes: {
    authorization: "/oauth/authorize",
    jwks: "/.well-known/jwks.json",
    registration: "/oauth/clients/register",
    token: "/oauth/token",
  },
});
provider.proxy = true;
provider.on("server_error", (_, error) => console.error(error));
const library = provider.callback();

/** Supabase's refusals. */
class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}
const notFound = () => new Refusal(404, "oauth_authorization_not_found", "authorization not found");

async function ofUsers(request, url) {
  const user = JSON.parse(Buffer.from(request.headers["x-toolbox-user"], "base64").toString());
  kept.set(`User:${user.id}`, { payload: user, until: Number.MAX_SAFE_INTEGER });
  if (url.pathname === "/user/oauth/grants" && request.method === "GET") return await grants(user);
  if (url.pathname === "/user/oauth/grants" && request.method === "DELETE") {
    return await revoke(user, url.searchParams.get("client_id"));
  }
  const [, id, consent] = /^\/oauth\/authorizations\/([\w-]+)(\/consent)?$/.exec(url.pathname) ?? [];
  const pending = id && await provider.Interaction.find(id);
  if (!pending) throw notFound();
  // Whoever looks first, decides.
  const looked = kept.get(`Looked:${id}`);
  if (looked && looked.payload !== user.id) throw notFound();
  kept.set(`Looked:${id}`, { payload: user.id, until: Date.now() + PENDING * 1000 });
  save();
  const client = await provider.Client.find(pending.params.client_id);
  if (!client) throw notFound();
  if (!consent && request.method === "GET") {
    const given = granted(user.id, client.clientId);
    if (given && !looked && covers(given, pending.params.scope)) {
      return {
        redirect_url: await resume(pending, { login: { accountId: user.id }, consent: { grantId: given.jti } }),
      };
    }
    return {
      authorization_id: id,
      redirect_uri: pending.params.redirect_uri,
      client: described(client),
      user: { id: user.id, email: user.email },
      scope: pending.params.scope,
    };
  }
  if (!consent || request.method !== "POST") throw new Refusal(405, "unknown", "Method not allowed");
  const { action } = JSON.parse(await body(request));
  if (action === "deny") {
    const said = { error: "access_denied", error_description: "User denied the request" };
    return { redirect_url: await resume(pending, said) };
  }
  if (action !== "approve") throw new Refusal(400, "validation_failed", "action must be 'approve' or 'deny'");
  const before = granted(user.id, client.clientId);
  const grant = before
    ? await provider.Grant.find(before.jti)
    : new provider.Grant({ accountId: user.id, clientId: client.clientId });
  grant.addOIDCScope(pending.params.scope);
  const grantId = await grant.save();
  return { redirect_url: await resume(pending, { login: { accountId: user.id }, consent: { grantId } }) };
}

const described = (client) => ({
  id: client.clientId,
  name: client.clientName ?? "",
  uri: client.clientUri ?? "",
  logo_uri: client.logoUri ?? "",
});

/** The live grants of a user. */
function grantsOf(user) {
  const live = [...kept].filter(([key, { until }]) => key.startsWith("Grant:") && until > Date.now());
  return live.map(([, { payload }]) => payload).filter(({ accountId }) => accountId === user);
}
const granted = (user, client) => grantsOf(user).find(({ clientId }) => clientId === client);
const scopes = (grant) => (grant.openid?.scope ?? "").split(" ").filter((scope) => scope !== "");
const covers = (grant, scope) => scope.split(" ").every((one) => scopes(grant).includes(one));

async function grants(user) {
  return await Promise.all(
    grantsOf(user.id).map(async (grant) => ({
      client: described(await provider.Client.find(grant.clientId) ?? { clientId: grant.clientId }),
      scopes: scopes(grant),
      granted_at: new Date(grant.iat * 1000).toISOString(),
    })),
  );
}

async function revoke(user, client) {
  const grant = granted(user.id, client);
  if (!grant) throw new Refusal(404, "oauth_consent_not_found", "No active grant found for this client");
  await new Kept("RefreshToken").revokeByGrantId(grant.jti);
  await (await provider.Grant.find(grant.jti)).destroy();
  return undefined;
}

/** Lets the library go on with an authorization as the browser would; where it then sends the browser. */
async function resume(pending, result) {
  pending.result = result;
  delete pending.session;
  await pending.save(PENDING);
  const { pathname } = new URL(pending.returnTo);
  const answer = await fetch(`http://127.0.0.1:${port}${inner(pathname)}`, {
    headers: { cookie: `${provider.cookieName("resume")}=${pending.uid}`, ...forwarded() },
    redirect: "manual",
    signal: AbortSignal.timeout(10_000),
  });
  await answer.body?.cancel();
  const location = answer.headers.get("location");
  if (!location) throw new Refusal(500, "unexpected_failure", "The authorization could not be completed");
  return location;
}

const base = new URL(settings.issuer);
const inner = (path) => path.startsWith(base.pathname) ? path.slice(base.pathname.length) : path;
const forwarded = () => ({ "x-forwarded-host": base.host, "x-forwarded-proto": base.protocol.slice(0, -1) });

async function body(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > BODY_LIMIT) throw new Refusal(413, "validation_failed", "The body is too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function answer(response, status, value) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(value === undefined ? undefined : JSON.stringify(value));
}

const server = createServer((request, response) => {
  const url = new URL(inner(request.url), "http://inner");
  if (request.headers["x-toolbox-secret"] !== undefined || request.headers["x-toolbox-user"] !== undefined) {
    if (request.headers["x-toolbox-secret"] !== settings.secret) return answer(response, 403, {});
    ofUsers(request, url).then(
      (value) => answer(response, value === undefined ? 204 : 200, value),
      (error) => {
        if (error instanceof SyntaxError) error = new Refusal(400, "bad_json", "invalid JSON body");
        if (!(error instanceof Refusal)) console.error(error);
        const { status = 500, code = "unexpected_failure", message } = error;
        answer(response, status, {
          code: status,
          error_code: code,
          msg: status === 500 ? "Internal Server Error" : message,
        });
      },
    );
    return;
  }
  if (url.pathname === "/.well-known/oauth-authorization-server") url.pathname = "/.well-known/openid-configuration";
  if (url.pathname === "/oauth/authorize" && !url.searchParams.get("scope")) {
    url.searchParams.set("scope", DEFAULT_SCOPE);
  }
  request.url = url.pathname + url.search;
  if (request.method === "POST" && url.pathname === "/oauth/clients/register") {
    withoutEmpty(request).then(() => pass(request, response, url), ({ status = 400, message }) =>
      answer(response, status, { error: "invalid_client_metadata", error_description: message }));
    return;
  }
  pass(request, response, url);
});

/** Supabase's server takes an empty text for none, the library refuses it, and the Inspector sends `"scope": ""`. */
async function withoutEmpty(request) {
  const given = Object.entries(JSON.parse(await body(request)));
  // The library takes it from here once the stream was read.
  request.body = JSON.stringify(Object.fromEntries(given.filter(([, value]) => value !== "")));
}

function pass(request, response, url) {
  // By it the library knows where it is mounted.
  request.originalUrl = base.pathname + request.url;
  Object.assign(request.headers, forwarded());
  // Who signed in is the consent page's business, so no cookie of the library's leaves.
  const { setHeader } = response;
  response.setHeader = function (name, value) {
    return name.toLowerCase() === "set-cookie" ? this : setHeader.call(this, name, value);
  };
  library(request, response);
}
let port;
server.listen(0, "127.0.0.1", () => {
  ({ port } = server.address());
  process.stdout.write(`${settings.marker} ${port}\n`);
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
