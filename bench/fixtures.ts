// One toolbox with ten instances, as PostgREST and DTMA describe them. The rows and the agent's views agree, so that
// a list has nothing to record and every variant does the same work.

export const TOOLBOX_ID = "6f1c2b34-5d7e-4f80-9a1b-2c3d4e5f6071";
export const CATALOG_ID = "00000000-0000-0000-0000-000000000001";
export const USER_ID = "0d9c8b7a-6f5e-4d3c-8b1a-09f8e7d6c5b4";
export const INSTANCES = 10;
/** The last instance is stopped; the others run. */
export const STOPPED = INSTANCES - 1;

export type Row = Record<string, unknown>;

const CREATED = "2026-11-20T08:00:00.123456+00:00";
const OBSERVED = "2026-11-21T09:30:00.654321+00:00";
const IMAGE = "ghcr.io/example/mcp-server:1.4.2";
const DIGEST = `sha256:${"5c".repeat(32)}`;

export function instanceId(index: number): string {
  return `a1b2c3d4-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
}

const containerId = (index: number) => index.toString(16).padStart(2, "0").repeat(32);
const containerName = (index: number) => `context7-mcp-server-175027827660${index}-a1b2c3d4`;
const displayName = (index: number) => `Context7 MCP Server-175027827660${index}`;
const binding = (index: number) => ({
  container_port: 8080,
  protocol: "tcp",
  host_ip: "127.0.0.1",
  host_port: 31000 + index,
});

/** The stored specification of every instance. */
export const SPEC = {
  image: IMAGE,
  env: { CONTEXT7_MODE: { key_id: null, value: "local" } },
  ports: [{ container_port: 8080, protocol: "tcp" }],
  volumes: [],
  resources: { memory_bytes: 268435456, cpus: 0.5, pids: 128 },
  confinement: { read_only_root: true, tmpfs: ["/tmp"], add_capabilities: [] },
  transport: "streamable-http",
  mcp_path: "/mcp",
  stdin_open: false,
};

export function instanceRow(index: number): Row {
  return {
    id: instanceId(index),
    account_tool_environment_id: TOOLBOX_ID,
    tool_catalog_id: CATALOG_ID,
    instance_name_on_toolbox: displayName(index),
    container_name: containerName(index),
    spec: SPEC,
    docker_image_url: IMAGE,
    mcp_transport_type: "streamable-http",
    mcp_endpoint_path: "/mcp",
    generation: 3,
    desired_status: index === STOPPED ? "stopped" : "running",
    status_on_toolbox: index === STOPPED ? "stopped" : "running",
    status_changed_at: OBSERVED,
    instance_error_code: null,
    instance_error_message: null,
    container_id: containerId(index),
    image_digest: DIGEST,
    port_mapping_json: index === STOPPED ? [] : [binding(index)],
    mcp_health: null,
    mcp_pinned_fingerprint: null,
    mcp_pin_due_at: null,
    last_observed_at: OBSERVED,
    version: "1.4.2",
    created_at: CREATED,
    updated_at: OBSERVED,
  };
}

/** DTMA's view of an instance. */
export function toolView(index: number, generation = 3, running = index !== STOPPED): Row {
  return {
    id: instanceId(index),
    name: displayName(index),
    container_name: containerName(index),
    generation,
    desired: running ? "running" : "stopped",
    phase: running ? "running" : "stopped",
    settled: true,
    reason: null,
    progress: null,
    container_id: containerId(index),
    image: IMAGE,
    image_digest: DIGEST,
    ports: running ? [binding(index)] : [],
    started_at: "2026-11-21T09:29:58.111222333Z",
    finished_at: running ? null : "2026-11-21T09:30:00.111222333Z",
    exit_code: running ? null : 0,
    restart_count: 0,
    update_failed: false,
    updated_at: "2026-11-21T09:30:00.654321Z",
  };
}

/** DTMA's answer to `GET /tools`. */
export function toolList(): Row {
  return {
    toolbox_id: TOOLBOX_ID,
    version: "0.1.0",
    api_version: 2,
    tools: Array.from({ length: INSTANCES }, (_, index) => toolView(index)),
    foreign: [
      { container_id: "ef".repeat(32), name: "watchtower", image: "containrrr/watchtower:latest", state: "running" },
    ],
  };
}

/** The tables a function may read, whole; the upstream projects them as PostgREST does. */
export function tables(port: number): Record<string, Row[]> {
  const environment: Row = {
    id: TOOLBOX_ID,
    user_id: USER_ID,
    name: "bench",
    description: null,
    status: "active",
    status_changed_at: CREATED,
    region_slug: "local",
    size_slug: "local",
    image_slug: "local",
    do_droplet_id: null,
    do_droplet_name: null,
    public_ip_address: "127.0.0.1",
    dtma_port: port,
    dtma_certificate_pem: null,
    dtma_key_id: null,
    dtma_last_known_version: "0.1.0",
    dtma_api_version: 2,
    dtma_health_details_json: null,
    instances_confirmed_at: OBSERVED,
    unresponsive_since: null,
    provisioning_error_message: null,
    created_at: CREATED,
    updated_at: OBSERVED,
  };
  const catalog: Row = {
    id: CATALOG_ID,
    name: "mcp-server",
    tool_name: "MCP Server",
    description: "Any MCP server by its image",
    category: "mcp",
    provider: "toolbox",
    documentation_url: null,
    icon_url: null,
    packaging_type: "docker_image",
    docker_image_url: IMAGE,
    default_spec: SPEC,
    required_config_schema: {},
    required_secrets_schema: {},
    resource_requirements: {},
    status: "available",
    is_public: true,
    version: "1.4.2",
    created_at: CREATED,
    updated_at: CREATED,
  };
  return {
    account_tool_environments: [environment],
    account_tool_instances: Array.from({ length: INSTANCES }, (_, index) => instanceRow(index)),
    tool_catalog: [catalog],
  };
}
