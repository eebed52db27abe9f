begin;
\ir setup.psql
select no_plan();

select results_eq(
  $$ select actor_kind, actor_id, action, from_status::text, to_status::text, request_id, operation_id, generation from tool_instance_events order by id $$,
  $$ select k, a::uuid, 'deploy', f, t, r, (tests.last_operation()).id, 1::bigint from (values
    ('user', 'a0000000-0000-4000-8000-000000000001', null, 'deploying', 'req-begin'),
    ('agent', 'e0000000-0000-4000-8000-000000000001', 'deploying', 'starting', 'req-begin'),
    ('agent', 'e0000000-0000-4000-8000-000000000001', 'starting', 'running', 'req-begin')) v (k, a, f, t, r) $$,
  'who, what, from, to and for which request, of a deploy');
select cmp_ok(
  (select count(distinct occurred_at) from tool_instance_events), '=', 3::bigint, 'steps of one transaction have their own time');

-- A whole life: as many events as changes, each starting where the one before ended.
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select tests.begin('{}') \g /dev/null
select tests.record('{"generation": 3, "expected_status": "starting", "actor_kind": "control_plane",
  "steps": [{"status": "error", "reason_code": "exited", "reason": "Exit code 1"}],
  "operation_result": {"state": "failed", "error_code": "exited", "error_message": "Exit code 1"}}') \g /dev/null
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select tests.record('{"generation": 4, "expected_status": "pending_delete", "steps": [{"status": "deleting"}], "remove_row": true,
  "operation_result": {"state": "succeeded"}}') \g /dev/null
select results_eq(
  'select tests.new_events()',
  array['user stop running->stopping', 'agent stop stopping->stopped', 'user start stopped->starting', 'control_plane start starting->error',
    'user delete error->pending_delete', 'agent delete pending_delete->deleting', 'agent delete deleting->none'],
  'every change is there, in order, after the row is gone');
select is_empty(
  $$ select id from (select id, from_status, lag(to_status) over (order by id) as before, row_number() over (order by id) as n
     from tool_instance_events where tool_instance_id = 'c0000000-0000-4000-8000-000000000001') e
     where n > 1 and from_status is distinct from before $$, 'the chain has no gap');
select results_eq(
  $$ select reason_code, reason from tool_instance_events where to_status = 'error' $$, $$ values ('exited', 'Exit code 1') $$, 'an error says why');

-- What is not a change is not an event; what bypasses the RPCs is one, of nobody.
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'second') \g /dev/null
create temp table before on commit drop as select max(id) as id from tool_instance_events;
update account_tool_instances set container_id = 'new' where id = 'c0000000-0000-4000-8000-000000000002';
select is_empty('select e.id from tool_instance_events e, before b where e.id > b.id', 'an observation without a change leaves no event');
update account_tool_instances set status_on_toolbox = 'running' where id = 'c0000000-0000-4000-8000-000000000002';
select results_eq(
  'select actor_kind, actor_id, action, request_id, operation_id from tool_instance_events e, before b where e.id > b.id',
  $$ values ('database', null::uuid, 'update', null::text, null::uuid) $$, 'a write past the RPCs is told, and not put on the last actor');
select tests.record('{"instance_id": "c0000000-0000-4000-8000-000000000002", "generation": 1, "expected_status": "running", "operation_result": {"state": "succeeded"}}') \g /dev/null
update account_tool_instances set status_on_toolbox = 'stopping' where id = 'c0000000-0000-4000-8000-000000000002';
select is((select actor_kind from tool_instance_events order by id desc limit 1), 'database', 'also after a record');

-- Immutable, for every role that could try.
select is(tests.try(a, 'update tool_instance_events set reason = ''other'''), '42501', a || ' rewrites no history') from unnest(array['postgres', 'service', 'owner', 'anon']) a;
select is(tests.try(a, 'delete from tool_instance_events'), '42501', a || ' deletes no history') from unnest(array['postgres', 'service', 'owner', 'anon']) a;
select is(tests.try(a, 'truncate tool_instance_events'), '42501', a || ' truncates no history') from unnest(array['postgres', 'service', 'owner', 'anon']) a;
select is(tests.try('postgres', 'truncate account_tool_environments cascade'), '42501', 'not by a truncate from above either');
select is(
  tests.try(a, $$ insert into tool_instance_events (tool_instance_id, account_tool_environment_id, actor_kind, action, generation)
    values (gen_random_uuid(), 'e0000000-0000-4000-8000-000000000001', 'user', 'x', 1) $$), '42501', a || ' invents no history')
from unnest(array['service', 'owner', 'anon']) a;

-- It goes with its toolbox, and with its user.
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is_empty('select from tool_instance_events union all select from tool_instance_operations union all select from account_tool_instances',
  'a removed toolbox takes instances, operations and history along');
select lives_ok($$ delete from auth.users where email like '%@pgtap.test' $$, 'a removed user takes the toolboxes along');

select * from finish();
rollback;
