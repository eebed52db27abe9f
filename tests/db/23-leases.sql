-- Operations whose outcome nobody recorded.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.lease_ended_before(ago interval) returns void language sql as $$
  update tool_instance_operations set lease_expires_at = clock_timestamp() - ago where state = 'in_progress'
$$;

select tests.begin('{}') \g /dev/null
select is(private.end_expired_leases(), 0, 'a lease that lives is left alone');
select tests.lease_ended_before('59 minutes') \g /dev/null
select is(private.end_expired_leases(), 0, 'for an hour after it a heartbeat may still bring the outcome');
select is((tests.last_operation()).state, 'in_progress', 'until then the operation is in progress');
select tests.record('{"generation": 2, "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is((tests.last_operation()).state, 'succeeded', 'as it does here');

select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select tests.lease_ended_before('61 minutes') \g /dev/null
select is(private.end_expired_leases(), 1, 'after that hour it is given up');
select results_eq($$ select (o).state, (o).finished_at is not null from (select tests.last_operation() as o) a $$, $$ values ('abandoned', true) $$, 'it is abandoned');
select is(
  (select concat_ws(' ', actor_kind, action, reason_code, from_status, to_status) from tool_instance_events order by id desc limit 1),
  'control_plane lease_expired lease_expired stopping stopping', 'and the history says so');
select is((tests.instance()).status_on_toolbox::text, 'stopping', 'the status stays what was seen last');
select is(private.end_expired_leases(), 0, 'once');

-- An instance that is gone has no row to lock.
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
set local session_replication_role = replica;
delete from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001';
set local session_replication_role = origin;
select tests.lease_ended_before('2 hours') \g /dev/null
select is(private.end_expired_leases(), 1, 'the operation of an instance that is gone ends too');

-- Bounded: the next call goes on.
insert into tool_instance_operations (tool_instance_id, account_tool_environment_id, user_id, action, request_id, generation, lease_expires_at)
  select gen_random_uuid(), 'e0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'start', 'many', 1, now() - interval '1 day'
  from generate_series(1, 230);
select results_eq('select private.end_expired_leases() from generate_series(1, 3)', $$ values (200), (30), (0) $$, 'two hundred a call');

select * from finish();
rollback;
