-- Who may report, in which order, with which certificate; and what a toolbox's status makes of it.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

-- The key
select is(tests.heartbeat() ->> 'outcome', 'recorded', 'the toolbox''s key is accepted');
select is(tests.heartbeat('{}', v::jsonb), '{"outcome": "unauthorized"}', 'refused without a word: ' || v) from unnest(array[
  format('{"token_hash": "%s"}', repeat('cd', 32)), format('{"token_hash": "%s"}', repeat('00', 32)),
  '{"toolbox_id": "e0000000-0000-4000-8000-000000000002"}', '{"toolbox_id": "e0000000-0000-4000-8000-0000000000ff"}']) v;
select throws_ok(format('select tests.heartbeat(%L, %L)', b, c), '22023', null, format('refused: %s %s', b, c)) from (values
  ('{}', '{"token_hash": null}'), ('{}', '{"toolbox_id": null}'), ('{}', '{"root_id": null}'), ('{}', '{"heartbeat": null}'),
  ('{"boot": 0}', '{}'), ('{"sequence": 0}', '{}'), ('{"boot": 9007199254740992}', '{}'), ('{"boot": null}', '{}'),
  ('{"interval_seconds": null}', '{}'), ('{"instances": null}', '{}')) v (b, c);
select throws_ok(
  $$ select tests.heartbeat(jsonb_build_object('instances', (select jsonb_agg(tests.report(jsonb_build_object('id', gen_random_uuid()))) from generate_series(1, 201)))) $$,
  '22023', null, 'a heartbeat tells of 200 instances at most');

-- Isolation: the stranger's key, the owner's instance, and the other way round.
select is(tests.deploy('c0000000-0000-4000-8000-000000000002', 'stranger''s', '{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome',
  'started', 'the stranger has an instance too');
select is(
  tests.heartbeat(jsonb_build_object('full', true, 'instances', jsonb_build_array(
    tests.report('{"id": "c0000000-0000-4000-8000-000000000002", "phase": "error", "generation": 99, "reason": {"code": "x", "message": "y"}}'),
    tests.report('{"id": "c0000000-0000-4000-8000-0000000000ff", "phase": null}'), tests.report()))) -> 'unknown',
  '["c0000000-0000-4000-8000-000000000002", "c0000000-0000-4000-8000-0000000000ff"]', 'an instance of another toolbox is as unknown as one of none');
select is(
  tests.heartbeat(jsonb_build_object('full', true, 'instances', jsonb_build_array(
    tests.report('{"id": "c0000000-0000-4000-8000-000000000002", "phase": "error", "generation": 99, "mcp": {"state": "healthy"}}'), tests.report()))) - 'desired_digest' - 'unknown',
  '{"outcome": "recorded", "news": [], "missing": []}', 'nothing of it is answered');
select results_eq(
  $$ select status_on_toolbox::text, generation, container_id from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000002' $$,
  $$ values ('deploying', 1::bigint, null::text) $$, 'and is not touched');
select is(count(*), 1::bigint, 'nor its history') from tool_instance_events where tool_instance_id = 'c0000000-0000-4000-8000-000000000002';
select is(
  tests.heartbeat('{"full": true, "boot": 1, "sequence": 1}', format('{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "token_hash": "%s"}', repeat('cd', 32))::jsonb) ->> 'outcome',
  'recorded', 'the stranger''s agent reports nothing at all');
select is((tests.instance()).status_on_toolbox::text, 'running', 'which says nothing of the owner''s instances');
select is_empty('select tests.new_events()', 'nor did anything else happen to them');

-- Replay
select is(tests.heartbeat('{"sequence": 1000}') ->> 'outcome', 'recorded', 'a sequence may skip');
select is(tests.heartbeat('{"sequence": 1000}') - 'outcome', '{"boot": 7, "sequence": 1000}', 'the same one again is refused, with the last that was accepted');
select is(tests.heartbeat(v::jsonb) ->> 'outcome', 'replayed', 'refused: ' || v)
from unnest(array['{"sequence": 999}', '{"boot": 6, "sequence": 2000}', '{"sequence": 1}']) v;
select is(tests.heartbeat(jsonb_build_object('sequence', 999, 'instances', jsonb_build_array(tests.report('{"phase": "stopped"}')))) ->> 'outcome', 'replayed', 'also with news');
select is((tests.instance()).status_on_toolbox::text, 'running', 'which are not written');
select is(tests.heartbeat('{"boot": 8, "sequence": 1}') ->> 'outcome', 'recorded', 'a new start begins anew');
select is(tests.heartbeat('{"boot": 7, "sequence": 3000}') ->> 'outcome', 'replayed', 'and ends the one before');
select setval('tests.sequence', 10000) \g /dev/null
update account_tool_environments set dtma_boot = 7, dtma_sequence = 9999 where id = 'e0000000-0000-4000-8000-000000000001';

-- Certificate
create function tests.certified(content text, with_pem boolean default false) returns text language sql as $$
  select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256(content), 'certificate_pem', case when with_pem then tests.pem(content) end)) ->> 'outcome'
$$;
select is(tests.certified('one'), 'recorded', 'a certificate may be named before it is shown');
select is(tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('one'), 'certificate_pem', tests.pem('two'))) ->> 'outcome', 'certificate_changed', 'one that is not what it is called is refused');
select is(tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('one'), 'certificate_pem', E'-----BEGIN CERTIFICATE-----\nA===\n-----END CERTIFICATE-----')) ->> 'outcome',
  'certificate_changed', 'so is one that is none');
