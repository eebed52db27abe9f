/** Tokens a caller might forge, made with WebCrypto. */

type Claims = Record<string, unknown>;

/** The claims a genuine access token of `userId` would have; override to break one. */
export function claims(issuer: string, userId: string, override: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    sub: userId,
    aud: "authenticated",
    role: "authenticated",
    email: "forged@toolbox.local",
    session_id: crypto.randomUUID(),
    iat: now,
    exp: now + 3600,
    ...override,
  };
}

/** Header and claims of a token, without any check. */
export function decoded(token: string): { header: Claims; claims: Claims } {
  const [header, payload] = token.split(".").slice(0, 2).map((part) => {
    const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  });
  return { header, claims: payload };
}

/** `alg: none`, with an empty signature. */
export function unsigned(payload: Claims, header: Claims = {}): string {
  return `${segment({ alg: "none", typ: "JWT", ...header })}.${segment(payload)}.`;
}

/** HS256 with any text as the secret. */
export async function hs256(payload: Claims, secret: string, header: Claims = {}): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return await signed(
    { alg: "HS256", typ: "JWT", ...header },
    payload,
    (data) => crypto.subtle.sign("HMAC", key, data),
  );
}

/** ES256 with `key`, or with a key made for this call. */
export async function es256(payload: Claims, header: Claims = {}, key?: CryptoKey): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const signer = key ??
    (await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]) as CryptoKeyPair).privateKey;
  return await signed(
    { alg: "ES256", typ: "JWT", ...header },
    payload,
    (data) => crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, signer, data),
  );
}

async function signed(
  header: Claims,
  payload: Claims,
  sign: (data: Uint8Array) => Promise<ArrayBuffer>,
): Promise<string> {
  const head = `${segment(header)}.${segment(payload)}`;
  return `${head}.${base64url(new Uint8Array(await sign(new TextEncoder().encode(head))))}`;
}

function segment(value: unknown): string {
  return base64url(new TextEncoder().encode(JSON.stringify(value)));
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
