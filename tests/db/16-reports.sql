-- What agents tell of instances, and what becomes of rows and operations.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.operation_state() returns text language sql stable as $$
  select concat_ws(' ', (o).state, (o).error_code) from (select tests.last_operation() as o) a
$$;
create function tests.status() returns text language sql stable as $$
  select concat_ws(' ', (i).status_on_toolbox, (i).instance_error_code) from (select tests.instance() as i) a
$$;
-- Whatever was told, the row and its operation afterwards.
create function tests.after(p jsonb, body jsonb default '{}') returns text language plpgsql as $$
declare
  outcome text := tests.heartbeat(jsonb_build_object('instances', jsonb_build_array(tests.report(p))) || body) ->> 'outcome';
begin
  return case when outcome = 'recorded' then concat_ws(', ', coalesce(nullif(tests.status(), ''), 'gone'), tests.operation_state()) else outcome end;
end $$;

-- The same, for a heartbeat that names no instance.
create function tests.unnamed(body jsonb) returns text language plpgsql as $$
declare
  outcome text := tests.heartbeat(body) ->> 'outcome';
begin
  return concat_ws(', ', case when outcome = 'recorded' then tests.status() else outcome end, tests.operation_state());
end $$;

-- Nothing new
select ctid as version from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001' \gset
select is(tests.after('{}'), 'running, succeeded', 'what the row tells already');
select is((select ctid from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001'), :'version'::tid, 'is not written again');
select is(tests.unnamed('{"full": true}'), 'running, succeeded', 'nor is a row that is new missed at once');

-- Ahead
select is(tests.after('{"generation": 1000002}'), 'running, succeeded', 'a generation that nobody can have asked for');
select is(tests.after('{"generation": 9007199254740991}'), 'running, succeeded', 'however far it is ahead');
select is((tests.instance()).generation, 1::bigint, 'is not taken over');

-- Changed behind our back
select is(tests.after('{"phase": "error", "reason": {"code": "exited", "message": "exit 1"}}'), 'error exited, succeeded', 'a crash');
select is((tests.instance()).instance_error_message, 'exit 1', 'with its reason');
select is(tests.after('{"phase": "error", "reason": {"code": "crash_loop", "message": "crash loop, exit 137: out of memory at 256 MiB"}}'), 'error crash_loop, succeeded', 'a better reason replaces the first');
select is(tests.after('{"phase": "error", "reason": {"code": "Not A Code", "message": "x"}}'), 'error unspecified, succeeded', 'a code the database cannot keep is no obstacle');
select is(tests.after('{"phase": "error", "reason": null}'), 'error unspecified, succeeded', 'nor is none');
select is(tests.after('{"phase": "starting", "settled": false}'), 'starting, succeeded', 'it is started again');
select is(tests.after('{"container_id": "def", "image_digest": "sha256:2", "ports": []}'), 'running, succeeded', 'and runs');
select results_eq($$ select (i).container_id, (i).image_digest, (i).port_mapping_json from (select tests.instance() as i) a $$, $$ values ('def', 'sha256:2', '[]'::jsonb) $$, 'as another container');
select results_eq('select tests.new_events()', array['agent observe running->error', 'agent observe error->error', 'agent observe error->error',
  'agent observe error->starting', 'agent observe starting->running'], 'told as the agent''s');
select is(actor_id::text || ' ' || request_id, 'e0000000-0000-4000-8000-000000000001 req-heartbeat', 'of this toolbox, in this request') from tool_instance_events order by id desc limit 1;
update account_tool_instances set desired_status = 'stopped' where id = 'c0000000-0000-4000-8000-000000000001';
update account_tool_instances set desired_status = 'running' where id = 'c0000000-0000-4000-8000-000000000001';
select results_eq('select tests.new_events() offset 5', array['database update running->running', 'database update running->running'], 'a heartbeat speaks for its own writes only');
select is(tests.after('{"phase": "stopped", "settled": true, "container_id": "def"}'), 'stopped, succeeded', 'stopped by hand');
select is(tests.after('{"container_id": "def"}'), 'running, succeeded', 'and run by hand');

-- Two reports of one instance: the later counts.
select tests.heartbeat(jsonb_build_object('instances', jsonb_build_array(tests.report('{"phase": "stopped"}'), tests.report()))) \g /dev/null
select is(tests.status(), 'running', 'the later report of an instance counts');

-- An operation under way
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select is(tests.after('{}'), 'stopping, in_progress', 'a report from before the command is no news');
select is(tests.after('{"phase": "error", "reason": {"code": "exited", "message": "x"}}'), 'stopping, in_progress', 'not even a failure');
select is(tests.after('{"generation": 2, "phase": "stopping", "settled": false}'), 'stopping, in_progress', 'on the way');
select is(tests.after('{"generation": 2, "phase": null}'), 'stopping, in_progress', 'that nothing is there yet, or any more, is for the operation to say');
select is(tests.after('{"generation": 3, "phase": "stopped"}'), 'stopping, in_progress', 'another generation is not its end');
select is(tests.after('{"generation": 2, "phase": "stopped"}'), 'stopped, succeeded', 'its end is');
select results_eq('select tests.new_events() offset 10', array['user stop running->stopping', 'agent stop stopping->stopped'], 'under the operation''s name');
select is(request_id, 'req-begin', 'and request') from tool_instance_events order by id desc limit 1;

-- Restart, step by step and in one
select tests.begin('{"action": "restart", "to_status": "starting"}') \g /dev/null
select is(tests.after('{"generation": 3, "phase": "creating", "settled": false}'), 'deploying, in_progress', 'a start that has to re-create the container');
select is(tests.after('{"generation": 3, "phase": "starting", "settled": false, "container_id": null, "ports": []}'), 'starting, in_progress', 'goes on');
select is((tests.instance()).container_id, 'abc', 'what is still changing is not kept');
select is(tests.after('{"generation": 3, "settled": false}'), 'running, in_progress', 'runs, and is still watched');
select is(tests.after('{"generation": 3}'), 'running, succeeded', 'and ends');
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
select is(tests.after('{"generation": 4, "phase": "error", "settled": false, "reason": {"code": "exited", "message": "x"}}'), 'stopping, in_progress', 'a failure the agent still fights is not the end');
select is(tests.after('{"generation": 4, "phase": "error", "reason": {"code": "start_failed", "message": "x"}}'), 'error start_failed, failed start_failed', 'one it gave up on is');

-- Leases
select tests.begin('{}') \g /dev/null
select tests.expire_leases() \g /dev/null
select is(tests.after('{"generation": 5, "phase": "starting", "settled": false}'), 'starting, in_progress', 'a late step');
select is(tests.after('{"generation": 5}'), 'running, succeeded', 'a late outcome is still the outcome');
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
select tests.expire_leases() \g /dev/null
select is(tests.after('{"generation": 6, "phase": null}'), 'error container_missing, failed container_missing', 'an operation whose container is gone fails');

-- Updates
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "bad:1"}}') \g /dev/null
select is(tests.after('{"generation": 7, "rolled_back": true, "reason": {"code": "exited", "message": "exit 1"}}'), 'running, failed exited', 'an update is rolled back');
select results_eq($$ select (i).docker_image_url, (i).generation from (select tests.instance() as i) a $$, $$ values ('ghcr.io/x/y:1.2', 8::bigint) $$,
  'to the spec before, as a generation of its own: the update''s names another');
