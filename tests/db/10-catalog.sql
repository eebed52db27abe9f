begin;
\ir setup.psql
select no_plan();

select results_eq(
  $$ select name, docker_image_url, default_spec ->> 'transport' from tool_catalog where id = '00000000-0000-0000-0000-000000000001' $$,
  $$ values ('MCP Server', null::text, 'stdio') $$, 'the generic entry has its fixed id, and no image of its own');
select cmp_ok((select count(*) from tool_catalog where docker_image_url is not null and id <> '00000000-0000-0000-0000-0000000000aa'), '>=', 6::bigint, 'real servers are there');

-- Every default_spec is a ToolSpec, key by key; crates/toolbox-api refuses unknown ones.
select is_empty(
  $$ select c.name, k from tool_catalog c, jsonb_object_keys(c.default_spec) k
     where k not in ('image', 'command', 'entrypoint', 'env', 'ports', 'volumes', 'resources', 'confinement', 'transport', 'mcp_path', 'stdin_open') $$, 'no unknown key');
select is_empty($$ select name from tool_catalog where (default_spec ->> 'transport' = 'stdio') <> coalesce((default_spec ->> 'stdin_open')::boolean, false) $$,
  'stdio servers, and only they, keep standard input open');
select is_empty($$ select name from tool_catalog where (default_spec ->> 'transport' = 'stdio') <> (default_spec -> 'ports' is null)
  or (default_spec ->> 'transport' <> 'stdio') <> (default_spec ->> 'mcp_path' is not null) $$, 'the others have a port and a path');
select is_empty($$ select name from tool_catalog where not default_spec -> 'resources' ?& array['memory_bytes', 'cpus', 'pids'] $$, 'every entry is limited');
select is_empty($$ select name from tool_catalog where resource_requirements is distinct from default_spec -> 'resources' $$, 'and shows the limits it has');
select is_empty(
  $$ select c.name, s from tool_catalog c, unnest(array[c.required_config_schema, c.required_secrets_schema]) s
     where s ->> 'type' is distinct from 'object'
       or not coalesce((select bool_and(s -> 'properties' ? r) from jsonb_array_elements_text(s -> 'required') r), true) $$,
  'schemas are objects that define what they require');
select throws_ok($$ update tool_catalog set default_spec = default_spec || '{"env": {"A": "1"}}' $$, '23514', null, 'a value without its envelope is refused');
select is_empty($$ select c.name from tool_catalog c, jsonb_object_keys(c.required_secrets_schema -> 'properties') k where c.default_spec -> 'env' ? k $$, 'no secret has a default');

select * from finish();
rollback;
