-- The tools that an MCP server lists first, which its deployment asked to be pinned: what agents are told meanwhile, when the clock
-- asks, and that nothing else is ever written down as those.
begin;
\ir setup.psql
select no_plan();

\set id c0000000-0000-4000-8000-000000000002
create function tests.pin(p jsonb default '{}') returns text language sql as $$
  select set_mcp_pin(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', 'a0000000-0000-4000-8000-000000000001',
    'instance_id', 'c0000000-0000-4000-8000-000000000002', 'request_id', 'r1'
  ) || p) ->> 'outcome'
$$;
create function tests.pin_first(p jsonb default '{"definitions": "[]"}') returns text language sql as $$
  select tests.pin(jsonb_build_object('is_first', true, 'fingerprint', repeat('a', 64)) || p)
$$;
create function tests.told() returns text[] language sql as $$
  select array[
    find_mcp_access('{"instance_id": "c0000000-0000-4000-8000-000000000002", "user_id": "a0000000-0000-4000-8000-000000000001"}') #>> '{pins,c0000000-0000-4000-8000-000000000002}',
    find_mcp_toolbox_access('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "user_id": "a0000000-0000-4000-8000-000000000001"}') #>> '{pins,c0000000-0000-4000-8000-000000000002}'
  ]
$$;
create function tests.claimed() returns jsonb language sql as $$ select claim_mcp_pins('{}') -> 'pins' $$;
create function tests.second() returns account_tool_instances language sql stable as $$
  select * from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000002'
$$;
create function tests.runs(generation bigint, from_status text default 'deploying') returns text language sql as $$
  select tests.record(jsonb_build_object(
    'instance_id', 'c0000000-0000-4000-8000-000000000002', 'generation', generation, 'expected_status', from_status, 'request_id', 'r',
    'steps', '[{"status": "starting"}, {"status": "running"}]'::jsonb, 'operation_result', '{"state": "succeeded"}'::jsonb,
    'observed', '{"container_id": "abc", "image_digest": "sha256:1", "ports": []}'::jsonb)) ->> 'outcome'
$$;

select is((tests.instance()).mcp_pin_due_at, null, 'nothing is due where nobody asked for it');
select tests.deploy(:'id', 'pinned', '{"pin_tools": true}') \g /dev/null
select isnt((tests.second()).mcp_pin_due_at, null, 'a deployment asks for it');
select is(tests.told(), '{first,first}', 'agents hold clients to what they hear first, from then on');
select is(tests.claimed(), '[]', 'nobody is asked before it runs');
select is(tests.runs(1), 'recorded', 'it runs');
select is(tests.claimed(), '[]', 'nor before tools were heard, however long that takes');

-- What comes in between
select is(tests.begin(jsonb_build_object('action', 'update', 'instance_id', :'id', 'to_status', 'deploying', 'expected_status', 'running',
  'expected_generation', 1, 'spec', '{"image": "ghcr.io/x/y:2", "transport": "stdio"}'::jsonb, 'restores', 1)) ->> 'outcome', 'started', 'an update, or the way back to a version');
select is(tests.runs(2), 'recorded', 'runs');
select is(tests.told(), '{first,first}', 'and leaves it as it was asked for');

update account_tool_instances set mcp_tools_fingerprint = repeat('a', 64) where id = :'id';
select is(tests.claimed() #>> '{0,instance_id}', :'id', 'the agent that heard tools is asked');
select is(tests.claimed(), '[]', 'once');
update account_tool_instances set mcp_pin_due_at = now() where id = :'id';
select is((tests.claimed() -> 0) - 'instance_id', jsonb_build_object('owner_id', 'a0000000-0000-4000-8000-000000000001', 'toolbox', (
  select to_jsonb(t) from (
    select id, status, public_ip_address, dtma_port, dtma_certificate_pem, dtma_key_id, instances_confirmed_at, unresponsive_since,
      dtma_api_version, dtma_last_known_version
    from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001') t)), 'and again after a minute, where it did not tell');

-- What is written
select is(tests.pin_first(), 'set', 'what it listed first is pinned');
select is(tests.told(), array[repeat('a', 64), repeat('a', 64)], 'and told by its fingerprint');
select is((tests.second()).mcp_pin_due_at, null, 'nothing is due any more');
select is(tests.pin_first('{"fingerprint": "bb"}'), 'not_found', 'so nothing else takes its place');
select is((tests.second()).mcp_pinned_fingerprint, repeat('a', 64), 'ever');
select results_eq(
  $$ select concat_ws(' ', actor_kind, action, reason) from tool_instance_events
     where tool_instance_id = 'c0000000-0000-4000-8000-000000000002' and action like 'tools_%' $$,
  array['user tools_pinned At its first answer, as its deployment asked'], 'it is in the history, once');

-- What the owner does meanwhile counts more.
update account_tool_instances set mcp_pinned_fingerprint = null, mcp_pin_due_at = now() where id = :'id';
select is(tests.pin(), 'set', 'the owner wants none of it');
select is(tests.told(), '{NULL,NULL}', 'so nobody is held to anything');
select is(tests.pin_first(), 'not_found', 'and what was asked of the agent before is not written');
update account_tool_instances set mcp_pin_due_at = now() where id = :'id';
select is(tests.pin(jsonb_build_object('fingerprint', repeat('b', 64), 'definitions', '[]')), 'set', 'or accepts what is listed now');
select is(tests.pin_first(), 'not_found', 'which stays');
select throws_ok($$ update account_tool_instances set mcp_pin_due_at = now() where mcp_pinned_fingerprint is not null $$, '23514', null, 'what is pinned is not due');

-- Others were listed before they could be read.
update account_tool_instances set mcp_pinned_fingerprint = null, mcp_pin_due_at = now() where id = :'id';
select is(tests.pin_first('{}'), 'set', 'they are pinned by their fingerprint');
select is((get_mcp_pin(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'instance_id', :'id',
  'owner_id', 'a0000000-0000-4000-8000-000000000001')) -> 'pin') - 'accepted_at', jsonb_build_object('fingerprint', repeat('a', 64), 'definitions', null), 'without definitions');
select throws_ok($$ select tests.pin('{"is_first": true, "definitions": "[]"}') $$, '22023', null, 'a pin has a fingerprint');
select is(tests.try(a, 'select claim_mcp_pins(''{}'')'), '42501', a || ' asks for nothing') from unnest('{owner,anon,nobody}'::text[]) a;
select is(tests.try('owner', 'select from account_tool_instances where mcp_pin_due_at is null'), '2 rows', 'the owner reads whether it is due');

-- A machine that is not there, and an instance that goes.
update account_tool_instances set mcp_pinned_fingerprint = null, mcp_pin_due_at = now() where id = :'id';
update account_tool_environments set status = 'unresponsive', unresponsive_since = now() where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.claimed(), '[]', 'a machine that is silent is not asked');
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.pin_first(), 'not_found', 'nothing is pinned of what is gone');
select is((select count(*) from private.mcp_pinned_tools), 0::bigint, 'and nothing is left of it');

select * from finish();
rollback;
