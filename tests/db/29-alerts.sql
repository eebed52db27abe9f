-- Which changes become alerts, once each, and how they end.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

delete from alerts;
insert into alert_rules (id, user_id, channel_id, kind, disk_percent)
  select gen_random_uuid(), 'a0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001', kind, case kind when 'disk_full' then 80 end
  from unnest(array['toolbox_silent', 'instance_flapping', 'disk_full', 'certificate_changed', 'tools_changed', 'agent_outdated']) kind;
-- Of a stranger, for all their toolboxes: never told of the owner's.
insert into alert_channels (id, user_id, name, kind) values ('d0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000002', 'mail', 'email');
insert into alert_rules (user_id, channel_id, kind) select 'b0000000-0000-4000-8000-000000000002', 'd0000000-0000-4000-8000-000000000002', kind
  from unnest(array['toolbox_silent', 'instance_error', 'disk_full']) kind;

-- Alerts of a kind as 'open|recovering|closed times', oldest first; messages as 'event state'.
create function tests.alerts(of_kind text) returns text language sql stable as $$
  select coalesce(string_agg(case when closed_at is not null then 'closed' when recovering_since is not null then 'recovering' else 'open' end || ' ' || times, ', ' order by opened_at), 'none')
  from alerts where kind = of_kind
$$;
create function tests.messages(of_kind text) returns text language sql stable as $$
  select coalesce(string_agg(m.event || ' ' || m.state, ', ' order by m.number), 'none') from alert_messages m join alerts a on a.id = m.alert_id where a.kind = of_kind
$$;
create function tests.pass(span interval) returns void language plpgsql as $$
begin
  update alerts set opened_at = opened_at - span, last_at = last_at - span, recovering_since = recovering_since - span, closed_at = closed_at - span;
  set local session_replication_role = replica;
  update tool_instance_events set occurred_at = occurred_at - span;
  set local session_replication_role = origin;
end $$;
create function tests.settle() returns integer language plpgsql as $$
begin
  perform tests.pass('61 seconds');
  return private.settle_alerts();
end $$;
create function tests.observe(to_status text, code text default null) returns void language sql as $$
  select tests.record(jsonb_build_object('generation', (tests.instance()).generation, 'steps', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
    'status', to_status, 'reason_code', code, 'reason', 'sentence of ' || code)))))
$$;

-- A toolbox falls silent.
create function tests.fall_silent() returns integer language plpgsql as $$
begin
  update account_tool_environments set last_heartbeat_at = clock_timestamp() - interval '1 hour' where id = 'e0000000-0000-4000-8000-000000000001';
  return private.mark_silent_toolboxes('-infinity');
end $$;
select tests.heartbeat() \g /dev/null
select cmp_ok(tests.fall_silent(), '>=', 1, 'a toolbox falls silent');
select is(tests.alerts('toolbox_silent'), 'open 1', 'which is one alert');
select is(tests.messages('toolbox_silent'), 'opened pending', 'and a message, in the same transaction');
select ok(detail ? 'since' and subject_name = 'owner''s' and user_id = 'a0000000-0000-4000-8000-000000000001', 'of whom, and since when') from alerts where kind = 'toolbox_silent';
select tests.fall_silent() \g /dev/null
select is(tests.alerts('toolbox_silent'), 'open 1', 'told once');
select tests.heartbeat() \g /dev/null
select is(tests.alerts('toolbox_silent'), 'recovering 1', 'it is heard of');
select is(private.settle_alerts(), 0, 'which must last');
select tests.fall_silent() \g /dev/null
select is(tests.alerts('toolbox_silent') || '; ' || tests.messages('toolbox_silent'), 'open 2; opened pending', 'silent again within a minute: the same alert');
select private.settle_alerts() \g /dev/null
select is(tests.alerts('toolbox_silent'), 'open 2', 'while it lasts it stays open');
update alert_messages set state = 'delivered', attempts = 1, finished_at = now();
select tests.heartbeat() \g /dev/null
-- Its rule was being removed when it was heard of, and stayed.
update alerts set recovering_since = null where kind = 'toolbox_silent';
select private.settle_alerts() \g /dev/null
select is(tests.alerts('toolbox_silent'), 'recovering 2', 'the clock notes what the heartbeat had to pass by');
select is(tests.settle(), 1, 'a minute later it is over');
select is(tests.alerts('toolbox_silent') || '; ' || tests.messages('toolbox_silent'), 'closed 2; opened delivered, recovered pending', 'and the recovery is told');
select is(tests.settle(), 0, 'once');
select tests.fall_silent() \g /dev/null
select is(tests.alerts('toolbox_silent'), 'closed 2, open 1', 'the next silence is another alert');
select tests.heartbeat() \g /dev/null
select tests.settle() \g /dev/null
select is(tests.messages('toolbox_silent'), 'opened delivered, recovered pending, opened skipped, recovered pending', 'whoever was not told of it yet is told of its end only');

