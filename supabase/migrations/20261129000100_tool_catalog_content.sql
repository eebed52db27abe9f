-- The entries every installation has. A migration, because seed.sql never reaches a hosted project.
-- Ids are fixed: callers and older clients name them.
-- Image, arguments, port and variables are those of each publisher's own Dockerfile and documentation.
insert into public.tool_catalog (
  id, name, tool_name, category, provider, description, documentation_url, default_spec,
  required_config_schema, required_secrets_schema
) values
(
  '00000000-0000-0000-0000-000000000001', 'MCP Server', 'mcp-server', 'mcp', 'Toolbox',
  'Any MCP server: name its image, or a Git source to build, and how it is spoken to.',
  'https://modelcontextprotocol.io/docs/getting-started/intro',
  '{"transport": "stdio", "stdin_open": true, "resources": {"memory_bytes": 268435456, "cpus": 0.25, "pids": 128}}',
  '{"type": "object"}', '{"type": "object"}'
),
(
  '00000000-0000-0000-0000-000000000002', 'Context7', 'context7', 'mcp', 'Upstash',
  'Current documentation and code examples of libraries, by name and version.',
  'https://github.com/upstash/context7',
  '{
    "image": "mcp/context7:latest",
    "transport": "streamable-http", "mcp_path": "/mcp",
    "command": ["node", "dist/index.js", "--transport", "http", "--port", "8080"],
    "ports": [{"container_port": 8080, "protocol": "tcp"}],
    "resources": {"memory_bytes": 268435456, "cpus": 0.5, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{"type": "object"}', '{"type": "object"}'
),
(
  '00000000-0000-0000-0000-000000000003', 'Everything', 'everything', 'mcp', 'Model Context Protocol',
  'Reference server that uses every feature of the protocol; for trying out clients.',
  'https://github.com/modelcontextprotocol/servers/tree/main/src/everything',
  '{
    "image": "mcp/everything:latest",
    "transport": "streamable-http", "mcp_path": "/mcp",
    "command": ["node", "dist/index.js", "streamableHttp"],
    "env": {"PORT": {"key_id": null, "value": "3001"}},
    "ports": [{"container_port": 3001, "protocol": "tcp"}],
    "resources": {"memory_bytes": 268435456, "cpus": 0.5, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{"type": "object"}', '{"type": "object"}'
),
(
  '00000000-0000-0000-0000-000000000004', 'Fetch', 'fetch', 'mcp', 'Model Context Protocol',
  'Fetches a web page and gives it back as Markdown.',
  'https://github.com/modelcontextprotocol/servers/tree/main/src/fetch',
  '{
    "image": "mcp/fetch:latest",
    "transport": "stdio", "stdin_open": true,
    "resources": {"memory_bytes": 268435456, "cpus": 0.5, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{"type": "object"}', '{"type": "object"}'
),
(
  '00000000-0000-0000-0000-000000000005', 'Filesystem', 'filesystem', 'mcp', 'Model Context Protocol',
  'Reads and writes files in a volume that belongs to this instance alone.',
  'https://github.com/modelcontextprotocol/servers/tree/main/src/filesystem',
  '{
    "image": "mcp/filesystem:latest",
    "transport": "stdio", "stdin_open": true, "command": ["/projects"],
    "volumes": [{"name": "projects", "path": "/projects"}],
    "resources": {"memory_bytes": 268435456, "cpus": 0.5, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{"type": "object"}', '{"type": "object"}'
),
(
  '00000000-0000-0000-0000-000000000006', 'GitHub', 'github', 'mcp', 'GitHub',
  'Repositories, issues, pull requests and workflows of GitHub.',
  'https://github.com/github/github-mcp-server',
  '{
    "image": "ghcr.io/github/github-mcp-server:latest",
    "transport": "stdio", "stdin_open": true,
    "resources": {"memory_bytes": 268435456, "cpus": 0.5, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{
    "type": "object",
    "properties": {
      "GITHUB_HOST": {"type": "string", "format": "uri", "title": "GitHub Enterprise address", "description": "Absent for github.com"},
      "GITHUB_TOOLSETS": {"type": "string", "title": "Toolsets", "description": "Names joined by commas, such as repos,issues"},
      "GITHUB_READ_ONLY": {"type": "string", "enum": ["0", "1"], "title": "Read only", "description": "1 offers no tool that writes"}
    }
  }',
  '{
    "type": "object", "required": ["GITHUB_PERSONAL_ACCESS_TOKEN"],
    "properties": {
      "GITHUB_PERSONAL_ACCESS_TOKEN": {"type": "string", "minLength": 1, "title": "Personal access token"}
    }
  }'
),
(
  '00000000-0000-0000-0000-000000000007', 'Grafana', 'grafana', 'mcp', 'Grafana Labs',
  'Dashboards, data sources, alerts and incidents of a Grafana.',
  'https://github.com/grafana/mcp-grafana',
  '{
    "image": "grafana/mcp-grafana:latest",
    "transport": "streamable-http", "mcp_path": "/mcp",
    "entrypoint": ["/app/mcp-grafana"], "command": ["--transport", "streamable-http", "--address", "0.0.0.0:8000"],
    "ports": [{"container_port": 8000, "protocol": "tcp"}],
    "resources": {"memory_bytes": 268435456, "cpus": 0.5, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{
    "type": "object", "required": ["GRAFANA_URL"],
    "properties": {"GRAFANA_URL": {"type": "string", "format": "uri", "title": "Address of the Grafana"}}
  }',
  '{
    "type": "object", "required": ["GRAFANA_SERVICE_ACCOUNT_TOKEN"],
    "properties": {
      "GRAFANA_SERVICE_ACCOUNT_TOKEN": {"type": "string", "minLength": 1, "title": "Service account token"}
    }
  }'
),
(
  '00000000-0000-0000-0000-000000000008', 'Memory', 'memory', 'mcp', 'Model Context Protocol',
  'Remembers facts as a knowledge graph, kept in a volume of this instance.',
  'https://github.com/modelcontextprotocol/servers/tree/main/src/memory',
  '{
    "image": "mcp/memory:latest",
    "transport": "stdio", "stdin_open": true,
    "env": {"MEMORY_FILE_PATH": {"key_id": null, "value": "/data/memory.jsonl"}},
    "volumes": [{"name": "data", "path": "/data"}],
    "resources": {"memory_bytes": 268435456, "cpus": 0.25, "pids": 128},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{"type": "object"}', '{"type": "object"}'
),
(
  '00000000-0000-0000-0000-000000000009', 'Playwright', 'playwright', 'mcp', 'Microsoft',
  'Drives a headless Chromium: opens pages, clicks, types, reads.',
  'https://github.com/microsoft/playwright-mcp',
  '{
    "image": "mcr.microsoft.com/playwright/mcp:latest",
    "transport": "streamable-http", "mcp_path": "/mcp",
    "entrypoint": ["node"],
    "command": [
      "cli.js", "--headless", "--browser", "chromium", "--no-sandbox", "--isolated",
      "--host", "0.0.0.0", "--port", "8931", "--allowed-hosts", "*"
    ],
    "ports": [{"container_port": 8931, "protocol": "tcp"}],
    "resources": {"memory_bytes": 1073741824, "cpus": 1, "pids": 512}
  }',
  '{"type": "object"}', '{"type": "object"}'
),
(
  -- The image's own entry point passes "${LOCAL_TIMEZONE}" unexpanded and exits; hence the entrypoint here.
  '00000000-0000-0000-0000-00000000000a', 'Time', 'time', 'mcp', 'Model Context Protocol',
  'The current time, and conversion between time zones.',
  'https://github.com/modelcontextprotocol/servers/tree/main/src/time',
  '{
    "image": "mcp/time:latest",
    "transport": "stdio", "stdin_open": true,
    "entrypoint": ["mcp-server-time"], "command": ["--local-timezone", "UTC"],
    "resources": {"memory_bytes": 134217728, "cpus": 0.25, "pids": 64},
    "confinement": {"read_only_root": true, "tmpfs": ["/tmp"]}
  }',
  '{"type": "object"}', '{"type": "object"}'
)
on conflict (id) do nothing;
