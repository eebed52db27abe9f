/** Keys of toolboxes, derived here as `toolbox-domain` says, so that a test can hold another toolbox's. */

/** `tbk_…`: HKDF-SHA256 of the control plane's root secret. */
export async function agentKey(
  root: string,
  toolboxId: string,
  purpose: "control-to-agent" | "agent-to-control" = "control-to-agent",
  epoch = 0,
): Promise<string> {
  const text = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", text.encode(root), "HKDF", false, ["deriveBits"]);
  const info = text.encode(`toolbox/v1/${purpose}/${toolboxId}${epoch === 0 ? "" : `/${epoch}`}`);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info },
    key,
    256,
  );
  return "tbk_" + Array.from(new Uint8Array(bits), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
