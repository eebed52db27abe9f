// A signing key of our own and a signed-in user's access token, as Supabase Auth issues them (ES256).

import { USER_ID } from "./fixtures.ts";

export interface Identity {
  /** JSON of the public key set. */
  jwks: string;
  token: string;
}

export async function identity(issuer: string): Promise<Identity> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const { publicKey, privateKey } = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const kid = crypto.randomUUID();
  const jwk = { ...await crypto.subtle.exportKey("jwk", publicKey), kid, alg: "ES256", use: "sig" };
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: "ES256", typ: "JWT", kid };
  const claims = {
    iss: issuer,
    sub: USER_ID,
    aud: "authenticated",
    exp: now + 3600,
    iat: now,
    email: "bench@toolbox.local",
    phone: "",
    app_metadata: { provider: "email", providers: ["email"] },
    user_metadata: {},
    role: "authenticated",
    aal: "aal1",
    amr: [{ method: "password", timestamp: now }],
    session_id: crypto.randomUUID(),
    is_anonymous: false,
  };
  const signed = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
  const bytes = new TextEncoder().encode(signed);
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, bytes);
  const text = String.fromCharCode(...new Uint8Array(signature));
  return { jwks: JSON.stringify({ keys: [jwk] }), token: `${signed}.${encode(text)}` };
}

function encode(text: string): string {
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