-- An instance in error.
select tests.observe('error', 'crash_loop');
select is(tests.alerts('instance_error'), 'open 1', 'an error is an alert');
select results_eq($$ select subject_name, subject_id, detail from alerts where kind = 'instance_error' $$,
  $$ select instance_name_on_toolbox, id, '{"reason": "sentence of crash_loop", "reason_code": "crash_loop"}'::jsonb from account_tool_instances $$, 'that says why');
select tests.observe('starting') \g /dev/null
select is(tests.alerts('instance_error'), 'open 1', 'trying again is no recovery');
select tests.observe('running') \g /dev/null
select is(tests.alerts('instance_error'), 'recovering 1', 'running is');
select tests.settle() \g /dev/null
select is(tests.alerts('instance_error'), 'closed 1', 'and it is over');
update alert_rules set is_enabled = false where kind = 'instance_error';
select tests.observe('error', 'exited') \g /dev/null
select is(tests.alerts('instance_error'), 'closed 1', 'a rule that is off tells nothing');
update alert_rules set is_enabled = true;
update alert_channels set is_enabled = false;
select tests.observe('running') \g /dev/null
select tests.observe('error', 'exited') \g /dev/null
select is(tests.alerts('instance_error'), 'closed 1', 'nor does a channel that is off');
update alert_channels set is_enabled = true;
select tests.observe('running') \g /dev/null

-- Flapping: five ends that nobody asked for within ten minutes.
select tests.pass('11 minutes') \g /dev/null
create function tests.crash(n integer) returns void language plpgsql as $$
begin
  for i in 1..n loop
    perform tests.observe('starting');
    perform tests.observe('running');
  end loop;
end $$;
select tests.crash(4) \g /dev/null
select is(tests.alerts('instance_flapping'), 'none', 'four are none');
select tests.observe('starting') \g /dev/null
select is(tests.alerts('instance_flapping'), 'open 1', 'five are');
select tests.observe('running') \g /dev/null
select is(tests.settle(), 0, 'it is not over while it runs for a minute');
select tests.pass('10 minutes') \g /dev/null
select is(private.settle_alerts(), 1, 'but after ten quiet ones');
select is(tests.alerts('instance_flapping'), 'closed 1', 'it is');
-- What a user does is no flapping.
create function tests.restart() returns void language plpgsql as $$
begin
  perform tests.begin('{"action": "restart", "expected_status": "running"}');
  perform tests.record(jsonb_build_object('generation', (tests.instance()).generation, 'expected_status', 'starting',
    'steps', '[{"status": "running"}]'::jsonb, 'operation_result', '{"state": "succeeded"}'::jsonb));
end $$;
select count(tests.restart()) from generate_series(1, 6) \g /dev/null
select is(tests.alerts('instance_flapping'), 'closed 1', 'six restarts by the user are none');

-- The disk, above the rule's limit and five below it.
create function tests.disk(used integer) returns void language sql as $$
  select tests.heartbeat(jsonb_build_object('system_metrics', jsonb_build_object('disk', jsonb_build_object('mount', '/', 'total_bytes', 1000, 'used_bytes', used * 10))))
$$;
select tests.disk(79), tests.disk(80), tests.disk(95) \g /dev/null
select is(tests.alerts('disk_full'), 'open 1', 'a disk at its limit is an alert, once');
select is((select detail from alerts where kind = 'disk_full'), '{"mount": "/", "percent": 80.0}', 'with what was measured');
select tests.disk(76) \g /dev/null
select is(tests.alerts('disk_full'), 'open 1', 'a little below it may come back at once');
select tests.disk(74) \g /dev/null
select is(tests.alerts('disk_full'), 'recovering 1', 'five below it is over');
select tests.heartbeat('{"system_metrics": {"disk": {"total_bytes": 0, "used_bytes": 0}}}'), tests.heartbeat('{"system_metrics": {"disk": "x"}}'),
  tests.heartbeat('{"system_metrics": {"disk": {"total_bytes": "x", "used_bytes": {}}}}') \g /dev/null
select is(tests.alerts('disk_full'), 'recovering 1', 'a disk that makes no sense says nothing, and holds up no heartbeat');

-- Another certificate: refused, or accepted by an enrolment.
update account_tool_environments set dtma_certificate_pem = tests.pem('one') where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.alerts('certificate_changed'), 'none', 'the first certificate is no change');
select is(tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('two'))) ->> 'outcome', 'certificate_changed', 'another one is refused');
select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('two'))) \g /dev/null
select is(tests.alerts('certificate_changed') || '; ' || tests.messages('certificate_changed'), 'open 1; opened pending', 'and told, once');
select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('one'))) \g /dev/null
select is(tests.alerts('certificate_changed'), 'recovering 1', 'until the right one is back');
select tests.settle() \g /dev/null
select tests.pass('10 minutes') \g /dev/null
update account_tool_environments set dtma_certificate_pem = tests.pem('two') where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.alerts('certificate_changed'), 'closed 1, closed 1', 'a certificate that is replaced is told, and is over at once');
update account_tool_environments set dtma_certificate_pem = tests.pem('three') where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.alerts('certificate_changed'), 'closed 1, closed 2', 'again within ten minutes: the same alert');

