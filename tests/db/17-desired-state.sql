-- What agents are told to hold, and what is taken back of it.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.desired(p jsonb default '{}') returns jsonb language sql as $$
  select get_desired_state(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'token_hash', repeat('ab', 32)) || p)
$$;

-- The digest: SHA-256 over one line for each instance, as toolbox_api::heartbeat::digest_line writes it.
select is(tests.desired() ->> 'digest', tests.sha256(E'c0000000-0000-4000-8000-000000000001:1:running\n'), 'the digest of one instance');
select is(tests.heartbeat() ->> 'desired_digest', tests.desired() ->> 'digest', 'a heartbeat answers it');
select tests.deploy('0c000000-0000-4000-8000-00000000000a', 'another') \g /dev/null
select tests.deploy('f0000000-0000-4000-8000-00000000000a', 'a third') \g /dev/null
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select is(tests.heartbeat() ->> 'desired_digest', tests.sha256(E'0c000000-0000-4000-8000-00000000000a:1:running\nc0000000-0000-4000-8000-000000000001:2:stopped\n'
  'f0000000-0000-4000-8000-00000000000a:1:running\n'), 'several, in order of their ids, those that have not arrived included');
select is(tests.desired('{"toolbox_id": "e0000000-0000-4000-8000-000000000002"}'), '{"outcome": "unauthorized"}', 'nothing of another toolbox');
select is(tests.desired(format('{"token_hash": "%s"}', repeat('cd', 32))::jsonb), '{"outcome": "unauthorized"}', 'nothing for another key');
select is(
  tests.desired(format('{"token_hash": "%s", "toolbox_id": "e0000000-0000-4000-8000-000000000002"}', repeat('cd', 32))::jsonb),
  jsonb_build_object('outcome', 'found', 'digest', tests.sha256(''), 'instances', '[]'::jsonb), 'a toolbox without instances has the digest of nothing');
select throws_ok(format('select tests.desired(%L)', v), '22023', null, 'refused: ' || v) from unnest(array['{"token_hash": null}', '{"toolbox_id": null}']) v;

-- The instances
select is(jsonb_path_query_array(tests.desired(), '$.instances[*].id'),
  '["0c000000-0000-4000-8000-00000000000a", "c0000000-0000-4000-8000-000000000001", "f0000000-0000-4000-8000-00000000000a"]', 'all of them, in order');
select is(tests.desired() #> '{instances,1}', jsonb_build_object(
  'id', 'c0000000-0000-4000-8000-000000000001', 'generation', 2, 'desired', 'stopped', 'restart', false, 'refresh_image', false, 'name', 'Context7 MCP Server-1750278276605',
  'container_name', 'tool-c0000000', 'spec', (tests.instance()).spec, 'known_ports', '[{"container_port": 8080}]'::jsonb),
  'with all that a deploy takes, and the ports callers know');
select tests.record('{"generation": 2, "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select tests.begin('{"action": "restart", "to_status": "starting"}') \g /dev/null
select is(tests.desired() #>> '{instances,1,restart}', 'true', 'a restart that has not been seen to happen is told');
select is(jsonb_path_query_array(tests.desired(), '$.instances[*].refresh_image'), '[true, false, true]', 'registries are asked again for deployments, not for it');
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where id = (tests.last_operation()).id;
select private.abandon_expired_operations('c0000000-0000-4000-8000-000000000001') \g /dev/null
select is(tests.desired() #>> '{instances,1,restart}', 'true', 'also after its lease: a generation means one thing');
select tests.begin('{"action": "restart", "to_status": "starting"}') \g /dev/null
select tests.record('{"generation": 4, "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.desired() #>> '{instances,1,restart}', 'false', 'until it has');
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select is(tests.desired() #>> '{instances,1,desired}', 'absent', 'a deletion is told');

-- A command that certainly did not happen
select tests.begin('{"action": "stop", "instance_id": "f0000000-0000-4000-8000-00000000000a"}') ->> 'outcome' as outcome \gset
select is(:'outcome'::text, 'in_progress', 'a deploy is under way');
create function tests.take_back(action text, p jsonb, way_back jsonb) returns text language plpgsql as $$
declare
  began jsonb := tests.begin(jsonb_build_object('instance_id', '0c000000-0000-4000-8000-00000000000a', 'action', action) || p);
  ended jsonb := tests.record(jsonb_build_object('instance_id', '0c000000-0000-4000-8000-00000000000a', 'actor_kind', 'control_plane',
    'generation', began #> '{operation,generation}', 'operation_id', began #> '{operation,id}', 'expected_status', p -> 'to_status',
    'operation_result', '{"state": "failed", "error_code": "agent_unreachable", "error_message": "x"}'::jsonb) || way_back);
begin
  return format('%s %s %s %s', ended ->> 'outcome', ended #>> '{instance,desired_status}', ended #>> '{instance,docker_image_url}',
    (ended #>> '{instance,generation}')::int - (began #>> '{operation,generation}')::int);
end $$;
select tests.record('{"instance_id": "0c000000-0000-4000-8000-00000000000a", "generation": 1, "expected_status": "deploying",
  "steps": [{"status": "starting"}, {"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.take_back('stop', '{"to_status": "stopping", "desired_status": "stopped"}', '{"restore_previous_desired": true, "steps": [{"status": "running"}]}'),
  'recorded running ghcr.io/x/y:1.2 1', 'a stop is taken back, under a new generation');
select is(tests.take_back('delete', '{"to_status": "pending_delete", "desired_status": "absent"}',
  '{"restore_previous_desired": true, "steps": [{"status": "error", "reason_code": "x", "reason": "y"}]}'), 'recorded running ghcr.io/x/y:1.2 1', 'a deletion');
select is(tests.take_back('update', '{"to_status": "deploying", "desired_status": "stopped", "spec": {"image": "new:1"}}',
  '{"restore_previous_desired": true, "restore_previous_spec": true, "steps": [{"status": "error", "reason_code": "x", "reason": "y"}]}'),
  'recorded running ghcr.io/x/y:1.2 1', 'an update, both in one');
select is(tests.take_back('start', '{"to_status": "starting", "desired_status": "running"}', '{"restore_previous_desired": true}'),
  'recorded running ghcr.io/x/y:1.2 1', 'a start that changed nothing too: it may be on its way');
select is(tests.take_back('stop', '{"to_status": "stopping", "desired_status": "stopped"}', '{"restore_previous_spec": true}'),
  'recorded stopped ghcr.io/x/y:1.2 0', 'only what is asked for is taken back');
select is(tests.record(jsonb_build_object('instance_id', id, 'generation', 1, 'expected_status', 'deploying', 'operation_id', operation, 'restore_previous_desired', true,
    'steps', '[{"status": "error", "reason_code": "x", "reason": "y"}]'::jsonb)) #>> '{instance,desired_status}', 'running', 'a first deploy has nothing to go back to')
from (select tool_instance_id as id, o.id as operation from tool_instance_operations o where o.tool_instance_id = 'f0000000-0000-4000-8000-00000000000a') o;

select * from finish();
rollback;
