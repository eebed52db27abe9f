-- Views travel by heartbeats and with answers: an earlier one that comes after a later one takes nothing back.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

-- The version of a view, by the first digit of its run.
create function tests.version(number numeric, run text default '1') returns jsonb language sql as $$
  select jsonb_build_object('run', rpad(run, 8, '0') || '-0000-4000-8000-000000000000', 'number', number)
$$;
-- What a heartbeat or a reader saw, recorded without an operation; the status afterwards. p: status (running), and what else to
-- replace in the item. What is not settled has no facts.
create function tests.view(version jsonb, p jsonb default '{}') returns text language plpgsql as $$
declare
  status constant text := coalesce(p ->> 'status', 'running');
begin
  perform tests.record(jsonb_build_object('generation', 1, 'view_version', version,
    'steps', case when (tests.instance()).status_on_toolbox::text = status and status <> 'error' then '[]' else jsonb_build_array(
      jsonb_build_object('status', status, 'reason_code', case status when 'error' then coalesce(p ->> 'code', 'exited') end, 'reason', case status when 'error' then 'x' end)) end,
    'observed', case when coalesce((p ->> 'settled')::boolean, true) then jsonb_build_object('container_id', coalesce(p ->> 'container_id', 'abc')) end) || p);
  return (tests.instance()).status_on_toolbox;
end $$;
-- A heartbeat that shows the tool running; the row is not written beside health and version.
create function tests.heard(version jsonb, p jsonb default '{}') returns text language plpgsql as $$
begin
  perform tests.tell(p || jsonb_build_object('view_version', version, 'generation', (tests.instance()).generation));
  return (tests.instance()).status_on_toolbox;
end $$;
-- What an answer showed, recorded; the outcome and the status afterwards.
create function tests.recorded(version jsonb, p jsonb, observed jsonb default '{}') returns text language plpgsql as $$
declare
  outcome text := tests.record(p || jsonb_build_object('observed', observed, 'view_version', version)) ->> 'outcome';
begin
  return concat_ws(', ', outcome, (tests.instance()).status_on_toolbox, (tests.last_operation()).state);
end $$;

-- Views that are recorded
select is(tests.view(tests.version(5), '{"container_id": "five"}'), 'running', 'a view');
select is(tests.view(tests.version(4), '{"status": "starting", "settled": false}'), 'running', 'that an earlier one of the run does not take back');
select is(tests.view(tests.version(4), '{"container_id": "four"}') || ' ' || (tests.instance()).container_id, 'running five', 'nor what is beside the status');
select is_empty('select tests.new_events()', 'without a word in the log');
select is(tests.view(tests.version(5), '{"status": "starting", "settled": false}'), 'starting', 'the same is no earlier one');
select is(tests.view(tests.version(7), '{"status": "error", "settled": false}'), 'error', 'a later one counts');
select is(tests.view(tests.version(6), '{"status": "running"}'), 'error', 'also one that is not settled');
select is(tests.view(tests.version(3, '2'), '{"status": "running"}'), 'running', 'another run is another count');
select is(tests.view(null, '{"status": "stopped"}'), 'stopped', 'an agent that numbers nothing is believed');
select is(tests.view(tests.version(1, '2'), '{"status": "running"}'), 'running', 'and holds nobody back');
select is(tests.view(null, '{"status": "error", "code": "container_missing", "observed": null}'), 'error', 'that nothing is there is taken as it comes');
select is(tests.view(tests.version(1, '2'), '{"status": "running"}'), 'running', 'and has no place among the views');

