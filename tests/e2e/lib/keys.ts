/** Keys of toolboxes, derived here as `toolbox-domain` says, so that a test can hold another toolbox's. */
import type { InstanceRow } from "./db.ts";

/** `tbk_…`: HKDF-SHA256 of the control plane's root secret. */
export async function agentKey(
  root: string,
  toolboxId: string,
  purpose: "control-to-agent" | "agent-to-control" = "control-to-agent",
  epoch = 0,
): Promise<string> {
  return "tbk_" + await derived(root, `toolbox/v1/${purpose}/${toolboxId}${epoch === 0 ? "" : `/${epoch}`}`);
}

/** `tbm_…`: what opens the MCP endpoint of one instance, from the key its agent accepts. */
export async function mcpToken(key: string, instanceId: string): Promise<string> {
  return "tbm_" + await derived(key, `toolbox/v1/mcp/${instanceId}`);
}

/** A value of a spec. */
export interface Envelope {
  key_id: string | null;
  value: string;
}

/** The row with its secrets opened, as whoever holds the root secret can; fails where one does not open. */
export async function opened(root: string, row: InstanceRow): Promise<InstanceRow> {
  const bits = await derivedBits(root, `toolbox/v1/seal/toolbox/${row.account_tool_environment_id}`);
  const key = await crypto.subtle.importKey("raw", bits, "AES-GCM", false, ["decrypt"]);
  const open = async (section: string, values: unknown) => {
    const entries = Object.entries((values ?? {}) as Record<string, Envelope>).map(
      async ([name, { key_id, value }]) => {
        if (key_id === null) return [name, { key_id, value }];
        const sealed = Uint8Array.from(atob(value), (char) => char.charCodeAt(0));
        const additionalData = new TextEncoder().encode(`${section}/${row.id}/${name}`);
        const parameters = { name: "AES-GCM", iv: sealed.slice(0, 12), additionalData };
        const plain = await crypto.subtle.decrypt(parameters, key, sealed.slice(12));
        return [name, { key_id: null, value: new TextDecoder().decode(plain) }];
      },
    );
    return Object.fromEntries(await Promise.all(entries));
  };
  const { env, mcp_headers, ...spec } = row.spec;
  const headers = mcp_headers ? { mcp_headers: await open("header", mcp_headers) } : {};
  return { ...row, spec: { ...spec, env: await open("env", env), ...headers } };
}

async function derived(secret: string, info: string): Promise<string> {
  const bits = await derivedBits(secret, info);
  return Array.from(new Uint8Array(bits), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function derivedBits(secret: string, info: string): Promise<ArrayBuffer> {
  const text = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", text.encode(secret), "HKDF", false, ["deriveBits"]);
  return await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: text.encode(info) },
    key,
    256,
  );
}
