-- MCP servers that are stopped because nobody uses them: neither what their user stopped, nor a fault.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

update account_tool_instances set spec = spec || '{"idle_minutes": 1}' where id = 'c0000000-0000-4000-8000-000000000001';
insert into alert_rules (user_id, channel_id, kind) values
  ('a0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001', 'instance_flapping');
create function tests.idle(p jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('phase', 'stopped', 'mcp', jsonb_build_object(
    'state', 'idle', 'evidence', 'stopped after 1 minute without use; the next call starts it', 'since', '2026-01-01T00:00:00Z',
    'checked_at', '2026-01-01T00:00:00Z') || p)
$$;
create function tests.see(to_status text) returns void language sql as $$
  select tests.record(jsonb_build_object('generation', (tests.instance()).generation, 'steps', jsonb_build_array(jsonb_build_object('status', to_status))))
$$;
select is(tests.tell(tests.idle()) #>> '{news,0,status_on_toolbox}', 'running', 'a server that was stopped for want of use is news of its row');
select tests.see('stopped') \g /dev/null
select results_eq($$ select status_on_toolbox::text, desired_status, mcp_health ->> 'state' from tests.instance() $$,
  $$ values ('stopped', 'running', 'idle') $$, 'the row says that it is stopped, though wished to run, and why');
select is((tests.instance()).instance_error_code, null, 'which is no error');
select is(tests.tell(tests.idle('{"checked_at": "2026-01-01T00:05:00Z"}')) -> 'news', '[]', 'while it lasts it is no news');

-- It may stop and start as often as it is called.
create function tests.call_and_rest() returns void language plpgsql as $$
begin
  perform tests.see('starting');
  perform tests.see('running');
  perform tests.see('stopped');
end $$;
select count(tests.call_and_rest()) from generate_series(1, 6) \g /dev/null
select is_empty('select from alerts where closed_at is null', 'nobody is told of it');
select tests.see('starting'), tests.see('running') \g /dev/null
create function tests.crash() returns void language plpgsql as $$
begin
  perform tests.see('starting');
  perform tests.see('running');
end $$;
select count(tests.crash()) from generate_series(1, 5) \g /dev/null
select results_eq('select kind from alerts where closed_at is null', array['instance_flapping'], 'but of its crashes');

-- The user decides.
select tests.see('stopped') \g /dev/null
select is(tests.begin('{"action": "stop", "expected_status": "stopped", "to_status": "stopped", "desired_status": "stopped"}') ->> 'outcome', 'started', 'its user may stop it for good');
select is((tests.instance()).desired_status, 'stopped', 'and that is wished then');

select * from finish();
rollback;