select is(tests.after('{"generation": 7, "rolled_back": true, "reason": {"code": "exited", "message": "exit 1"}}'), 'running, failed exited', 'told again');
select is((tests.instance()).generation, 8::bigint, 'it is old');
select is(tests.after('{"generation": 8}'), 'running, failed exited', 'until the agent has the new generation');
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "late:1"}}') \g /dev/null
select tests.expire_leases() \g /dev/null
select private.abandon_expired_operations('c0000000-0000-4000-8000-000000000001') \g /dev/null
select isnt((tests.last_operation()).previous_spec, null, 'an abandoned update keeps its way back');
select is(tests.after('{"generation": 9, "phase": "pulling", "settled": false}'), 'deploying, abandoned', 'while it is under way');
select is(tests.after('{"generation": 9, "settled": false}'), 'running, abandoned', 'and watched');
select is(tests.after('{"generation": 9, "rolled_back": true, "reason": {"code": "exited", "message": "exit 1"}}'), 'running, abandoned', 'it is rolled back after all');
select results_eq($$ select (i).docker_image_url, (i).generation, (tests.last_operation()).previous_spec from (select tests.instance() as i) a $$,
  $$ values ('ghcr.io/x/y:1.2', 10::bigint, null::jsonb) $$, 'the spec too, and the way back is erased');
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "good:1"}}') \g /dev/null
select tests.expire_leases() \g /dev/null
select private.abandon_expired_operations('c0000000-0000-4000-8000-000000000001') \g /dev/null
select is(tests.after('{"generation": 11}'), 'running, abandoned', 'one that succeeded late');
select is((tests.instance()).docker_image_url || coalesce((tests.last_operation()).previous_spec::text, ''), 'good:1', 'has no way back either');
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "worse:1"}}') \g /dev/null
select tests.expire_leases() \g /dev/null
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "fine:1"}}') \g /dev/null
select is(count(*), 1::bigint, 'a new command ends the way back of the one before') from tool_instance_operations where previous_spec is not null;
select is(tests.after('{"generation": 13}'), 'running, succeeded', 'and goes on as ever');