-- A view that brings no news was seen all the same.
select is(tests.heard(tests.version(7, '2')), 'running', 'what the row says already');
select is(tests.view(tests.version(6, '2'), '{"status": "stopped"}'), 'running', 'is later than what comes after it');
select ctid as version from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001' \gset
select is(tests.heard(tests.version(7, '2')), 'running', 'told again');
select is((select ctid from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000001'), :'version'::tid, 'it is not written again');
select tests.heard(tests.version(8, '2'), '{"phase": "stopped"}') \g /dev/null
select is((tests.instance()).view_number, 7::bigint, 'one that brings news is the last once it is recorded');
select tests.heard(tests.version(6, '2')) \g /dev/null
select is((tests.instance()).view_number, 7::bigint, 'an earlier one never');

-- Nothing is on its way for ten minutes: the run was taken back to an earlier moment, as with a snapshot of the machine.
select is(tests.view(tests.version(500, '2'), '{"container_id": "later"}'), 'running', 'a view');
select is(tests.view(tests.version(499, '2'), '{"status": "stopped"}'), 'running', 'that is later than what was on its way');
update account_tool_instances set view_applied_at = view_applied_at - interval '11 minutes';
select is(tests.view(tests.version(100, '2'), '{"status": "stopped"}'), 'stopped', 'is no later than what comes long after it');
select is(tests.view(tests.version(101, '2')), 'running', 'and the count goes on from there');

-- What could not be taken over is told with the version of what runs.
select is(tests.view(tests.version(200, '2'), '{"status": "error"}'), 'error', 'an error');
select is(tests.view(tests.version(200, '2'), '{"status": "error", "code": "invalid_spec"}'), 'error', 'with another reason');
select is((tests.instance()).instance_error_code, 'invalid_spec', 'is told again');
select is(tests.view(tests.version(199, '2')), 'error', 'and not taken back');
select is(tests.view(tests.version(201, '2')), 'running', 'until a later view');

-- Health does not come from the view.
select is(tests.view(tests.version(20), '{"status": "starting", "settled": false}'), 'starting', 'a view');
select is(tests.heard(tests.version(19), '{"mcp": {"state": "healthy", "evidence": "e"}}'), 'starting', 'with an earlier one');
select is((tests.instance()).mcp_health ->> 'state', 'healthy', 'comes news of the health');
select is(tests.view(tests.version(21)), 'running', 'and a later one follows');

-- Numbers beyond those that are exact in JSON
select is(tests.view(tests.version(1e30, '3'), '{"status": "stopped"}'), 'stopped', 'a number that is too large is no obstacle');
select is(tests.view(tests.version(18446744073709551615, '3')), 'running', 'to the next that is');
select is(tests.view(tests.version(-5, '4'), '{"status": "stopped"}'), 'stopped', 'nor is one below zero');
select is(tests.view(tests.version(1, '4')), 'running', 'to any');

-- Answers, which observers record
select is(tests.recorded(tests.version(30, '5'), '{"generation": 1, "expected_status": "running", "steps": [{"status": "stopped"}]}', '{"container_id": "thirty"}'),
  'recorded, stopped, succeeded', 'what an observer saw');
select is(tests.recorded(tests.version(29, '5'), '{"generation": 1, "expected_status": "stopped", "steps": [{"status": "starting"}]}', '{"container_id": "late"}'),
  'stale, stopped, succeeded', 'goes before what another saw earlier');
select is((tests.instance()).container_id, 'thirty', 'in every column');
select is(tests.view(tests.version(29, '5'), '{"status": "starting", "settled": false}'), 'stopped', 'and before an earlier heartbeat');
select is(tests.view(tests.version(31, '5'), '{"status": "starting", "settled": false}'), 'starting', 'not before a later one');
select is(tests.recorded(tests.version(30, '5'), '{"generation": 1, "expected_status": "starting", "steps": [{"status": "stopped"}]}'),
  'stale, starting, succeeded', 'which it does not take back in its turn');
select is(tests.recorded(tests.version(2, '6'), '{"generation": 1, "expected_status": "starting", "steps": [{"status": "running"}]}'),
  'recorded, running, succeeded', 'another run is another count here too');

-- The end of an operation, and the heartbeat that was on its way
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
select is(tests.recorded(tests.version(41, '6'), jsonb_build_object('generation', 2, 'expected_status', 'stopping', 'operation_id', (tests.last_operation()).id,
  'steps', '[{"status": "starting"}, {"status": "running"}]'::jsonb, 'operation_result', '{"state": "succeeded"}'::jsonb)), 'recorded, running, succeeded', 'an operation ends');
select is(tests.view(tests.version(40, '6'), '{"generation": 2, "status": "starting", "settled": false}'), 'running', 'for good');

-- An end that was seen, recorded after a later view
select tests.begin('{"action": "restart", "to_status": "starting"}') \g /dev/null
select is(tests.view(tests.version(52, '6'), '{"generation": 3, "status": "stopping", "settled": false}'), 'stopping', 'a later view, as the server has crashed since');
select is(tests.recorded(tests.version(51, '6'), jsonb_build_object('generation', 3, 'expected_status', 'stopping', 'operation_id', (tests.last_operation()).id,
  'steps', '[{"status": "starting"}, {"status": "running"}]'::jsonb, 'operation_result', '{"state": "succeeded"}'::jsonb), '{"container_id": "before"}'),
  'recorded, stopping, succeeded', 'the operation has ended all the same; its view is past');
select isnt((tests.instance()).container_id, 'before', 'in every column');
select is(tests.view(tests.version(53, '6'), '{"generation": 3}'), 'running', 'and all goes on');

select * from finish();
rollback;
