begin;
\ir setup.psql
select no_plan();

-- An agent's observation without an operation.
select is(tests.record('{"generation": 1, "expected_status": "running", "observed": {"container_id": "new"}}') #>> '{instance,container_id}', 'new', 'an observation is stored');
select is((tests.instance()).image_digest, 'sha256:1', 'an absent key keeps what was known');
select is(tests.record('{"generation": 1, "expected_status": "running", "observed": {"image_digest": null, "observed_at": "9999-01-01T00:00:00Z"}}') #>> '{instance,image_digest}', null, 'a null erases it');
select cmp_ok((tests.instance()).last_observed_at, '<=', clock_timestamp(), 'a clock that runs ahead does not reach into the future');
select is(tests.record('{"generation": 1, "expected_status": "running", "observed": {"container_id": null, "ports": []}}') #>> '{instance,port_mapping_json}', '[]', 'ports are replaced');
select is(tests.record('{"generation": 1, "expected_status": "running", "steps": [{"status": "error", "reason_code": "exited", "reason": "Exit code 137"}]}') ->> 'outcome', 'recorded', 'a crash is recorded');
select results_eq('select tests.new_events()', array['agent observe running->error'], 'as an observation');
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
select is(tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "running"}]}') ->> 'outcome', 'stale', 'an observer waits for the operation that runs');
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
  'recorded', 'an outcome without a step needs no expected status');
select is((tests.last_operation()).state, 'succeeded', 'and ends it');
select is(tests.record(jsonb_build_object('generation', 2, 'expected_status', 'stopped', 'operation_id', (tests.last_operation()).id, 'steps', '[{"status": "running"}]'::jsonb)) ->> 'outcome',
  'stale', 'a finished operation records no more');

-- Another process may bring the news: same generation, with an outcome.
select tests.begin('{}') \g /dev/null
select is(tests.record('{"generation": 3, "expected_status": "starting", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') ->> 'outcome', 'recorded', 'an agent''s report ends the operation');
select is((tests.last_operation()).state, 'succeeded', 'with its outcome');
select results_eq('select tests.new_events() offset 4', array['user stop running->stopping', 'control_plane stop stopping->stopped', 'user start stopped->starting', 'agent start starting->running'],
  'its events carry the operation''s name');

-- Leases
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress';
select is(tests.record(jsonb_build_object('generation', 4, 'expected_status', 'stopping', 'operation_id', (tests.last_operation()).id, 'steps', '[{"status": "stopped"}]'::jsonb)) ->> 'outcome',
  'recorded', 'a late writer still records while nobody took over');
select is(tests.record('{"generation": 4, "expected_status": "stopped", "steps": [{"status": "starting"}, {"status": "running"}]}') ->> 'outcome', 'recorded', 'an observer takes over after the lease');
select is((tests.last_operation()).state, 'abandoned', 'which ends the operation');
select results_eq('select tests.new_events() offset 10', array['control_plane lease_expired stopped->stopped', 'agent observe stopped->starting', 'agent observe starting->running'], 'visibly');
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
  $$ values ('error', 'exited', '8', 'old') $$, 'a roll-back without a way back');
select tests.begin('{"action": "start", "to_status": "starting"}') \g /dev/null
select tests.record('{"generation": 9, "expected_status": "starting", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null

-- An agent ahead of a restored database
select is(tests.record('{"generation": 40, "expected_status": "running"}') #>> '{instance,generation}', '40', 'the database catches up with the agent');
select is(tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') #>> '{operation,generation}', '41', 'so that the next command is not stale there');

-- but not however far: the last generation there is could be followed by none.
select throws_ok($$ select tests.record('{"generation": 1000042, "expected_status": "stopping"}') $$, '22023', null, 'a million and one ahead is no backup');
select throws_ok($$ select tests.record('{"generation": 9007199254740991, "expected_status": "stopping"}') $$, '22023', null, 'nor is the last generation of all');
select is((tests.instance()).generation, 41::bigint, 'and nothing is taken over');

-- Old news
select tests.record('{"generation": 41, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.record('{"generation": 40, "expected_status": "stopped", "steps": [{"status": "running"}]}') ->> 'outcome', 'stale', 'an older generation is stale also when nothing runs');
select tests.begin('{"action": "restart", "to_status": "starting"}') \g /dev/null
select tests.record('{"generation": 42, "expected_status": "starting", "steps": [{"status": "stopping"}]}') \g /dev/null
select is((tests.instance()).status_on_toolbox::text, 'starting', 'nor may an observer get ahead of the operation');
select tests.record('{"generation": 42, "expected_status": "starting", "steps": [{"status": "stopping"}], "operation_result": {"state": "succeeded"}}') \g /dev/null

-- Refusals
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select throws_ok(format('select tests.record(%L)', v), '22023', null, 'refused: ' || v) from unnest(array[
  '{"generation": null}', '{"generation": 1, "actor_kind": null}', '{"generation": 0}', '{"generation": 9007199254740993}',
  '{"generation": 43, "steps": [{"status": "stopped"}]}', '{"generation": 43, "remove_row": true}',
  '{"generation": 43, "expected_status": "stopping", "steps": [{"status": "error"}], "operation_result": {"state": "failed", "error_code": "x", "error_message": "y"}}',
  '{"generation": 43, "operation_result": {"state": "failed"}}', '{"generation": 43, "operation_result": {"state": "perhaps"}}']) v;
select throws_ok($$ select tests.record('{"generation": 43, "expected_status": "stopping", "steps": [{"status": "deploying"}], "operation_result": {"state": "succeeded"}}') $$, '23514',
  'Illegal transition of an instance: stopping -> deploying', 'an illegal step fails the whole record');
select is((tests.last_operation()).state, 'in_progress', 'its outcome included');
select throws_ok($$ select tests.record('{"generation": 43, "expected_status": "stopping", "remove_row": true, "operation_result": {"state": "succeeded"}}') $$, '23514', null, 'a row that is not being deleted stays');
select throws_ok($$ select tests.record('{"generation": 43, "expected_status": "stopping", "actor_kind": "ghost", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') $$, '23514', null, 'an actor must be known');

-- Gone
select is(tests.record('{"instance_id": "c0000000-0000-4000-8000-0000000000ff", "generation": 1}'), '{"outcome": "not_found"}', 'an unknown instance');
select tests.record('{"generation": 43, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.record('{"generation": 1000043, "expected_status": "stopped"}') #>> '{instance,generation}', '1000043', 'the furthest an agent may be ahead leaves room for a deletion');
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select is(tests.record(jsonb_build_object('generation', 1000044, 'expected_status', 'pending_delete', 'operation_id', (tests.last_operation()).id, 'steps', '[{"status": "deleting"}]'::jsonb,
  'remove_row', true)), '{"outcome": "recorded", "instance": null}', 'a deleted row goes');
select is(tests.record(jsonb_build_object('generation', 1000044, 'operation_id', (tests.last_operation()).id, 'operation_result', '{"state": "succeeded"}'::jsonb)) ->> 'outcome', 'not_found', 'a later outcome finds no row');
select is((tests.last_operation()).state, 'succeeded', 'and is kept all the same');

select * from finish();
rollback;