select is((tests.toolbox()).dtma_certificate_pem, null, 'neither is pinned');
select is(tests.certified('one', true), 'recorded', 'the first one that is shown');
select is((tests.toolbox()).dtma_certificate_sha256, tests.sha256('one'), 'is pinned');
select is(tests.certified('one'), 'recorded', 'and accepted from then on');
select (tests.toolbox()).dtma_sequence as sequence \gset
select is(tests.certified('two', true), 'certificate_changed', 'another one is refused');
select is(tests.certified('two'), 'certificate_changed', 'shown or not');
select is(tests.heartbeat() ->> 'outcome', 'certificate_changed', 'and so is none at all');
select is(
  tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('two'), 'instances', jsonb_build_array(tests.report('{"phase": "stopped"}')))) ->> 'outcome', 'certificate_changed', 'whatever it tells');
select is((tests.instance()).status_on_toolbox::text || (tests.toolbox()).dtma_sequence || (tests.toolbox()).status, 'running' || :'sequence' || 'active', 'nothing of it is recorded');
update account_tool_environments set dtma_certificate_pem = null where id = 'e0000000-0000-4000-8000-000000000001';
select is((tests.toolbox()).dtma_certificate_sha256, null, 'the fingerprint goes with the certificate');

-- What is kept
select tests.heartbeat('{"version": "9.9.9", "api_version": 3, "interval_seconds": 5, "system_metrics": {"cpu_load_percent": 1.5}}') \g /dev/null
select results_eq(
  $$ select (t).dtma_last_known_version, (t).dtma_api_version, (t).heartbeat_interval_seconds, (t).dtma_health_details_json - 'reported_at' from (select tests.toolbox() as t) a $$,
  $$ values ('9.9.9', 3, 5, '{"docker_reachable": true, "system_metrics": {"cpu_load_percent": 1.5}}'::jsonb) $$, 'versions, interval and metrics');
select cmp_ok((tests.toolbox()).last_heartbeat_at, '>', now(), 'and the time');
select tests.heartbeat('{"docker_reachable": false, "interval_seconds": 86400}') \g /dev/null
select is((tests.toolbox()).dtma_health_details_json -> 'docker_reachable', 'false', 'that Docker is gone is told at once');
select is((tests.toolbox()).dtma_health_details_json #>> '{system_metrics,cpu_load_percent}', '1.5', 'beside the last metrics');
select is((tests.toolbox()).heartbeat_interval_seconds, 300, 'nobody is trusted to be silent for long');
select is(tests.heartbeat('{"interval_seconds": 0, "api_version": 0}') ->> 'outcome', 'recorded', 'nonsense does not stop a heartbeat');

-- Whether the rows are what is on the machine
update account_tool_environments set instances_confirmed_at = '-infinity' where id = 'e0000000-0000-4000-8000-000000000001';
create function tests.confirms(body jsonb) returns boolean language plpgsql as $$
begin
  update account_tool_environments set instances_confirmed_at = '-infinity' where id = 'e0000000-0000-4000-8000-000000000001';
  perform tests.heartbeat(body);
  return (tests.toolbox()).instances_confirmed_at > now();
end $$;
create function tests.reported(p jsonb default '{}', body jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('full', true, 'instances', jsonb_build_array(tests.report(p))) || body
$$;
select tests.a_minute_later() \g /dev/null
select is(tests.confirms(tests.reported()), true, 'a full heartbeat without news confirms the rows');
select is(tests.confirms(tests.reported('{"phase": "stopped"}')), false, 'one with news does not, until they are recorded');
select is(tests.confirms(tests.reported('{}', '{"instances": []}')), false, 'nor one that misses an instance');
select is(tests.confirms(tests.reported('{}', '{"full": false}')), false, 'nor one that does not name all');
select is(tests.confirms(tests.reported('{}', '{"docker_reachable": false}')), false, 'nor one that could not ask Docker');
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
select is((tests.instance()).generation, 2::bigint, 'a command is another generation');
select is(tests.confirms(tests.reported()), false, 'nor one of an agent that has not heard of it');
select is(tests.confirms('{"full": true, "instances": []}'), false, 'nor one that does not name it yet');

-- Status of the toolbox
create function tests.heartbeat_in(was account_tool_environment_status_enum) returns text language plpgsql as $$
declare
  answer text;
begin
  set local session_replication_role = replica;
  update account_tool_environments set status = was, provisioning_error_message = case when was::text like 'error%' then 'because' end,
    unresponsive_since = case when was = 'unresponsive' then now() end
  where id = 'e0000000-0000-4000-8000-000000000001';
  set local session_replication_role = origin;
  answer := tests.heartbeat() ->> 'outcome';
  return format('%s %s%s', answer, (tests.toolbox()).status, (tests.toolbox()).unresponsive_since);
end $$;
select is(tests.heartbeat_in(s), case
    when s = 'deprovisioned' then 'unauthorized deprovisioned'
    when s in ('pending_deprovision', 'deprovisioning', 'error_deprovisioning') then 'recorded ' || s
    else 'recorded active' end,
  format('a toolbox that is %s', s))
from unnest(enum_range(null::account_tool_environment_status_enum)) s;

select * from finish();
rollback;
