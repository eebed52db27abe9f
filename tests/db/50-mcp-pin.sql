-- The tools of an MCP server that its owner accepted: told with each access, written by the owner alone, and in its history.
begin;
\ir setup.psql
select no_plan();

create function tests.pin(p jsonb default '{}') returns jsonb language sql as $$
  select set_mcp_pin(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', 'a0000000-0000-4000-8000-000000000001',
    'instance_id', 'c0000000-0000-4000-8000-000000000001', 'request_id', 'r1'
  ) || p)
$$;
create function tests.accept(f text, change jsonb default '{}') returns text language sql as $$
  select tests.pin(jsonb_build_object('fingerprint', repeat(f, 64), 'definitions', '[{"name": "' || f || '\u0000"}]', 'change', change)) ->> 'outcome'
$$;
create function tests.pinned(owner text default 'a0000000-0000-4000-8000-000000000001') returns jsonb language sql as $$
  select get_mcp_pin(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', owner, 'instance_id', 'c0000000-0000-4000-8000-000000000001'))
$$;
create function tests.pin_of(id text) returns text language sql as $$
  select f -> 'pins' ->> id from find_mcp_access(jsonb_build_object('instance_id', id, 'user_id', 'a0000000-0000-4000-8000-000000000001')) f
$$;
create function tests.pins() returns jsonb language sql as $$
  select find_mcp_toolbox_access('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "user_id": "a0000000-0000-4000-8000-000000000001"}') -> 'pins'
$$;
\set first c0000000-0000-4000-8000-000000000001
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'other') \g /dev/null
select coalesce(max(id), 0) as before from tool_instance_events \gset

select is(tests.pinned(), '{"outcome": "found", "pin": null}', 'nothing is pinned at first');
select is(tests.pin_of(:'first'), null, 'and nothing is told of it');
select is(tests.pins(), '{}', 'nor at the URL of the toolbox');
select is(tests.accept('a'), 'set', 'the owner accepts what is listed');
select is(tests.pinned() -> 'pin' ->> 'definitions', '[{"name": "a\u0000"}]', 'what it was is kept as it came');
select is(tests.pin_of(:'first'), repeat('a', 64), 'each access is told of it');
select is(tests.pins(), jsonb_build_object(:'first', repeat('a', 64)), 'and at the URL of the toolbox, of that server alone');
select is(tests.accept('a'), 'set', 'the same once more');
select is(tests.accept('b', '{"added": ["x"], "changed": ["y"]}'), 'set', 'then others');
select is(tests.pinned() -> 'pin' ->> 'fingerprint', repeat('b', 64), 'take their place');
select is(tests.pin() ->> 'outcome', 'set', 'and then any');
select is(tests.pin() ->> 'outcome', 'set', 'twice is once');
select is(tests.pinned() -> 'pin', 'null', 'nothing is pinned any more');
select is((select count(*) from private.mcp_pinned_tools), 0::bigint, 'and nothing is kept');
select results_eq(
  format($$ select actor_kind || ' ' || action || coalesce(' ' || reason, '') || ' ' || request_id from tool_instance_events where id > %s order by id $$, :before),
  array['user tools_pinned r1', 'user tools_accepted Added: x; Changed: y r1', 'user tools_unpinned r1'], 'each change is in the history, once');

-- Who may
select is(tests.accept('a'), 'set', 'pinned again');
select is(tests.pinned('b0000000-0000-4000-8000-000000000002') ->> 'outcome', 'not_found', 'a stranger is told nothing');
select is(tests.pin('{"owner_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome', 'not_found', 'and changes nothing');
select is(tests.pin('{"toolbox_id": "e0000000-0000-4000-8000-000000000002"}') ->> 'outcome', 'not_found', 'nor anybody by another toolbox');
select is(tests.pin_of(:'first'), repeat('a', 64), 'it stays as it was');
select is(tests.try('owner', 'select from account_tool_instances where mcp_pinned_fingerprint is not null'), '1 rows', 'the owner reads whether tools are pinned');
select is(tests.try('owner', 'update account_tool_instances set mcp_pinned_fingerprint = null'), '42501', 'and writes it by the function alone');
select is(tests.try(a, format('select %s(''{}'')', f)), '42501', a || ' may not call ' || f)
from unnest('{owner,anon,nobody}'::text[]) a, unnest('{get_mcp_pin,set_mcp_pin}'::text[]) f;
select throws_ok($$ select tests.pin('{"fingerprint": "x", "definitions": "[]"}') $$, '23514', null, 'a fingerprint is one');
select throws_ok(format($$ select tests.pin('{"fingerprint": "%s"}') $$, repeat('a', 64)), '22023', null, 'and stands for definitions');
select throws_ok(format($$ select tests.pin('{"fingerprint": "%s", "definitions": "%s"}') $$, repeat('a', 64), repeat('x', 800000)), '23514', null, 'of bounded length');
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is((select count(*) from private.mcp_pinned_tools), 0::bigint, 'they go with their instance');

select * from finish();
rollback;
