-- What goes by itself, and what stays because it explains something that is there.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

-- Everything so far happened that much earlier.
create function tests.age(ago interval) returns void language plpgsql as $$
begin
  set local session_replication_role = replica;
  update tool_instance_events set occurred_at = occurred_at - ago;
  update tool_instance_operations set started_at = started_at - ago, finished_at = finished_at - ago, is_sealed = finished_at is not null;
  set local session_replication_role = origin;
end $$;
create function tests.actions() returns setof text language sql stable as $$
  select action from tool_instance_operations order by started_at
$$;
create function tests.plan(statement text) returns setof text language plpgsql as $$
begin
  return query execute 'explain ' || statement;
end $$;

select is(private.retention(), interval '90 days', 'ninety days, unless somebody says otherwise');
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select tests.begin('{}') \g /dev/null
select tests.record('{"generation": 3, "expected_status": "starting", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select private.record_tools_changed('c0000000-0000-4000-8000-000000000001', 3, jsonb_build_object('tools_fingerprint', repeat(f, 64)), 'r')
from unnest(array['a', 'b', 'c']) f \g /dev/null

select tests.age('89 days') \g /dev/null
select is(private.delete_old_events() + private.delete_old_operations(), 0, 'nothing goes before its time');
select is(tests.try('postgres', 'delete from tool_instance_events'), '42501', 'nor by hand');
select tests.age('2 days') \g /dev/null
select is(private.delete_old_operations(), 2, 'operations go');
select results_eq('select tests.actions()', array['start'], 'but for the last of an instance that is there');
select is(private.delete_old_events(), 7, 'events go');
select results_eq(
  $$ select action, from_status::text, to_status::text, reason is not null from tool_instance_events order by id $$,
  $$ values ('start', 'starting', 'running', false), ('tools_changed', 'running', 'running', true) $$,
  'but for the last change of status and the last event of an instance that is there');
select is(private.delete_old_events() + private.delete_old_operations(), 0, 'they stay');
select is(tests.try('postgres', $$ update tool_instance_events set reason = 'x' $$), '42501', 'old events are not rewritten either');

-- What is still going on stays, however old: an operation in progress, and a spec that an update may go back to.
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "ghcr.io/x/y:2", "transport": "stdio"}}') \g /dev/null
select tests.expire_leases() \g /dev/null
select private.abandon_expired_operations('c0000000-0000-4000-8000-000000000001') \g /dev/null
create temp table later on commit drop as select * from tool_instance_operations where action = 'update';
update later set id = gen_random_uuid(), state = 'in_progress', action = 'restart', finished_at = null, previous_spec = null,
  started_at = started_at + interval '1 hour';
insert into tool_instance_operations select * from later;
select tests.age('1 year') \g /dev/null
select is(private.delete_old_operations(), 1, 'the one before goes now');
select results_eq('select tests.actions()', array['update', 'restart'], 'neither what may be rolled back nor what is in progress does');

-- Of an instance that is gone nothing stays.
set local session_replication_role = replica;
delete from account_tool_instances;
set local session_replication_role = origin;
update tool_instance_operations set state = 'abandoned', finished_at = now() - interval '91 days', is_sealed = true where state = 'in_progress';
select is(private.delete_old_operations(), 2, 'operations of an instance that is gone go');
select cmp_ok(private.delete_old_events(), '>', 0, 'and its events');
select is_empty('select id::text from tool_instance_operations union all select id::text from tool_instance_events', 'all of them');

-- The setting.
insert into private.settings (retention_days) values (7);
select is(private.retention(), interval '7 days', 'the operator says how long');
select throws_ok('insert into private.settings (retention_days) values (8)', '23505', null, 'in one place');
select throws_ok('update private.settings set retention_days = 0', '23514', null, 'a day at least: idempotency keys live that long');

-- Bounded: the next call goes on.
insert into tool_instance_events (tool_instance_id, account_tool_environment_id, actor_kind, action, generation, occurred_at)
  select gen_random_uuid(), 'e0000000-0000-4000-8000-000000000001', 'user', 'start', 1, now() - make_interval(days => 8, secs => n)
  from generate_series(1, 1300) n;
insert into tool_instance_operations (tool_instance_id, account_tool_environment_id, user_id, action, request_id, generation, state, lease_expires_at, finished_at, is_sealed)
  select gen_random_uuid(), 'e0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'start', 'many', 1, 'succeeded', now(), now() - interval '8 days', true
  from generate_series(1, 1300);
select results_eq('select private.delete_old_events() from generate_series(1, 3)', $$ values (1000), (300), (0) $$, 'a thousand events a call');
select results_eq('select private.delete_old_operations() from generate_series(1, 3)', $$ values (1000), (300), (0) $$, 'a thousand operations a call');

-- A look at a large history finds what is old by an index.
insert into tool_instance_events (tool_instance_id, account_tool_environment_id, actor_kind, action, generation)
  select gen_random_uuid(), 'e0000000-0000-4000-8000-000000000001', 'user', 'start', 1 from generate_series(1, 5000);
analyze tool_instance_events;
select matches(
  (select string_agg(line, E'\n') from tests.plan(
    'select id from tool_instance_events where occurred_at < now() - private.retention() order by occurred_at limit 1000') line),
  'tool_instance_events_occurred_at_idx', 'the whole history is not read');

-- As the route calls it.
select tests.act_as('service') \g /dev/null
select results_eq(
  $$ select run_job(jsonb_build_object('job', job)) from unnest(array['mark_silent_toolboxes', 'end_expired_leases', 'delete_old_events', 'delete_old_toolbox_events', 'settle_alerts', 'delete_old_alerts', 'delete_old_operations']) job $$,
  $$ select '{"outcome": "done", "count": 0}'::jsonb from generate_series(1, 7) $$, 'each job says how much it did');
select throws_ok($$ select run_job('{"job": "drop"}') $$, '22023', null, 'a job that is none is refused');
select throws_ok($$ select run_job('{}') $$, '22023', null, 'and so is none');
select tests.act_as('postgres') \g /dev/null

select * from finish();
rollback;
