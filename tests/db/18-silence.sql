-- A toolbox that stops reporting, and is heard of again.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.silent_for(seconds int) returns int language plpgsql as $$
begin
  update account_tool_environments set last_heartbeat_at = clock_timestamp() - make_interval(secs => seconds)
  where id = 'e0000000-0000-4000-8000-000000000001';
  -- As if the database had been there all the time.
  return private.mark_silent_toolboxes('-infinity');
end $$;

select tests.heartbeat('{"interval_seconds": 10}') \g /dev/null
select is(tests.silent_for(29), 0, 'three intervals of silence are waited for');
select is(tests.silent_for(31), 1, 'and no more');
select results_eq($$ select (t).status::text, (t).unresponsive_since = (t).last_heartbeat_at from (select tests.toolbox() as t) a $$, $$ values ('unresponsive', true) $$,
  'the toolbox is unresponsive since it was last heard of');
select is((tests.instance()).status_on_toolbox::text, 'running', 'what its instances do is unknown: the last that is known stays');
select results_eq('select tests.new_events()', array['control_plane unknown_since running->running'], 'and their history says so');
select is(reason_code || ': ' || reason, 'toolbox_unresponsive: The machine was last heard of at '
  || to_char((tests.toolbox()).last_heartbeat_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'since when') from tool_instance_events order by id desc limit 1;
select is(tests.silent_for(1000), 0, 'once');
select is(count(*), 4::bigint, 'with one event') from tool_instance_events where tool_instance_id = 'c0000000-0000-4000-8000-000000000001';
select is(tests.tell('{"phase": "stopped"}') #>> '{news,0,id}', (tests.instance()).id::text, 'it is heard of again, with news of its instance');
select results_eq($$ select (t).status::text, (t).unresponsive_since from (select tests.toolbox() as t) a $$, $$ values ('active', null::timestamptz) $$, 'it is active');

-- The interval is the agent's, within bounds.
select tests.heartbeat('{"interval_seconds": 9999}') \g /dev/null
select is(tests.silent_for(899), 0, 'five minutes is the longest interval');
select is(tests.silent_for(901), 1, 'that is believed');
select tests.heartbeat() \g /dev/null
update account_tool_environments set heartbeat_interval_seconds = null where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.silent_for(179), 0, 'an agent that promised nothing has a minute');
select is(tests.silent_for(181), 1, 'three times');

-- Nobody can report to a database that is down.
select tests.heartbeat() \g /dev/null
select tests.silent_for(0) \g /dev/null
update account_tool_environments set last_heartbeat_at = clock_timestamp() - interval '1 hour' where id = 'e0000000-0000-4000-8000-000000000001';
select is(private.mark_silent_toolboxes(clock_timestamp() - interval '2 minutes'), 0, 'after an outage silence counts from its end');
select is(private.mark_silent_toolboxes(clock_timestamp() - interval '4 minutes'), 1, 'from then on it does');

-- Toolboxes that never reported, and those that are not expected to.
update account_tool_environments set status_changed_at = now() - interval '1 hour', last_heartbeat_at = null where id = 'e0000000-0000-4000-8000-000000000002';
select is(private.mark_silent_toolboxes('-infinity'), 1, 'one that was made active and never reported is silent too');
select is((select unresponsive_since is not null from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000002'), true, 'since some time');
insert into account_tool_environments (id, user_id, name) values ('e0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000001', 'new');
update account_tool_environments set status_changed_at = now() - interval '1 hour' where id = 'e0000000-0000-4000-8000-000000000003';
select is(private.mark_silent_toolboxes('-infinity'), 0, 'a machine that is still being made is not');

-- Bounded: the next call goes on.
insert into account_tool_environments (id, user_id, name)
  select ('e1000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'a0000000-0000-4000-8000-000000000001', 'many ' || n from generate_series(1, 130) n;
update account_tool_environments set status = 'provisioning' where id::text like 'e1000000%';
update account_tool_environments set status = 'awaiting_heartbeat' where id::text like 'e1000000%';
update account_tool_environments set status = 'active' where id::text like 'e1000000%';
update account_tool_environments set status_changed_at = now() - interval '1 hour' where id::text like 'e1000000%';
select results_eq(
  $$ select private.mark_silent_toolboxes('-infinity') from generate_series(1, 3) $$, $$ values (100), (30), (0) $$,
  'a hundred a call');

select * from finish();
rollback;