-- Deployed again under the same spec, and given up for what ran before: the tag names what does not start
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "fine:1"}}') \g /dev/null
select is(tests.after('{"generation": 14, "reason": {"code": "exited", "message": "exit 1"}}'), 'running, failed exited', 'a redeploy that failed did not succeed');
select is((tests.last_operation()).previous_spec, null, 'and has nothing to go back to');
select is(tests.after('{"generation": 14}'), 'running, failed exited', 'it runs');

-- Docker away while an update is under way: it has failed for its caller, and goes on
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "slow:1"}}') \g /dev/null
select is(tests.after('{"generation": 15, "phase": "error", "reason": {"code": "docker_unreachable", "message": "x"}}'), 'error docker_unreachable, failed docker_unreachable', 'an update meets no Docker');
select isnt((tests.last_operation()).previous_spec, null, 'and keeps its way back');
select ctid as version from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001' \gset
select tests.tell('{"generation": 15, "phase": "error", "reason": {"code": "docker_unreachable", "message": "x"}}') \g /dev/null
select is((select ctid from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001'), :'version'::tid, 'without a write for each heartbeat that says so');
select is(tests.after('{"generation": 15, "phase": "creating", "settled": false}'), 'deploying, failed docker_unreachable', 'it goes on');
select is(tests.after('{"generation": 15, "rolled_back": true, "reason": {"code": "exited", "message": "exit 1"}}'), 'running, failed docker_unreachable', 'and is rolled back');
select results_eq($$ select (i).docker_image_url, (i).generation, (tests.last_operation()).previous_spec from (select tests.instance() as i) a $$,
  $$ values ('fine:1', 16::bigint, null::jsonb) $$, 'in the row too');
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "slow:1"}}') \g /dev/null
select tests.after('{"generation": 17, "phase": "error", "reason": {"code": "docker_unreachable", "message": "x"}}') \g /dev/null
select is(tests.after('{"generation": 17}'), 'running, failed docker_unreachable', 'or succeeds after all');
select is((tests.instance()).docker_image_url || coalesce((tests.last_operation()).previous_spec::text, ''), 'slow:1', 'and has no way back any more');

-- A roll-back without a way back: a later command had erased it, or what was put back fails too
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "worst:1"}}') \g /dev/null
select tests.expire_leases() \g /dev/null
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select is(tests.after('{"generation": 19, "rolled_back": true, "settled": false}'), 'running, in_progress', 'while it is under way it is what it is');
select is(tests.after('{"generation": 19, "rolled_back": true, "reason": {"code": "exited", "message": "exit 1"}}'), 'error exited, failed exited',
  'what runs is not what the row says: an error, with the reason');
