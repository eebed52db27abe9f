-- More toolboxes for bench/heartbeat.ts, up to :n: active machines with a certificate, a key and three MCP servers each.
-- The key is made of the id, so that the bench knows it without having to be told.
begin;
-- Past the triggers: a toolbox becomes active in four steps otherwise.
set local session_replication_role = replica;
create temporary table added on commit drop as
  select gen_random_uuid() as id
  from generate_series(1, :n - (select count(*) from public.account_tool_environments where name like 'bench %'));
insert into public.account_tool_environments (
  id, user_id, name, status, public_ip_address, dtma_certificate_pem, dtma_certificate_sha256, dtma_token_hash, dtma_key_id,
  dtma_last_known_version, dtma_api_version, dtma_boot, dtma_sequence, heartbeat_interval_seconds, last_heartbeat_at
)
select id, :'user', 'bench ' || id, 'active', '127.0.0.1', :'pem', private.certificate_sha256(:'pem'),
  encode(sha256(('tbk_' || encode(sha256(id::text::bytea), 'hex'))::bytea), 'hex'), :'root_id' || '.0',
  '1.0.0', 1, 1, 1, 300, clock_timestamp()
from added;
insert into public.account_tool_instances (
  account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, generation, status_on_toolbox,
  container_id, image_digest, port_mapping_json, last_observed_at
)
select id, '00000000-0000-0000-0000-000000000001', 'Context7 MCP Server-' || n, 'context7-mcp-server-' || n, :'spec'::jsonb, 3,
  'running', encode(sha256((id::text || n)::bytea), 'hex'), 'sha256:' || encode(sha256('image'), 'hex'), '[]', clock_timestamp()
from added, generate_series(1, 3) n;
commit;
vacuum (analyze) public.account_tool_environments, public.account_tool_instances;
