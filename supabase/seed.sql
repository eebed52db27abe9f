-- Local development only: `supabase start` and scripts/dev apply it, a hosted project never sees it.
insert into public.tool_catalog (id, name, tool_name, description, provider, default_spec)
values (
  '00000000-0000-0000-0000-0000000000aa', 'Toolbox sample MCP server', 'toolbox-sample',
  'The sample of this repository, built on this machine: a few harmless tools over streamable HTTP.', 'Toolbox',
  '{
    "image": "toolbox/sample-mcp:dev",
    "transport": "streamable-http", "mcp_path": "/mcp",
    "ports": [{"container_port": 8080, "protocol": "tcp"}],
    "resources": {"memory_bytes": 67108864, "cpus": 0.25, "pids": 64},
    "confinement": {"read_only_root": true}
  }'
) on conflict (id) do nothing;
