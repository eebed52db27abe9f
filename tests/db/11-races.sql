-- Two and more sessions at once, over dblink: what they write is committed, and removed at the end with its user.
\getenv url TOOLBOX_TEST_DB_URL
set client_min_messages = warning;
create extension if not exists dblink with schema extensions;
set search_path = public, extensions;
begin;
select no_plan();

create function pg_temp.in_session(session text, statement text) returns text language sql as $$
  select r from extensions.dblink(session, statement) as t (r text)
$$;
create function pg_temp.later(session text, statement text) returns void language plpgsql as $$
begin
  if extensions.dblink_send_query(session, statement) <> 1 then raise exception 'not sent'; end if;
  perform pg_sleep(0.15);
end $$;
create function pg_temp.answer(session text) returns text language plpgsql as $$
declare
  answer text;
begin
  select r into answer from extensions.dblink_get_result(session) as t (r text);
  -- The end of the result set, which frees the connection.
  perform from extensions.dblink_get_result(session) as t (r text);
  return answer;
end $$;
create function pg_temp.begin(p jsonb) returns text language sql as $$
  select format('select public.begin_tool_instance_operation(%L) ->> ''outcome''', jsonb_build_object(
    'toolbox_id', 'e1000000-0000-4000-8000-000000000001', 'user_id', 'a1000000-0000-4000-8000-000000000001',
    'action', 'start', 'instance_id', 'c1000000-0000-4000-8000-000000000001', 'request_id', 'race',
    'lease_seconds', 150, 'to_status', 'starting', 'desired_status', 'running') || p)
$$;
create function pg_temp.deploy(id text, name text, p jsonb default '{}') returns text language sql as $$
  select pg_temp.begin(jsonb_build_object('action', 'deploy', 'to_status', 'deploying', 'instance_id', id, 'name', name,
    'container_name', 'race', 'tool_catalog_id', '00000000-0000-0000-0000-000000000001', 'spec', '{"image": "x"}'::jsonb) || p)
$$;
create function pg_temp.settle(generation bigint, from_status text, to_status text) returns text language sql as $$
  select format('select public.record_tool_instance_states(%L) #>> ''{results,0,outcome}''', jsonb_build_object('items', jsonb_build_array(jsonb_build_object(
    'instance_id', 'c1000000-0000-4000-8000-000000000001', 'generation', generation, 'actor_kind', 'agent', 'settled', true,
    'expected_generation', generation, 'expected_status', from_status,
    'steps', jsonb_build_array(jsonb_build_object('status', to_status)), 'operation_result', '{"state": "succeeded"}'::jsonb))))
$$;

select count(dblink_connect(s, :'url')) from unnest(array['a', 'b', 'c', 'd', 'e', 'f']) s \g /dev/null
-- A deadlock or a lost wake-up is a failure, not a hang.
set statement_timeout = '60s';
select count(dblink_exec(s, 'set statement_timeout = ''10s''')) from unnest(array['a', 'b', 'c', 'd', 'e', 'f']) s \g /dev/null
select dblink_exec('a', $$
  delete from auth.users where id = 'a1000000-0000-4000-8000-000000000001'; -- left by a run that was killed
  insert into auth.users (id, email) values ('a1000000-0000-4000-8000-000000000001', 'race@pgtap.test');
  insert into public.account_tool_environments (id, user_id, name) values
    ('e1000000-0000-4000-8000-000000000001', 'a1000000-0000-4000-8000-000000000001', 'race') $$) \g /dev/null

-- Two deploys of one name, and of the last place.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.deploy('c1000000-0000-4000-8000-000000000001', 'same')), 'started', 'the first deploy of a name starts');
select pg_temp.later('b', pg_temp.deploy('c1000000-0000-4000-8000-000000000002', 'same')) \g /dev/null
select pg_temp.later('c', pg_temp.deploy('c1000000-0000-4000-8000-000000000003', 'other', '{"max_instances": 1}')) \g /dev/null
select is(dblink_is_busy('b') + dblink_is_busy('c'), 2, 'the others wait for it');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'name_taken', 'then the name is taken');
select is(pg_temp.answer('c'), 'quota_exceeded', 'and the place too');
select is(pg_temp.in_session('a', pg_temp.settle(1, 'deploying', 'stopped')), 'recorded', 'the deploy ends');

