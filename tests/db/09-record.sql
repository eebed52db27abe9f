begin;
\ir setup.psql
select no_plan();

-- An agent's observation without an operation.
select is(tests.record('{"generation": 1, "expected_status": "running", "observed": {"container_id": "new"}}') #>> '{instance,container_id}', 'new', 'an observation is stored');
select is((tests.instance()).image_digest, 'sha256:1', 'an absent key keeps what was known');
select is(tests.record('{"generation": 1, "expected_status": "running", "observed": {"image_digest": null}}') #>> '{instance,image_digest}', null, 'a null erases it');
select ok((tests.instance()).last_observed_at between now() and clock_timestamp(), 'at the time of the database, whatever other clocks say');
select is(tests.record('{"generation": 1, "settled": false, "steps": []}') ->> 'outcome', 'recorded', 'progress may bring nothing');
select is((tests.instance()).port_mapping_json, '[{"container_port": 8080}]', 'and keeps what was known');
select is(tests.record('{"generation": 1, "expected_status": "running", "observed": {"container_id": null, "ports": []}}') #>> '{instance,port_mapping_json}', '[]', 'ports are replaced');
select is(tests.record('{"generation": 1, "expected_status": "running", "request_id": "req-record", "steps": [{"status": "error", "reason_code": "exited", "reason": "Exit code 137"}]}') ->> 'outcome', 'recorded', 'a crash is recorded');
select results_eq('select tests.new_events()', array['agent observe running->error'], 'as an observation');
select is(actor_id::text || ' ' || request_id, 'e0000000-0000-4000-8000-000000000001 req-record', 'of this toolbox, in this request') from tool_instance_events order by id desc limit 1;
update account_tool_instances set desired_status = 'stopped' where id = 'c0000000-0000-4000-8000-000000000001';
update account_tool_instances set desired_status = 'running' where id = 'c0000000-0000-4000-8000-000000000001';
select results_eq('select tests.new_events() offset 1', array['database update error->error', 'database update error->error'], 'a record speaks for its own writes only');
select is(tests.record('{"generation": 1, "expected_status": "error", "steps": [{"status": "error", "reason_code": "out_of_memory", "reason": "Killed"}]}') #>> '{instance,instance_error_code}',
  'out_of_memory', 'a better reason replaces the first');
select is(length(tests.record(jsonb_build_object('generation', 1, 'expected_status', 'error', 'steps',
  jsonb_build_array(jsonb_build_object('status', 'error', 'reason_code', 'exited', 'reason', repeat('x', 9000))))) #>> '{instance,instance_error_message}'), 4000, 'a reason is cut, not refused');
select is(tests.record('{"generation": 1, "expected_status": "error", "steps": [{"status": "running"}]}') #>> '{instance,instance_error_message}', null, 'leaving error clears the reason');

-- Stale
select is(tests.record('{"generation": 1, "expected_status": "stopped", "steps": [{"status": "starting"}]}') ->> 'outcome', 'stale', 'another status than expected is stale');
select is(tests.record('{"generation": 1, "expected_status": "stopped", "steps": [{"status": "starting"}]}') #>> '{instance,status_on_toolbox}', 'running', 'and the answer tells the truth');
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select is(tests.record('{"generation": 1, "expected_status": "stopping", "steps": [{"status": "running"}]}') ->> 'outcome', 'stale', 'an older generation is stale');
select is(tests.record('{"generation": 2, "expected_status": "stopping", "only_idle": true, "steps": [{"status": "running"}]}') ->> 'outcome', 'stale', 'an observer waits for the operation that runs');
select is(tests.record('{"generation": 2, "expected_status": "stopping", "operation_id": "00000000-0000-4000-8000-000000000000", "steps": [{"status": "stopped"}]}') ->> 'outcome',
  'stale', 'the writer of an unknown operation is stale');
select is(tests.record(jsonb_build_object('generation', 3, 'expected_status', 'stopping', 'operation_id', (tests.last_operation()).id)) ->> 'outcome', 'stale',
  'an operation records its own generation only');
select is(tests.record('{"generation": 3, "expected_status": "stopping", "operation_result": {"state": "succeeded"}}') ->> 'outcome', 'stale',
  'nor does an observer close an operation of another generation');
select is((tests.instance()).status_on_toolbox::text, 'stopping', 'a stale record writes nothing');
select is((tests.last_operation()).state, 'in_progress', 'and ends nothing');

-- The operation's own record, in steps, then closing.
select is(tests.record(jsonb_build_object('generation', 2, 'expected_status', 'stopping', 'operation_id', (tests.last_operation()).id,
  'actor_kind', 'control_plane', 'steps', '[{"status": "stopped"}]'::jsonb)) ->> 'outcome', 'recorded', 'a step without an outcome leaves the operation running');
select is((tests.last_operation()).state, 'in_progress', 'as it says');
select is(tests.record(jsonb_build_object('generation', 2, 'operation_id', (tests.last_operation()).id, 'operation_result', '{"state": "succeeded"}'::jsonb)) ->> 'outcome',
  'recorded', 'an outcome may come without a step');
select is((tests.last_operation()).state, 'succeeded', 'and ends it');
select is(tests.record(jsonb_build_object('generation', 2, 'expected_status', 'stopped', 'operation_id', (tests.last_operation()).id, 'steps', '[{"status": "running"}]'::jsonb)) ->> 'outcome',
  'stale', 'a finished operation records no more');

-- Another process may bring the news: same generation, with an outcome.
select tests.begin('{}') \g /dev/null
select is(tests.record('{"generation": 3, "expected_status": "starting", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') ->> 'outcome', 'recorded', 'an agent''s report ends the operation');
select is((tests.last_operation()).state, 'succeeded', 'with its outcome');
select results_eq('select tests.new_events() offset 6', array['user stop running->stopping', 'control_plane stop stopping->stopped', 'user start stopped->starting', 'agent start starting->running'],
  'its events carry the operation''s name');

-- Leases
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress';
select is(tests.record(jsonb_build_object('generation', 4, 'expected_status', 'stopping', 'operation_id', (tests.last_operation()).id, 'steps', '[{"status": "stopped"}]'::jsonb)) ->> 'outcome',
  'recorded', 'a late writer still records while nobody took over');
select is(tests.record('{"generation": 4, "expected_status": "stopped", "steps": [{"status": "starting"}, {"status": "running"}]}') ->> 'outcome', 'recorded', 'an observer takes over after the lease');
select is((tests.last_operation()).state, 'abandoned', 'which ends the operation');
select results_eq('select tests.new_events() offset 12', array['control_plane lease_expired stopped->stopped', 'agent observe stopped->starting', 'agent observe starting->running'], 'visibly');
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress';
select tests.record('{"generation": 5, "expected_status": "stopping", "steps": [{"status": "starting"}, {"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is((tests.last_operation()).state, 'succeeded', 'a late outcome is still the outcome');

-- A failed update goes back.
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "bad:1"}}') \g /dev/null
select is(tests.record(jsonb_build_object('generation', 6, 'expected_status', 'deploying', 'operation_id', (tests.last_operation()).id, 'restore_previous_spec', true,
  'steps', '[{"status": "running"}]'::jsonb, 'operation_result', '{"state": "failed", "error_code": "exited", "error_message": "Exit code 1"}'::jsonb)) #>> '{instance,docker_image_url}',
  'ghcr.io/x/y:1.2', 'the old spec is back');
select is((tests.instance()).spec #>> '{env,TOKEN,value}', 'SECRET', 'as it was');
select results_eq('select (o).state, (o).error_code, (o).previous_spec from (select tests.last_operation() as o) a', $$ values ('failed', 'exited', null::jsonb) $$, 'the operation failed with the reason');
select is((tests.instance()).status_on_toolbox::text, 'running', 'while the instance runs');

-- One that nothing is known to go back to is an error: the row's spec is not what runs.
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select results_eq($$ select i ->> 'status_on_toolbox', i ->> 'instance_error_code', i ->> 'generation', i ->> 'container_id' from (
    select tests.record(jsonb_build_object('generation', 8, 'expected_status', 'starting', 'operation_id', (tests.last_operation()).id, 'restore_previous_spec', true,
      'observed', '{"container_id": "old", "ports": [], "observed_at": "2026-01-01T00:00:00Z"}'::jsonb, 'steps', '[{"status": "running"}]'::jsonb,
      'operation_result', '{"state": "failed", "error_code": "exited", "error_message": "Exit code 1"}'::jsonb)) -> 'instance' as i) r $$,
  $$ values ('error', 'exited', '8', 'old') $$, 'a roll-back without a spec to return to');
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select tests.record('{"generation": 9, "expected_status": "starting", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null

-- An agent ahead of a restored database
select is(tests.record('{"generation": 40}') #>> '{instance,generation}', '41', 'what is desired becomes newer than what an agent has that is ahead');
select is(tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') #>> '{operation,generation}', '42', 'so that the next command is not stale there');

-- Old news
select tests.record('{"generation": 42, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.record('{"generation": 41, "expected_status": "stopped", "steps": [{"status": "running"}]}') ->> 'outcome', 'stale', 'an older generation is stale also when nothing runs');
select is(tests.record('{"generation": 43, "expected_generation": 41, "steps": [{"status": "running"}]}') ->> 'outcome', 'stale', 'so is what was decided of an older one, whatever was seen');

-- Ahead, but not however far: the last generation there is could be followed by none.
select is(tests.record(v::jsonb) ->> 'outcome', 'stale', 'nobody can have asked for it: ' || v)
from unnest(array['{"generation": 1000043}', '{"generation": 9007199254740991}', '{"generation": 9007199254740993}']) v;
select is((tests.instance()).generation, 42::bigint, 'and nothing is taken over');

-- An operation under way: its own progress counts, and what it says of its end.
select tests.begin('{"action": "restart", "to_status": "starting"}') \g /dev/null
select is(tests.record('{"generation": 43, "only_idle": true, "steps": [{"status": "stopping"}]}') ->> 'outcome', 'stale', 'nor may an observer get ahead of the operation');
select is(tests.record('{"generation": 44, "settled": false, "steps": [{"status": "deploying"}]}') ->> 'outcome', 'stale', 'another generation is not its progress');
select is(tests.record('{"generation": 43, "settled": false, "steps": [{"status": "stopping"}]}') ->> 'outcome', 'recorded', 'its own is');
select is((tests.last_operation()).state, 'in_progress', 'and ends nothing');
select is(tests.record('{"generation": 43}') ->> 'outcome', 'recorded', 'nor does a settled state that is not its end');
select is((tests.last_operation()).state, 'in_progress', 'while its lease lives');
select is(tests.record('{"generation": 43, "request_id": "req-other", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') ->> 'outcome', 'recorded', 'its end is');
select is(action || ' ' || request_id, 'restart req-begin', 'told under its name and its request') from tool_instance_events order by id desc limit 1;

-- Its lease is over: it goes on as long as its progress is seen.
create function tests.late(p jsonb) returns text language plpgsql as $$
begin
  if (tests.last_operation()).state <> 'in_progress' then
    perform tests.begin('{"action": "restart", "to_status": "starting"}');
    update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress';
  end if;
  perform tests.record(jsonb_build_object('generation', (tests.instance()).generation) || p);
  return concat_ws(', ', (tests.instance()).status_on_toolbox, (tests.last_operation()).state, (tests.last_operation()).error_code);
end $$;
select is(tests.late('{"settled": false, "steps": [{"status": "deploying"}]}'), 'deploying, in_progress', 'late progress');
select is(tests.late('{"steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}'), 'running, succeeded', 'a late end is still its end');
select is(tests.late('{"only_idle": true, "steps": [{"status": "error", "reason_code": "container_missing", "reason": "x"}]}'), 'error, abandoned', 'a state that lasts and is no end ends it');
select is(tests.late('{"only_idle": true, "steps": [{"status": "error", "reason_code": "container_missing", "reason": "x"}],
  "operation_result": {"state": "failed", "error_code": "container_missing", "error_message": "x"}}'), 'error, failed, container_missing', 'one that is its end fails it');
select is(tests.late(jsonb_build_object('generation', (tests.instance()).generation + 5, 'settled', false)), 'starting, abandoned', 'another generation ends it');

-- What an update may go back to, once it has ended without a verdict
create function tests.update_without_verdict(image text) returns bigint language plpgsql as $$
begin
  perform tests.begin(jsonb_build_object('action', 'update', 'to_status', 'deploying', 'spec', jsonb_build_object('image', image)));
  update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress';
  perform private.abandon_expired_operations('c0000000-0000-4000-8000-000000000001');
  return (tests.instance()).generation;
end $$;
create function tests.rolled_back(of bigint) returns text language plpgsql as $$
declare
  state text := tests.record(jsonb_build_object('generation', of, 'restore_previous_spec', true, 'observed', '{"container_id": "old"}'::jsonb,
    'steps', '[{"status": "starting"}, {"status": "running"}]'::jsonb,
    'operation_result', '{"state": "failed", "error_code": "exited", "error_message": "exit 1"}'::jsonb)) ->> 'outcome';
begin
  return concat_ws(' ', state, (tests.instance()).status_on_toolbox, (tests.instance()).docker_image_url, (tests.instance()).generation - of,
    (tests.last_operation()).state, (tests.last_operation()).previous_spec);
end $$;
select tests.record(jsonb_build_object('generation', (tests.instance()).generation, 'steps', '[{"status": "running"}]'::jsonb)) \g /dev/null
select tests.update_without_verdict('late:1') as generation \gset
select isnt((tests.last_operation()).previous_spec, null, 'an abandoned update keeps the spec before it');
select is(tests.rolled_back(:generation), 'recorded running ghcr.io/x/y:1.2 1 abandoned', 'it is rolled back after all, and that spec is erased');
select tests.update_without_verdict('good:1') as generation \gset
select tests.record(jsonb_build_object('generation', :generation, 'steps', '[{"status": "running"}]'::jsonb, 'operation_result', '{"state": "succeeded"}'::jsonb)) \g /dev/null
select is((tests.instance()).docker_image_url || coalesce((tests.last_operation()).previous_spec::text, ''), 'good:1', 'one that succeeded late keeps no spec before it either');
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "slow:1"}}') #>> '{operation,generation}' as generation \gset
select tests.record(jsonb_build_object('generation', :generation, 'steps', '[{"status": "error", "reason_code": "docker_unreachable", "reason": "x"}]'::jsonb,
  'operation_result', '{"state": "failed", "error_code": "docker_unreachable", "error_message": "x"}'::jsonb)) \g /dev/null
select isnt((tests.last_operation()).previous_spec, null, 'one that failed in error keeps it: the error may pass');
select tests.record(jsonb_build_object('generation', :generation, 'settled', false, 'steps', '[{"status": "deploying"}]'::jsonb)) \g /dev/null
select is(tests.rolled_back(:generation), 'recorded running good:1 1 failed', 'and is rolled back then');
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "good:1"}}') #>> '{operation,generation}' as generation \gset
select tests.record(jsonb_build_object('generation', :generation, 'steps', '[{"status": "running"}]'::jsonb,
  'operation_result', '{"state": "failed", "error_code": "exited", "error_message": "x"}'::jsonb)) \g /dev/null
select is((tests.last_operation()).previous_spec, null, 'one that failed while the tool runs has nothing to go back to');
select is(tests.rolled_back(:generation), 'recorded error good:1 0 failed', 'a roll-back that nobody knows the way of is an error');
select tests.begin('{}') #>> '{operation,generation}' as generation \gset
select tests.record(jsonb_build_object('generation', :generation, 'steps', '[{"status": "running"}]'::jsonb, 'operation_result', '{"state": "succeeded"}'::jsonb)) \g /dev/null

-- A batch: each item by itself, in their order.
select tests.deploy('c0000000-0000-4000-8000-00000000000b', 'another') \g /dev/null
create function tests.item(id text, p jsonb) returns jsonb language sql as $$
  select jsonb_build_object('instance_id', id, 'actor_kind', 'agent', 'settled', true, 'generation', (i).generation, 'expected_generation', (i).generation,
    'expected_status', (i).status_on_toolbox) || p
  from (values (tests.of(jsonb_build_object('instance_id', id)))) as v (i)
$$;
select results_eq($$ select r ->> 'outcome', r #>> '{instance,id}', r #>> '{instance,status_on_toolbox}', r -> 'instance' ? 'spec'
  from jsonb_array_elements(record_tool_instance_states(jsonb_build_object('items', jsonb_build_array(
    tests.item('c0000000-0000-4000-8000-00000000000b', '{"steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}'),
    tests.item('c0000000-0000-4000-8000-0000000000ff', '{"generation": 1, "expected_generation": 1, "expected_status": "running"}'),
    tests.item('c0000000-0000-4000-8000-000000000001', '{"expected_status": "stopped", "steps": [{"status": "starting"}]}')))) -> 'results') r $$,
  $$ values ('recorded', 'c0000000-0000-4000-8000-00000000000b', 'stopped', false), ('not_found', null, null, null),
     ('stale', 'c0000000-0000-4000-8000-000000000001', 'running', false) $$, 'each has its own outcome, and no secret');
select is(record_tool_instance_states('{"items": []}'), '{"results": []}', 'none has none');
select is(record_tool_instance_states('{"items": [], "toolbox_id": "e0000000-0000-4000-8000-000000000001"}') ->> 'desired_digest',
  private.desired_digest('e0000000-0000-4000-8000-000000000001'), 'the digest of a toolbox that is named');
select is(record_tool_instance_states(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000002', 'items', jsonb_build_array(
  tests.item('c0000000-0000-4000-8000-000000000001', '{"steps": [{"status": "stopped"}]}')))) #>> '{results,0,outcome}', 'not_found', 'an agent writes nothing of another toolbox');
select is((tests.instance()).status_on_toolbox::text, 'running', 'as it says');

-- Refusals
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') #>> '{operation,generation}' as generation \gset
set local client_min_messages = error;
create function tests.refused(p jsonb) returns text language sql as $$
  select concat_ws(' ', r ->> 'outcome', r ->> 'code', right(r ->> 'instance_id', 1)) from tests.record(jsonb_build_object('generation', (tests.instance()).generation) || p) r
$$;
select is(tests.refused(v::jsonb), 'refused 22023 1', 'refused: ' || v) from unnest(array[
  '{"generation": null}', '{"actor_kind": null}', '{"generation": 0}', '{"settled": null}', '{"expected_status": null}', '{"expected_generation": null}',
  '{"expected_generation": 1000}',
  '{"steps": [{"status": "error"}], "operation_result": {"state": "failed", "error_code": "x", "error_message": "y"}}',
  '{"operation_result": {"state": "failed"}}', '{"operation_result": {"state": "perhaps"}}', '{"restore_previous_spec": true, "observed": {}}']) v;
select throws_ok('select record_tool_instance_states(''{}'')', '22023', null, 'refused: nothing');
select throws_ok($$ select record_tool_instance_states(jsonb_build_object('items', (select jsonb_agg('{}'::jsonb) from generate_series(1, 1001)))) $$, '22023', null, 'refused: too much');
select is(tests.refused('{"expected_status": "stopping", "steps": [{"status": "deploying"}], "operation_result": {"state": "succeeded"}}'), 'refused 23514 1', 'an illegal step fails the whole record');
select is((tests.last_operation()).state, 'in_progress', 'its outcome included');
select is(tests.refused('{"expected_status": "stopping", "remove_row": true, "operation_result": {"state": "succeeded"}}'), 'refused 23514 1', 'a row that is not being deleted stays');
select is(tests.refused('{"expected_status": "stopping", "actor_kind": "ghost", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}'), 'refused 23514 1', 'an actor must be known');

-- One that is refused keeps no other from being recorded, wherever it stands, and leaves nothing behind.
select tests.record('{"instance_id": "c0000000-0000-4000-8000-00000000000b", "generation": 1, "expected_status": "stopped", "steps": [{"status": "running"}]}') \g /dev/null
select results_eq(format($$ select r ->> 'outcome', r ->> 'code' from jsonb_array_elements(record_tool_instance_states(jsonb_build_object('request_id', 'poisoned', 'items', jsonb_build_array(
    tests.item('c0000000-0000-4000-8000-000000000001', %L), tests.item('c0000000-0000-4000-8000-00000000000b', '{"actor_kind": "control_plane", "steps": [{"status": "stopped"}]}'),
    tests.item('c0000000-0000-4000-8000-000000000001', '{"steps": [{"status": "stopped"}, {"status": "nonsense"}]}')))) -> 'results') r $$, poison),
  format($$ values ('refused', %L), ('recorded', null), ('refused', '22P02') $$, code), 'beside ' || poison)
from (values ('{"steps": [{"status": "deploying"}]}', '23514'), ('{"generation": 9223372036854775808}', '22003'), ('{"view_version": {"run": "x", "number": 1}}', '22P02'),
  ('{"observed": {"container_id": "x"}, "steps": [{"status": "error", "reason_code": "No Code", "reason": "x"}]}', '23514')) v (poison, code),
  lateral (select tests.record('{"instance_id": "c0000000-0000-4000-8000-00000000000b", "generation": 1, "steps": [{"status": "starting"}, {"status": "running"}]}') from (select poison) p) r;
select results_eq($$ select distinct tool_instance_id::text, actor_kind, to_status::text from tool_instance_events where request_id = 'poisoned' $$,
  $$ values ('c0000000-0000-4000-8000-00000000000b', 'control_plane', 'stopped') $$, 'only what was recorded is told');
select is((tests.instance()).status_on_toolbox::text || (tests.instance()).container_id, 'stopping' || (tests.instance()).container_id, 'and nothing of the others is written');
set local client_min_messages = warning;

-- Gone
select is(tests.record('{"instance_id": "c0000000-0000-4000-8000-0000000000ff", "generation": 1}'), '{"outcome": "not_found"}', 'an unknown instance');
select tests.record('{"generation": 1, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}'
  || jsonb_build_object('generation', (tests.instance()).generation)) \g /dev/null
select (tests.instance()).generation + 1000000 as furthest \gset
select is((tests.record(jsonb_build_object('generation', :furthest)) #>> '{instance,generation}')::bigint, (:furthest + 1)::bigint, 'the furthest an agent may be ahead leaves room for a deletion');
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select is(tests.record(jsonb_build_object('generation', :furthest + 2, 'expected_status', 'pending_delete', 'operation_id', (tests.last_operation()).id, 'steps', '[{"status": "deleting"}]'::jsonb,
  'remove_row', true)), '{"outcome": "recorded", "instance": null}', 'a deleted row goes');
select is(tests.record(jsonb_build_object('generation', :furthest + 2, 'operation_id', (tests.last_operation()).id, 'operation_result', '{"state": "succeeded"}'::jsonb)) ->> 'outcome', 'not_found', 'a later outcome finds no row');
select is((tests.last_operation()).state, 'succeeded', 'and is kept all the same');

select * from finish();
rollback;
