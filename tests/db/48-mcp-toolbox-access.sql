-- The URL of a whole toolbox opens each server as the server's own URL would.
begin;
\ir setup.psql
select no_plan();
delete from mcp_access;

create function tests.hash(token text) returns text language sql immutable as $$ select encode(sha256(token::bytea), 'hex') $$;
create function tests.give(p jsonb default '{}') returns text language sql as $$
  select grant_mcp_access(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', 'a0000000-0000-4000-8000-000000000001', 'name', 'laptop'
  ) || p) ->> 'outcome'
$$;
create function tests.find(p jsonb) returns jsonb language sql as $$
  select find_mcp_toolbox_access(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'client_name', 'claude-code/2') || p)
$$;
-- What is open: the last digits of each server's id, its tools, and whether only those that read.
create function tests.open(p jsonb) returns text language sql as $$
  select case when f ->> 'outcome' <> 'access' then f ->> 'outcome' else coalesce((
    select string_agg(format('%s %s%s', right(i, 2), g -> 'tools', case when (g -> 'read_only')::boolean then ' read' else '' end), ', ' order by i)
    from jsonb_array_elements(f -> 'grants') g, jsonb_array_elements_text(g -> 'instances') i
  ), 'nothing') end
  from tests.find(p) f
$$;
create function tests.token(token text) returns text language sql as $$ select tests.open(jsonb_build_object('token_hash', tests.hash(token))) $$;
create function tests.user(id text, p jsonb default '{}') returns text language sql as $$ select tests.open(jsonb_build_object('user_id', id) || p) $$;
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'other') \g /dev/null
select tests.deploy('c0000000-0000-4000-8000-000000000003', 'no server', '{"spec": {"image": "x"}}') \g /dev/null
\set first '"instance_id": "c0000000-0000-4000-8000-000000000001"'
\set stranger 'b0000000-0000-4000-8000-000000000002'
\set owner 'a0000000-0000-4000-8000-000000000001'

select is((select count(*) from account_tool_instances where account_tool_environment_id = 'e0000000-0000-4000-8000-000000000001'), 3::bigint, 'three instances');
select is(tests.user(:'owner'), '01 null, 02 null', 'the owner needs no row, and a tool that is no server is not among them');
select is(tests.user(:'owner', '{"client_id": "c1"}'), 'no_access', 'a program of the owner does');
select is(tests.user(:'stranger'), 'no_access', 'to a stranger it is not there');
select is(tests.open('{"user_id": "a0000000-0000-4000-8000-000000000001", "toolbox_id": "e0000000-0000-4000-8000-00000000ffff"}'), 'no_access', 'as one that is not there');
select is(tests.open('{"user_id": "b0000000-0000-4000-8000-000000000002", "toolbox_id": "e0000000-0000-4000-8000-000000000002"}'), 'nothing', 'a toolbox without servers opens to its owner');

select is(tests.give(jsonb_build_object('token_hash', tests.hash('one'), 'allowed_tools', '["a"]'::jsonb) || ('{' || :'first' || '}')::jsonb), 'granted', 'a token of one server');
select is(tests.token('one'), '01 ["a"]', 'opens that one here, too, with its tools');
select is((select last_client from mcp_access), 'claude-code/2', 'by which program is kept');
select is(tests.give(jsonb_build_object('token_hash', tests.hash('all'), 'read_only', true)), 'granted', 'a token of the toolbox');
select is(tests.token('all'), '01 null read, 02 null read', 'opens all, as it says');
select is((select count(*) from jsonb_array_elements(tests.find(jsonb_build_object('token_hash', tests.hash('all'))) -> 'grants')), 1::bigint, 'told once');
select is(tests.token('none'), 'token_unknown', 'another token opens nothing');
update mcp_access set expires_at = now() where token_hash = tests.hash('all');
select is(tests.token('all'), 'token_expired', 'nor one that has expired');
update mcp_access set revoked_at = now() where token_hash = tests.hash('one');
select is(tests.token('one'), 'token_unknown', 'nor one that was revoked');
select is(tests.open(jsonb_build_object('token_hash', tests.hash('one'), 'toolbox_id', 'e0000000-0000-4000-8000-000000000002')), 'token_unknown', 'at whichever toolbox');

select is(tests.give(('{"user_id": "' || :'stranger' || '", "allowed_tools": ["x"], ' || :'first' || '}')::jsonb), 'granted', 'one server is shared');
select is(tests.user(:'stranger'), '01 ["x"]', 'and opens alone');
select is(tests.give(('{"user_id": "' || :'stranger' || '", "read_only": true}')::jsonb), 'granted', 'the toolbox is shared, too');
select is(tests.user(:'stranger'), '01 ["x"], 02 null read', 'what names the server comes first');
select is(tests.user(:'stranger', '{"client_id": "c1"}'), 'no_access', 'a program of theirs needs a row of its own');
-- What is answered here and at each server's own URL is the same.
select is(g -> 'tools', f -> 'allowed_tools', 'the same tools at the URL of ' || i)
from jsonb_array_elements(tests.find(jsonb_build_object('user_id', :'stranger')) -> 'grants') g, jsonb_array_elements_text(g -> 'instances') i,
  find_mcp_access(jsonb_build_object('instance_id', i, 'user_id', :'stranger')) f;
update mcp_access set expires_at = now() where user_id = :'stranger';
select is(tests.user(:'stranger'), 'no_access', 'it ends in time');
update mcp_access set revoked_at = null, expires_at = null, granted_by = :'stranger';
select is(tests.token('all'), 'no_access', 'what another than the owner gave counts for nothing');
select throws_ok($$ select find_mcp_toolbox_access('{"toolbox_id": "e0000000-0000-4000-8000-000000000001"}') $$, '22023', null, 'nobody is nobody');
select is(tests.try(a, 'select find_mcp_toolbox_access(''{}'')'), '42501', a || ' may not ask') from unnest('{owner,anon,nobody}'::text[]) a;

select * from finish();
rollback;
