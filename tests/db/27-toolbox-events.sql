-- The history of toolboxes: who may write and read it, how much a machine may cause, how long it stays.
begin;
\ir setup.psql
select no_plan();

select results_eq(
  $$ select actor_kind, actor_id, kind, detail, result, request_id from toolbox_events $$,
  $$ values ('user', 'a0000000-0000-4000-8000-000000000001'::uuid, 'agent_restart', '{"via": "agent"}'::jsonb, 'succeeded', 'req-event') $$,
  'who, what, how it ended, for which request');
select is(tests.toolbox_event('{"actor_kind": "control_plane", "actor_id": null, "detail": null, "request_id": null}'), 'recorded', 'the control plane needs no id');
select is((select detail from toolbox_events order by id desc limit 1), '{}'::jsonb, 'without detail there is none');
select is(tests.toolbox_event('{"toolbox_id": "e0000000-0000-4000-8000-00000000000f"}'), 'not_found', 'a toolbox that is gone has no history');
select throws_ok(format('select tests.toolbox_event(%L)', p), code, null, 'refused: ' || p)
from (values ('{"kind": null}', '22023'), ('{"result": null}', '22023'), ('{"actor_kind": "somebody"}', '23514'), ('{"actor_id": null}', '23514'),
  ('{"kind": "Restart agent"}', '23514'), ('{"result": "went well"}', '23514'), ('{"detail": []}', '23514'),
  ('{"detail": {"x": "' || repeat('x', 4096) || '"}}', '23514'), ('{"request_id": "' || repeat('x', 201) || '"}', '23514')) v (p, code);

select is(tests.try('owner', 'select * from toolbox_events'), '2 rows', 'the owner reads it');
select is(tests.try('stranger', 'select * from toolbox_events'), '0 rows', 'a stranger does not');
select is(tests.try('anon', 'select * from toolbox_events'), '42501', 'nor do the anonymous');
select is(tests.try(a, 'select tests.toolbox_event()'), '42501', a || ' records nothing') from unnest(array['owner', 'stranger', 'anon']) a;
select is(tests.try('service', 'select tests.toolbox_event()'), '1 rows', 'the functions do');
select is(tests.try(a, c), '42501', a || ' cannot ' || c)
from unnest(array['postgres', 'service', 'owner']) a,
  unnest(array['update toolbox_events set result = ''other''', 'delete from toolbox_events', 'truncate toolbox_events']) c;

-- What goes on is written before it is done, and ends once.
create function tests.end_event(p jsonb) returns text language sql as $$
  select end_toolbox_event(jsonb_build_object('id', (select max(id) from toolbox_events), 'result', 'succeeded', 'detail', '{"exit_code": 0}'::jsonb) || p) ->> 'outcome'
$$;
create function tests.last_event() returns text language sql stable as $$
  select result || ' ' || detail::text from toolbox_events order by id desc limit 1
$$;
select is(tests.toolbox_event('{"result": "begun"}'), 'recorded', 'an event begins');
select is(tests.try(a, c), '42501', a || ' cannot ' || c)
from unnest(array['postgres', 'service', 'owner']) a,
  unnest(array['update toolbox_events set result = ''succeeded'', kind = ''other'' where result = ''begun''',
    'update toolbox_events set result = ''succeeded'', detail = ''{}'' where result = ''begun''',
    'update toolbox_events set detail = ''{"via": "agent", "more": 1}'' where result = ''begun''']) c;
select is(tests.try('owner', 'select tests.end_event(''{}'')'), '42501', 'users end nothing');
select throws_ok($$ select tests.end_event('{"result": "begun"}') $$, '42501', null, 'begun is no end');
select throws_ok($$ select tests.end_event('{"result": null}') $$, '22023', null, 'nor is nothing');
select is(tests.last_event(), 'begun {"via": "agent"}', 'what never ended shows as begun');
select is(tests.end_event('{}'), 'recorded', 'it ends');
select is(tests.last_event(), 'succeeded {"via": "agent", "exit_code": 0}', 'with what is known then');
select is(tests.end_event('{"result": "failed", "detail": null}'), 'not_begun', 'once');
select is(tests.last_event(), 'succeeded {"via": "agent", "exit_code": 0}', 'and the first end holds');
select is(tests.end_event('{"id": 0}'), 'not_begun', 'what never began does not end');

-- What a machine says is bounded, what users do is kept.
create function tests.events(n integer, p jsonb) returns void language plpgsql as $$
begin
  for i in 1..n loop perform tests.toolbox_event(p); end loop;
end $$;
select tests.events(700, '{"actor_kind": "agent", "actor_id": "e0000000-0000-4000-8000-000000000001", "kind": "agent_started"}');
select cmp_ok(count(*), '<=', 602::bigint, 'a machine fills its bucket, and no more') from toolbox_events where kind = 'agent_started';
select is(count(*), 1::bigint, 'the rest is told once') from toolbox_events where result = 'events_limited';
select cmp_ok(dropped, '>=', 98::bigint, 'and counted') from private.event_buckets where kind = 'toolbox_agent_started';
select is(tests.toolbox_event('{"actor_kind": "agent", "kind": "agent_started"}'), 'limited', 'the caller learns it');
select is(tests.toolbox_event('{"actor_kind": "agent", "kind": "redeploy"}'), 'recorded', 'another kind has its own bucket');
select tests.events(700, '{"kind": "ssh"}');
select is(count(*), 700::bigint, 'what a user does is always kept') from toolbox_events where kind = 'ssh';

-- Retention.
create function tests.age(ago interval) returns void language plpgsql as $$
begin
  set local session_replication_role = replica;
  update toolbox_events set occurred_at = occurred_at - ago;
  set local session_replication_role = origin;
end $$;
select tests.age('89 days') \g /dev/null
select is(private.delete_old_toolbox_events(), 0, 'nothing goes before its time');
select tests.age('2 days') \g /dev/null
select count(*) as events from toolbox_events \gset
select is(private.delete_old_toolbox_events(), 1000, 'a thousand a call');
select is(private.delete_old_toolbox_events(), :events - 1000, 'then the rest');
select tests.toolbox_event() \g /dev/null
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is_empty('select from toolbox_events', 'a removed toolbox takes its history along');

select * from finish();
rollback;