select ctid as version from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001' \gset
select is(tests.after('{"generation": 19, "rolled_back": true, "reason": {"code": "exited", "message": "exit 1"}}'), 'error exited, failed exited', 'and stays one');
select is((select ctid from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001'), :'version'::tid, 'without a write');
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select is(tests.after('{"generation": 20}'), 'running, succeeded', 'until a command gets it to run');

-- Left out
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select tests.a_minute_later() \g /dev/null
select tests.expire_leases() \g /dev/null
select is(tests.unnamed('{"full": true}'), 'stopped, abandoned', 'a heartbeat that leaves an instance out may be older than its command: it ends no operation');
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select is(tests.after('{"generation": 22}'), 'running, succeeded', 'a report by name does');

-- Lost
select is(tests.after('{"generation": 22, "phase": null}'), 'error container_missing, succeeded', 'an instance that is gone');
select is(tests.after('{"generation": 22, "phase": null}'), 'error container_missing, succeeded', 'stays gone');
select is(tests.after('{"generation": 22}'), 'running, succeeded', 'and may come back');
select tests.a_minute_later() \g /dev/null
select is(tests.unnamed('{"full": true, "docker_reachable": false}'), 'running, succeeded', 'without Docker nobody knows what is there');
select is(tests.unnamed('{"full": false}'), 'running, succeeded', 'nor does a heartbeat that tells of changes only');
select is(tests.after('{"generation": 22}', '{"full": true}'), 'running, succeeded', 'a full one that names it finds it');
select is(tests.unnamed('{"full": true}'), 'error container_missing, succeeded', 'one that does not, does not');
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select tests.a_minute_later() \g /dev/null
select is(tests.unnamed('{"full": true}'), 'starting, in_progress', 'not while a command is on its way');
select is(tests.after('{"generation": 23}'), 'running, succeeded', 'which arrives');
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select tests.after('{"generation": 24, "phase": "stopped"}') \g /dev/null
select tests.a_minute_later() \g /dev/null
select is(tests.unnamed('{"full": true}'), 'stopped, succeeded', 'what should not run may be gone');

-- An agent ahead of the database, which was restored from a backup
select is(tests.after('{"generation": 40, "phase": "stopped"}'), 'stopped, succeeded', 'what it shows is true all the same');
select is((tests.instance()).generation, 41::bigint, 'and what is desired is newer than what it has');
select is(tests.after('{"generation": 9007199254740991, "phase": "running"}'), 'stopped, succeeded', 'the counter is not pushed to its end');
select is(tests.after('{"generation": 41, "phase": "stopped"}'), 'stopped, succeeded', 'then they agree');

select tests.begin('{"action": "stop", "to_status": "stopped", "desired_status": "stopped"}') \g /dev/null
select tests.expire_leases() \g /dev/null
select is(tests.after('{"generation": 50, "phase": "stopped"}'), 'stopped, abandoned', 'an operation of a generation that is past ends with its lease');

-- Deleted
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select is(tests.after('{"generation": 51, "phase": null}'), 'pending_delete, in_progress', 'an absence from before the command ends no deletion');
select is(tests.after('{"generation": 52}'), 'pending_delete, in_progress', 'nor does a container that still is something');
select is(tests.after('{"generation": 52, "phase": "removing", "settled": false}'), 'deleting, in_progress', 'it is being removed');
select tests.a_minute_later() \g /dev/null
select tests.expire_leases() \g /dev/null
select is(tests.unnamed('{"full": true}'), 'deleting, in_progress', 'leaving it out ends no deletion: a deploy may still be on its way');
select is(tests.after('{"generation": 52, "phase": "error", "reason": {"code": "remove_failed", "message": "busy"}}'), 'error remove_failed, failed remove_failed', 'a removal may fail');
select is(tests.after('{"generation": 52, "phase": null}'), 'gone, failed remove_failed', 'and come about later');
select results_eq('select tests.new_events() offset (select count(*) from tests.new_events()) - 3',
  array['agent observe error->pending_delete', 'agent observe pending_delete->deleting', 'agent observe deleting->none'], 'by the legal way');
select is(tests.tell('{"generation": 52, "phase": null}') -> 'unknown', '["c0000000-0000-4000-8000-000000000001"]', 'afterwards it is unknown, and may be forgotten');

select tests.deploy('c0000000-0000-4000-8000-000000000001', 'again') \g /dev/null
select is(tests.after('{"phase": null}'), 'deploying, in_progress', 'a deploy that has not arrived');
select is(tests.after('{"phase": "pulling", "settled": false}'), 'deploying, in_progress', 'has arrived');
select is(tests.after('{"phase": "stopped"}'), 'stopped, succeeded', 'and is done');
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select is(tests.after('{"generation": 2, "phase": null}'), 'gone, succeeded', 'a deletion');
select tests.deploy('c0000000-0000-4000-8000-000000000001', 'once more') \g /dev/null
select tests.expire_leases() \g /dev/null
select tests.a_minute_later() \g /dev/null
select is(tests.unnamed('{"full": true}'), 'error container_missing, abandoned',
  'a deploy that never arrived is an error, but no heartbeat that leaves it out ends its operation');

-- No event of all this is illegal: each begins where the one before ended.
select is_empty(
  $$ select * from (select from_status, lag(to_status) over (order by id) as before from tool_instance_events
     where tool_instance_id = 'c0000000-0000-4000-8000-000000000001') e where from_status is distinct from before and before is not null $$, 'the history has no gap');

select * from finish();
rollback;
