/** Keys of toolboxes, derived here as `toolbox-domain` says, so that a test can hold another toolbox's. */

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

async function derived(secret: string, info: string): Promise<string> {
  const text = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", text.encode(secret), "HKDF", false, ["deriveBits"]);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: text.encode(info) },
    key,
    256,
  );
  return Array.from(new Uint8Array(bits), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
