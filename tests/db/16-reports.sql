-- What heartbeats tell of instances, compared with their rows: which of them are answered, to be decided and recorded. What is
-- decided of them is tested in crates/toolbox-domain, how it is recorded in 09-record.sql.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

-- What a heartbeat with one report has news of, and what it misses.
create function tests.news(p jsonb default '{}', body jsonb default '{}') returns text language sql as $$
  select coalesce((select string_agg(r ->> 'instance_name_on_toolbox', ', ')
    from jsonb_array_elements(tests.heartbeat(jsonb_build_object('instances', jsonb_build_array(tests.report(p))) || body) -> 'news') r), 'none')
$$;
create function tests.missing(body jsonb default '{}') returns text language sql as $$
  select coalesce((select string_agg(r ->> 'instance_name_on_toolbox', ', ' order by r ->> 'instance_name_on_toolbox')
    from jsonb_array_elements(tests.heartbeat('{"full": true}' || body) -> 'missing') r), 'none')
$$;
update account_tool_instances set instance_name_on_toolbox = 'tool';
-- A row as a test needs it, whatever came before.
create function tests.row_is(p jsonb) returns void language plpgsql as $$
begin
  set local session_replication_role = replica;
  update account_tool_instances i set status_on_toolbox = (p ->> 'status')::account_tool_installation_status_enum,
    instance_error_code = p ->> 'code', instance_error_message = p ->> 'message', desired_status = coalesce(p ->> 'desired', 'running'),
    generation = coalesce((p ->> 'generation')::bigint, i.generation), updated_at = now() - interval '1 minute'
  where i.id = 'c0000000-0000-4000-8000-000000000001';
  set local session_replication_role = origin;
end $$;

-- Nothing new
select ctid as version from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001' \gset
select is(tests.news(v::jsonb), 'none', 'no news of a tool that runs: ' || v) from unnest(array[
  '{}', '{"generation": 1000002, "phase": "stopped"}', '{"generation": 9007199254740991}', '{"generation": 0, "phase": "stopped"}',
  '{"settled": false, "container_id": null, "ports": []}', '{"view_version": null}']) v;
