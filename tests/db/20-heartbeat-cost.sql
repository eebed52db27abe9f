-- What a heartbeat of 50 instances writes: nothing that is known already.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create table tests.fleet as
  select ('f0000000-0000-4000-8000-0000000000' || lpad(n::text, 2, '0'))::uuid as id, n from generate_series(1, 50) n;
select count(tests.deploy(id, 'tool ' || n)) from tests.fleet \g /dev/null
create function tests.full_heartbeat(p jsonb default '{}', of int default 50) returns jsonb language sql as $$
  select tests.heartbeat(jsonb_build_object('full', true, 'instances',
    (select jsonb_agg(tests.report(jsonb_build_object('id', id) || p)) from tests.fleet where n <= of) || jsonb_build_array(tests.report())))
$$;
-- What is decided of news, where all that is told lasts and is as it should be, recorded.
create function tests.recorded_heartbeat(p jsonb default '{}', of int default 50) returns jsonb language sql as $$
  select record_tool_instance_states(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'items', (
    select coalesce(jsonb_agg(jsonb_build_object('instance_id', r ->> 'id', 'generation', 1, 'expected_generation', 1, 'expected_status', r ->> 'status_on_toolbox',
      'actor_kind', 'agent', 'settled', true, 'operation_result', '{"state": "succeeded"}'::jsonb,
      'steps', jsonb_build_array(jsonb_build_object('status', coalesce(p ->> 'phase', 'running'))),
      'observed', '{"container_id": "abc", "image_digest": "sha256:1", "ports": [{"container_port": 8080}]}'::jsonb)), '[]')
    from jsonb_array_elements(tests.full_heartbeat(p, of) -> 'news') r)))
$$;
-- Rows of a table written since the call before.
create table tests.written (relation regclass, tuples bigint);
create function tests.writes(relation regclass) returns bigint language plpgsql as $$
declare
  before bigint := (select max(w.tuples) from tests.written w where w.relation = writes.relation);
  tuples bigint := pg_stat_get_xact_tuples_inserted(relation) + pg_stat_get_xact_tuples_updated(relation) + pg_stat_get_xact_tuples_deleted(relation);
begin
  insert into tests.written values (relation, tuples);
  return tuples - coalesce(before, 0);
end $$;
create function tests.all_writes() returns text language sql as $$
  select format('toolbox %s, instances %s, operations %s, events %s', tests.writes('account_tool_environments'), tests.writes('account_tool_instances'),
    tests.writes('tool_instance_operations'), tests.writes('tool_instance_events'))
$$;

select tests.recorded_heartbeat() \g /dev/null
select is((select count(*) from account_tool_instances where status_on_toolbox = 'running'), 51::bigint, 'fifty deploys end with one heartbeat and one record');
select is((select count(*) from tool_instance_operations where state = 'in_progress'), 0::bigint, 'and so do their operations');
select tests.all_writes() \g /dev/null

select tests.full_heartbeat() \g /dev/null
select is(tests.all_writes(), 'toolbox 1, instances 0, operations 0, events 0', 'a heartbeat without news writes the toolbox only');
select is(tests.full_heartbeat() -> 'news', '[]', 'and one round trip is all');
select tests.all_writes() \g /dev/null
select tests.recorded_heartbeat('{"phase": "stopped"}', 1) \g /dev/null
select is(tests.all_writes(), 'toolbox 1, instances 2, operations 0, events 1', 'one change writes one instance: its status, and what it runs');
select tests.full_heartbeat('{"mcp": {"state": "healthy", "checked_at": "2026-01-01T00:00:00Z"}}') \g /dev/null
select tests.all_writes() \g /dev/null
select tests.full_heartbeat('{"mcp": {"state": "healthy", "checked_at": "2026-01-01T00:01:00Z"}}') \g /dev/null
select is(tests.all_writes(), 'toolbox 1, instances 50, operations 0, events 0', 'health that is only newer is one write each');
select tests.heartbeat('{"full": false}') \g /dev/null
select is(tests.all_writes(), 'toolbox 1, instances 0, operations 0, events 0', 'a sign of life is one write');

-- Far above what it takes (2 ms), far below a plan that has gone wrong.
select clock_timestamp() as began \gset
select count(tests.full_heartbeat('{"mcp": {"state": "healthy", "checked_at": "2026-01-01T00:01:00Z"}}')) from generate_series(1, 10) \g /dev/null
select cmp_ok(clock_timestamp() - :'began'::timestamptz, '<', interval '5 seconds', 'ten full heartbeats take no time worth speaking of');
select diag(format('a full heartbeat of 51 instances without news: %s ms', round(extract(epoch from clock_timestamp() - :'began'::timestamptz) * 100, 1)));

select * from finish();
rollback;
