begin;
\ir setup.psql
select no_plan();

-- deploy
select is(i, jsonb_build_object('status', 'deploying', 'desired', 'running', 'generation', 1, 'image', 'ghcr.io/x/y:1.2', 'transport', 'stdio',
  'version', '1.2', 'secret', 'SECRET', 'name', 'Ünï / 404 ?#%'), 'a deploy answers the whole instance')
from (select jsonb_build_object('status', r -> 'status_on_toolbox', 'desired', r -> 'desired_status', 'generation', r -> 'generation',
  'image', r -> 'docker_image_url', 'transport', r -> 'mcp_transport_type', 'version', r -> 'version', 'secret', r #> '{spec,env,TOKEN,value}',
  'name', r -> 'instance_name_on_toolbox') as i
  from (select tests.deploy('c0000000-0000-4000-8000-000000000002', 'Ünï / 404 ?#%') -> 'instance' as r) a) b;
select is(tests.deploy('c0000000-0000-4000-8000-000000000003', 'Ünï / 404 ?#%'),
  '{"outcome": "name_taken", "instance_id": "c0000000-0000-4000-8000-000000000002"}', 'a name is taken once per toolbox');
select is(tests.deploy('c0000000-0000-4000-8000-000000000003', 'ünï / 404 ?#%') ->> 'outcome', 'started', 'names differ byte for byte');
select is(tests.deploy('c0000000-0000-4000-8000-000000000004', 'Ünï / 404 ?#%',
  '{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome', 'started',
  'another toolbox may use the name');
select is(tests.deploy('c0000000-0000-4000-8000-000000000005', 'fourth', '{"max_instances": 3}'), '{"outcome": "quota_exceeded", "limit": 3}',
  'the quota counts instances of this toolbox');
select is(tests.deploy('c0000000-0000-4000-8000-000000000005', 'fourth', '{"max_instances": 4}') ->> 'outcome', 'started', 'up to the limit itself');
select is((select count(*) from account_tool_instances where tool_catalog_id = '00000000-0000-0000-0000-000000000001'), 5::bigint,
  'several instances of one catalog entry');
select throws_ok($$ select tests.deploy('c0000000-0000-4000-8000-000000000006', 'x', '{"to_status": "running"}') $$, '23514', null, 'a deploy cannot start in running');
select throws_ok($$ select tests.deploy('c0000000-0000-4000-8000-000000000006', 'x', '{"spec": {"image": ""}}') $$, '23514', null, 'a spec needs an image');
select throws_ok(format('select tests.deploy(%L, %L, %L)', 'c0000000-0000-4000-8000-000000000006', 'x', v), '23514', null, 'a value needs its envelope: ' || v)
from unnest(array['{"spec": {"image": "x", "env": {"A": "1"}}}', '{"spec": {"image": "x", "env": {"A": {"value": "1"}}}}', '{"spec": {"image": "x", "env": {"A": {"key_id": null}}}}']) v;
select throws_ok($$ select tests.deploy('c0000000-0000-4000-8000-000000000006', 'x', '{"spec": null}') $$, '22023', 'Missing in the argument p: spec', 'a first deploy needs a spec');
select throws_ok($$ select tests.deploy('c0000000-0000-4000-8000-000000000006', 'x', '{"tool_catalog_id": "00000000-0000-0000-0000-0000000000ff"}') $$,
  '23503', null, 'the catalog entry must exist');
select is(v.version, v.expected, format('version of %s', v.image)) from (
  select i.version, w.expected, w.image from (values ('mcp/fetch:latest', 'latest'), ('mcp/fetch', null), ('r.io:5000/x', null), ('r.io:5000/x:v1@sha256:ab', 'v1'),
    ('x@sha256:ab', null), ('https://github.com/o/r.git#main:dir', null)) w (image, expected)
  cross join lateral (select tests.deploy(gen_random_uuid(), 'version of ' || w.image, jsonb_build_object('spec', jsonb_build_object('image', w.image)))
    -> 'instance' ->> 'version' as version) i) v;

-- one at a time
create temp table started on commit drop as select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped", "expected_status": "running"}') as r;
select is(r ->> 'outcome', 'started', 'an operation starts') from started;
select is(r #>> '{operation,generation}', '2', 'with a new generation') from started;
select is(r #>> '{instance,status_on_toolbox}', 'stopping', 'and the status written') from started;
select bag_eq('select jsonb_object_keys(r -> ''operation'') from started',
  array['id', 'tool_instance_id', 'action', 'state', 'request_id', 'generation', 'error_code', 'error_message', 'answered_code', 'started_at', 'lease_expires_at', 'finished_at'],
  'an operation shows nothing secret');
select is(tests.begin('{"request_id": "req-2"}'), jsonb_build_object('outcome', 'in_progress', 'operation', r -> 'operation'),
  'a second one meets the first and is told which') from started;
select is(tests.deploy('c0000000-0000-4000-8000-000000000001', 'again') ->> 'outcome', 'in_progress', 'a deploy of the same id meets it too');
select is((tests.instance()).generation, 2::bigint, 'and changes nothing');
select is(tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') ->> 'outcome', 'recorded', 'it ends');

-- compare-and-set
select is(tests.begin('{"expected_status": "running"}'), '{"outcome": "status_changed", "status": "stopped"}', 'a caller with an old view is told the status');
select is(tests.begin('{"expected_status": "stopped", "expected_generation": 1}') ->> 'outcome', 'status_changed', 'an old generation is an old view too');
select throws_ok($$ select tests.begin('{"to_status": "deleting"}') $$, '23514', 'Illegal transition of an instance: stopped -> deleting', 'an illegal status is refused');
select is(tests.begin('{"instance_id": "c0000000-0000-4000-8000-0000000000ff"}'), '{"outcome": "not_found"}', 'an unknown instance');
select is(tests.begin('{"toolbox_id": "e0000000-0000-4000-8000-0000000000ff"}'), '{"outcome": "not_found"}', 'an unknown toolbox');
select throws_ok(format('select tests.begin(%L)', v), '22023', null, 'refused: ' || v) from unnest(array[
  '{"lease_seconds": 0}', '{"lease_seconds": 3601}', '{"action": "explode"}', '{"request_id": null}', '{"user_id": null}']) v;
select throws_ok($$ select tests.begin('{"desired_status": "perhaps"}') $$, '23514', null, 'refused: an unknown desired status');

-- lease
select is(tests.begin('{"lease_seconds": 1}') ->> 'outcome', 'started', 'a start whose worker dies');
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress' and action = 'start';
select is(tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped", "request_id": "req-next"}') ->> 'outcome', 'started', 'the next one proceeds');
select results_eq($$ select action, state, generation from tool_instance_operations where tool_instance_id = 'c0000000-0000-4000-8000-000000000001' and generation >= 3 order by generation $$,
  $$ values ('start', 'abandoned', 3::bigint), ('stop', 'in_progress', 4::bigint) $$, 'and the dead one is marked');
select results_eq('select tests.new_events() offset 2',
  array['user start stopped->starting', 'control_plane lease_expired starting->starting', 'user stop starting->stopping'], 'with an event of its own');
select tests.record('{"generation": 4, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null

-- who stops or deletes does not wait for what hangs
select is(tests.begin('{"action": "start", "preempts": ["deploy"]}') ->> 'outcome', 'started', 'a start');
select is(tests.begin('{"action": "restart", "expected_status": "starting", "to_status": "stopping"}') ->> 'outcome', 'in_progress', 'a restart waits for it');
select is(tests.begin('{"action": "stop", "preempts": ["start"], "expected_status": "running"}') ->> 'outcome', 'status_changed', 'a stop that begins on another status');
select is((tests.last_operation()).state, 'in_progress', 'takes no place');
select is(tests.begin('{"action": "stop", "preempts": ["start"], "expected_status": "starting", "to_status": "stopping", "desired_status": "stopped"}') ->> 'outcome', 'started', 'a stop takes its place');
select results_eq($$ select action, state, generation from tool_instance_operations where tool_instance_id = 'c0000000-0000-4000-8000-000000000001' and generation >= 5 order by generation $$,
  $$ values ('start', 'abandoned', 5::bigint), ('stop', 'in_progress', 6::bigint) $$, 'and the start is over');
select is(count(*), 1::bigint, 'with an event of its own') from tool_instance_events where action = 'superseded' and reason = 'A stop took the place of the start operation before its end was observed';
select is(tests.begin('{"action": "stop", "preempts": ["start"], "expected_status": "stopping", "to_status": "stopping"}') ->> 'outcome', 'in_progress', 'a second stop waits for the first');
select tests.record('{"generation": 6, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null

-- update keeps the old spec
select is(tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "ghcr.io/x/y:2", "env": {"TOKEN": {"key_id": null, "value": "NEW"}}}}') #>> '{instance,docker_image_url}',
  'ghcr.io/x/y:2', 'an update replaces the spec');
select is((tests.last_operation()).previous_spec #>> '{env,TOKEN,value}', 'SECRET', 'and keeps the old one while it runs');
select tests.record('{"generation": 7, "expected_status": "deploying", "steps": [{"status": "error", "reason_code": "exited", "reason": "Exit code 1"}],
  "operation_result": {"state": "failed", "error_code": "exited", "error_message": "Exit code 1"}}') \g /dev/null
select isnt((tests.last_operation()).previous_spec, null, 'also when it failed: what failed may pass, and the update be rolled back');
select is(tests.begin('{"spec": {"image": "ignored"}}') #>> '{instance,docker_image_url}', 'ghcr.io/x/y:2', 'a start never changes the spec');
select is((tests.instance()).instance_error_code, null, 'leaving error clears the reason');
select is(count(*), 0::bigint, 'and keeps no previous one') from tool_instance_operations where previous_spec is not null;
select tests.record('{"generation": 8, "expected_status": "starting", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.deploy('c0000000-0000-4000-8000-000000000001', 'new name', '{"spec": {"image": "z"}}') #>> '{instance,instance_name_on_toolbox}',
  'Context7 MCP Server-1750278276605', 'a deploy of an existing id redeploys it under its name');

select tests.record('{"generation": 9, "expected_status": "deploying", "steps": [{"status": "running"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "z:2"}}') \g /dev/null
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where state = 'in_progress' and action = 'update';
select is(tests.begin('{"to_status": "starting"}') ->> 'outcome', 'started', 'an update whose worker died makes room');
select results_eq($$ select state, previous_spec from tool_instance_operations where generation = 10 $$, $$ values ('abandoned', null::jsonb) $$, 'and keeps no spec either');
select is(
  tests.try('postgres', $$ insert into tool_instance_operations (tool_instance_id, account_tool_environment_id, user_id, action, request_id, generation, lease_expires_at)
    select tool_instance_id, account_tool_environment_id, user_id, action, request_id, 99, now() from tool_instance_operations where state = 'in_progress'
      and tool_instance_id = 'c0000000-0000-4000-8000-000000000001' $$),
  '23505', 'the table itself holds one operation in progress');

select * from finish();
rollback;