select is((select ctid from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001'), :'version'::tid, 'the row is not written again');
select is(tests.heartbeat(jsonb_build_object('instances', jsonb_build_array(tests.report('{"phase": "stopped"}'), tests.report()))) -> 'news', '[]', 'the later report of an instance counts');

-- News
select is(tests.news(v::jsonb), 'tool', 'news of a tool that runs: ' || v) from unnest(array[
  '{"phase": "stopped"}', '{"phase": "starting", "settled": false}', '{"phase": "creating", "settled": false}', '{"phase": null}', '{"phase": "removing"}',
  '{"phase": "error", "reason": {"code": "exited", "message": "x"}}', '{"phase": "error", "reason": null}', '{"generation": 2}', '{"generation": 1000001}',
  '{"container_id": "def"}', '{"image_digest": "sha256:2"}', '{"ports": []}',
  '{"rolled_back": true, "reason": {"code": "exited", "message": "x"}}', '{"rolled_back": true, "settled": false, "reason": {"code": "exited", "message": "x"}}']) v;
select is((select ctid from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001'), :'version'::tid, 'nothing of them is written: that is to be decided');
select is_empty('select tests.new_events()', 'nor told');
select is(tests.tell('{"phase": "stopped"}') -> 'news', jsonb_build_array(to_jsonb(tests.instance()) - 'spec'), 'the row is answered as it is, without its secrets');

-- An error
select tests.row_is('{"status": "error", "code": "exited", "message": "x"}') \g /dev/null
select is(tests.news(v::jsonb), 'none', 'no news of an error: ' || v) from unnest(array[
  '{"phase": "error", "reason": {"code": "exited", "message": "x"}}', '{"phase": "error", "settled": false, "reason": {"code": "exited", "message": "x"}}',
  '{"rolled_back": true, "reason": {"code": "exited", "message": "x"}}']) v;
select is(tests.news(v::jsonb), 'tool', 'news of an error: ' || v) from unnest(array[
  '{}', '{"phase": null}', '{"phase": "error", "reason": {"code": "crash_loop", "message": "x"}}', '{"phase": "error", "reason": {"code": "exited", "message": "y"}}',
  '{"phase": "starting", "settled": false}', '{"rolled_back": true, "settled": false, "reason": {"code": "exited", "message": "x"}}']) v;

-- Every other status with what is no news of it
select is(string_agg(phase, ' ' order by n) filter (where tests.news(jsonb_build_object('phase', phase)) = 'none'), 'pending pulling building creating', 'a deployment is prepared')
from (select tests.row_is('{"status": "deploying"}')) s, unnest(array['pending', 'pulling', 'building', 'creating', 'starting', 'running', 'stopping', 'stopped', 'removing', 'error']) with ordinality p (phase, n);
select is(string_agg(phase, ' ') filter (where tests.news(jsonb_build_object('phase', phase)) = 'none'), status, 'a tool that is ' || status)
from (select tests.row_is(jsonb_build_object('status', 'stopping'))) s, unnest(array['stopping']) status, unnest(array['pending', 'starting', 'running', 'stopping', 'stopped']) phase group by status;

-- While an operation is under way everything of its generation may be news, and what is behind never.
select tests.row_is('{"status": "running"}') \g /dev/null
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select is(tests.news('{"phase": "stopped"}'), 'none', 'a report from before the command is no news');
select is(tests.news('{"generation": 2, "phase": "stopping", "settled": false}'), 'tool', 'its own generation is');
select tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.news('{"generation": 2, "phase": "stopped"}'), 'none', 'and no more once it has ended');

-- An update that has ended and may still be rolled back
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "slow:1"}}') \g /dev/null
select tests.record('{"generation": 3, "steps": [{"status": "error", "reason_code": "docker_unreachable", "reason": "x"}],
  "operation_result": {"state": "failed", "error_code": "docker_unreachable", "error_message": "x"}}') \g /dev/null
select is(tests.news('{"generation": 3, "phase": "error", "reason": {"code": "docker_unreachable", "message": "x"}}'), 'none', 'an error that stays says nothing of it');
select is(tests.news('{"generation": 3, "rolled_back": true, "reason": {"code": "docker_unreachable", "message": "x"}}'), 'tool', 'a roll-back does');

-- Left out
select tests.row_is('{"status": "running"}') \g /dev/null
select is(tests.missing(), 'tool', 'a full heartbeat that does not name it misses it');
select is(tests.missing(jsonb_build_object('instances', jsonb_build_array(tests.report('{"generation": 1}')))), 'none', 'one that names it does not, whatever it says');
select is(tests.missing('{"docker_reachable": false}'), 'none', 'without Docker nobody knows what is there');
select is(tests.missing('{"full": false}'), 'none', 'nor does a heartbeat that tells of changes only');
select is(tests.news('{"id": "c0000000-0000-4000-8000-0000000000ff"}'), 'none', 'another has no row');
select is(format('%s: %s', p, (select tests.missing() from tests.row_is(p::jsonb))), format('%s: %s', p, missing), 'a row that is left out') from (values
  ('{"status": "error", "code": "exited", "message": "x"}', 'none'), ('{"status": "pending_delete", "desired": "absent"}', 'none'),
  ('{"status": "deleting", "desired": "absent"}', 'none'), ('{"status": "stopped", "desired": "stopped"}', 'none'), ('{"status": "stopped"}', 'tool'),
  ('{"status": "stopping", "desired": "stopped"}', 'tool'), ('{"status": "deploying"}', 'tool'), ('{"status": "starting"}', 'tool')) v (p, missing);
select tests.row_is('{"status": "running"}') \g /dev/null
update account_tool_instances set container_id = 'new';
select is(tests.missing(), 'none', 'what is new may not have arrived');
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'stranger''s',
  '{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "user_id": "b0000000-0000-4000-8000-000000000002"}') \g /dev/null
select tests.a_minute_later() \g /dev/null
select is(tests.missing(), 'tool', 'and another toolbox''s instances are not missed here');

select * from finish();
rollback;