-- Two operations on one instance.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.begin('{}')), 'started', 'the first operation starts');
select pg_temp.later('b', pg_temp.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}')) \g /dev/null
select pg_temp.later('c', pg_temp.settle(1, 'stopped', 'running')) \g /dev/null
select is(dblink_is_busy('b') + dblink_is_busy('c'), 2, 'a second one and an observer wait for it');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'in_progress', 'then the second meets the first');
select is(pg_temp.answer('c'), 'stale', 'and what the observer saw is old');
select is(pg_temp.in_session('a', pg_temp.settle(2, 'starting', 'running')), 'recorded', 'the operation ends');

-- A first operation that rolls back leaves no lock.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}')), 'started', 'a first one starts');
select pg_temp.later('b', pg_temp.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}')) \g /dev/null
select dblink_exec('a', 'rollback') \g /dev/null
select is(pg_temp.answer('b'), 'started', 'and, when it fails, the second has its place');
select is(pg_temp.in_session('a', pg_temp.settle(3, 'stopping', 'stopped')), 'recorded', 'which ends');

-- Two requests with one idempotency key, before either is stored.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.begin('{"idempotency_key": "once", "request_fingerprint": "f"}')), 'started', 'a key is used');
select pg_temp.later('b', pg_temp.begin('{"idempotency_key": "once", "request_fingerprint": "f"}')) \g /dev/null
select is(dblink_is_busy('b'), 1, 'its repetition waits');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'replayed', 'and gets the same operation');

-- A crowd: six sessions, 40 rounds, whoever comes first; each round is one operation.
create temp table crowd (outcome text);
do $$
declare
  generation bigint := 4;
  stopping boolean := true;
  wanted jsonb;
  s text;
begin
  perform pg_temp.in_session('a', pg_temp.settle(4, 'starting', 'running'));
  for round in 1..40 loop
    wanted := case when stopping then '{"action": "stop", "to_status": "stopping", "desired_status": "stopped", "expected_status": "running"}'
      else '{"expected_status": "stopped"}' end::jsonb;
    foreach s in array array['a', 'b', 'c', 'd', 'e', 'f'] loop
      perform extensions.dblink_send_query(s, pg_temp.begin(wanted));
    end loop;
    foreach s in array array['a', 'b', 'c', 'd', 'e', 'f'] loop
      insert into crowd values (pg_temp.answer(s));
    end loop;
    generation := generation + 1;
    perform pg_temp.in_session('a', case when stopping then pg_temp.settle(generation, 'stopping', 'stopped') else pg_temp.settle(generation, 'starting', 'running') end);
    stopping := not stopping;
  end loop;
end $$;
select results_eq('select outcome, count(*) from crowd group by 1 order by 1', $$ values ('in_progress', 200::bigint), ('started', 40::bigint) $$,
  'of six at once exactly one starts, forty times over');
select is((select generation from account_tool_instances where id = 'c1000000-0000-4000-8000-000000000001'), 44::bigint, 'no generation is lost or doubled');
select is_empty(
  $$ select from (select from_status, lag(to_status) over (order by id) as before, row_number() over (order by id) as n from tool_instance_events
     where tool_instance_id = 'c1000000-0000-4000-8000-000000000001') e where n > 1 and from_status is distinct from before $$, 'the history has no gap');

-- A waiter gives up in time.
select dblink_exec('a', 'begin') \g /dev/null
select pg_temp.in_session('a', 'select id::text from public.account_tool_instances where id = ''c1000000-0000-4000-8000-000000000001'' for update') \g /dev/null
select throws_ok(format('select pg_temp.in_session(''b'', %L)', pg_temp.begin('{}')), '55P03', null, 'a lock is waited for 5 seconds, not for ever');
select dblink_exec('a', 'rollback') \g /dev/null

select dblink_exec('a', 'delete from auth.users where email = ''race@pgtap.test''') \g /dev/null
select count(dblink_disconnect(s)) from unnest(array['a', 'b', 'c', 'd', 'e', 'f']) s \g /dev/null
select * from finish();
rollback;
