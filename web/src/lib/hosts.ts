// How hosts of MCP clients are called, and which links to them a page may open. Pure.

const NAMES: Record<string, string> = {
  "claude": "Claude",
  "claude-code": "Claude Code",
  "cursor": "Cursor",
  "vscode": "VS Code",
  "gemini-cli": "Gemini CLI",
  "codex": "Codex",
  "mcp-remote": "Other, by mcp-remote",
};

export function hostName(host: string): string {
  return NAMES[host] ?? host;
}

/** Only these begin a host; a link of any other kind is shown as text. */
export function isHostLink(text: string): boolean {
  return /^(cursor|vscode):/.test(text) || text.startsWith("https://");
}

/** What stands in texts as long as no token is known. */
export const NO_TOKEN = "TOOLBOX_MCP_TOKEN";

/** "Claude Code 2.1" of a User-Agent such as "claude-code/2.1 (cli)". */
export function clientName(agent: string): string {
  const first = agent.match(/^([\w .-]+)\/([\w.-]+)/);
  if (first === null) return agent;
  const [, name = agent, version = ""] = first;
  return `${NAMES[name.toLowerCase()] ?? name} ${version}`;
}

const KINDS: Record<string, string> = {
  command: "Run this",
  file: "Put this into its settings",
  link: "Open this",
  url: "Add a connector with this URL",
};

export function kindInWords(kind: string): string {
  return KINDS[kind] ?? kind;
}
