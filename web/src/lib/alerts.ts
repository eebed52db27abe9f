// What rules tell of, in words. Pure.

export const RULES: Record<string, string> = {
  toolbox_silent: "a toolbox is silent",
  instance_error: "a tool is in error",
  instance_flapping: "a tool ends again and again",
  disk_full: "a disk is nearly full",
  certificate_changed: "a machine has another certificate",
  tools_changed: "an MCP server has other tools",
  agent_outdated: "an agent is outdated",
};

export function ruleInWords(kind: string, percent?: number | null): string {
  const words = RULES[kind] ?? kind.replaceAll("_", " ");
  return kind === "disk_full" && percent ? `${words} (${percent} %)` : words;
}

/** A secret as Standard Webhooks has them. */
export function newWebhookSecret(): string {
  return `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`;
}