-- Other tools.
create function tests.list(n text) returns jsonb language sql as $$
  select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('three'), 'instances', jsonb_build_array(tests.report(jsonb_build_object(
    'generation', (tests.instance()).generation, 'mcp', jsonb_build_object('state', 'healthy', 'evidence', 'x', 'since', 'x', 'checked_at', 'x',
    'tools_fingerprint', encode(sha256(n::bytea), 'hex'), 'tools_changed', jsonb_build_object('added', jsonb_build_array('tool ' || n))))))))
$$;
select tests.list('a') \g /dev/null
select tests.pass('11 minutes') \g /dev/null
delete from alerts where kind = 'tools_changed';
select tests.list('b') \g /dev/null
select is(tests.alerts('tools_changed') || '; ' || tests.messages('tools_changed'), 'closed 1; opened pending', 'other tools are told');
select matches((select detail ->> 'change' from alerts where kind = 'tools_changed'), 'Added: tool b', 'with what changed');
select tests.list('c') \g /dev/null
select is(tests.alerts('tools_changed'), 'closed 2', 'once in ten minutes');

-- Versions.
select is(private.is_older_version(v, t), older, format('%s before %s: %s', v, t, older))
from (values ('1.2.3', '1.2.4', true), ('1.2.3', '1.10.0', true), ('1.2.3', '1.2.3', false), ('1.3.0', '1.2.9', false), ('1.2', '1.2.1', true),
  ('1.2.0-rc.1', '1.2.0', true), ('1.2.0', '1.2.0-rc.1', false), ('1.2.0+x', '1.2.0', false), ('x', '1.2.0', false), (null, '1.2.0', false),
  ('1.2.0', null, false), ('99999999999.1', '1', false)) v (v, t, older);
select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('three'))) \g /dev/null
select is(tests.alerts('agent_outdated'), 'none', 'while no version is wanted none is outdated');
select is(get_agent_version('{}'), '{"outcome": "found", "version": null}', 'and redeployments are to none');
insert into private.settings (agent_version) values ('2.0.0');
select is(get_agent_version('{}'), '{"outcome": "found", "version": "2.0.0"}', 'one that is wanted is what redeployments are to');
select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('three'), 'system_metrics', '{"cpu_load_percent": 1}'::jsonb)) \g /dev/null
select is(tests.alerts('agent_outdated'), 'open 1', 'an older agent is');
select is((select detail from alerts where kind = 'agent_outdated'), '{"version": "1.2.3", "wanted": "2.0.0"}', 'with both versions');
select tests.heartbeat(jsonb_build_object('certificate_sha256', tests.sha256('three'), 'version', '2.0.0')) \g /dev/null
select is(tests.alerts('agent_outdated'), 'recovering 1', 'until it is replaced');

-- An instance that is removed, a machine that reports without end, and whose alerts these are.
select tests.pass('2 hours') \g /dev/null
select tests.observe('error', 'exited') \g /dev/null
select tests.begin('{"action": "delete", "expected_status": "error", "to_status": "pending_delete", "desired_status": "absent"}') \g /dev/null
select tests.record(jsonb_build_object('generation', (tests.instance()).generation, 'expected_status', 'pending_delete', 'steps', '[{"status": "deleting"}]'::jsonb, 'remove_row', true,
  'operation_result', '{"state": "succeeded"}'::jsonb)) \g /dev/null
select tests.settle() \g /dev/null
select is(tests.alerts('instance_error'), 'closed 1, closed 1', 'an instance that is removed is in error no longer');
select count(private.open_alerts('instance_error', tests.toolbox(), gen_random_uuid(), 'x', '{}', true)) from generate_series(1, 100) \g /dev/null
select is(count(*), 60::bigint, 'a toolbox causes sixty alerts of a kind an hour at most') from alerts where opened_at > now() - interval '1 hour' and kind = 'instance_error';
select tests.fall_silent() \g /dev/null
select is(count(*), 1::bigint, 'and one kind leaves room for the others') from alerts where kind = 'toolbox_silent' and closed_at is null;
delete from alerts where kind = 'toolbox_silent' and closed_at is null;
select is(count(*), 0::bigint, 'a stranger was told of nothing') from alerts where user_id = 'b0000000-0000-4000-8000-000000000002';

-- Retention.
update alerts set closed_at = now() where closed_at is null and kind = 'disk_full';
update alerts set closed_at = closed_at - interval '91 days' where kind in ('disk_full', 'toolbox_silent');
select is(private.delete_old_alerts(), 3, 'alerts that ended long ago go');
select is(tests.messages('toolbox_silent'), 'none', 'with their messages');
delete from alert_rules where kind = 'instance_error';
select is(tests.alerts('instance_error'), 'none', 'a rule takes its alerts along');

select * from finish();
rollback;
