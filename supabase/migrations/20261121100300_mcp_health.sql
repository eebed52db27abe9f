-- Health of MCP servers as agents last saw it.
alter table public.account_tool_instances
  add column mcp_health jsonb check (jsonb_typeof(mcp_health) = 'object' and octet_length(mcp_health::text) <= 32768),
  add column mcp_tools_fingerprint text check (mcp_tools_fingerprint ~ '^[0-9a-f]{64}$');
comment on column public.account_tool_instances.mcp_health is 'McpHealth of the DTMA API, with evidence and age; null when it is no MCP server or does not run.';
comment on column public.account_tool_instances.mcp_tools_fingerprint is 'Fingerprint of the tools the server listed last; kept while it does not run, so that a change is seen.';
grant select (mcp_health, mcp_tools_fingerprint) on public.account_tool_instances to authenticated;
