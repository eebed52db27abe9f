-- Two workers at once, and a worker beside its user, over dblink: what they write is committed, and removed at the end.
\getenv url TOOLBOX_TEST_DB_URL
set client_min_messages = warning;
create extension if not exists dblink with schema extensions;
set search_path = public, extensions;
begin;
select no_plan();

create function pg_temp.in_session(session text, statement text) returns text language sql as $$
  select r from extensions.dblink(session, statement) as t (r text)
$$;
create function pg_temp.call(name text, p jsonb) returns text language sql as $$
  select format('select public.%I(%L)', name, p)
$$;
create function pg_temp.lease(most integer) returns text language sql as $$
  select format('select jsonb_array_length(public.lease_toolboxes(%L) -> ''toolboxes'')::text',
    jsonb_build_object('holder', 'race', 'lease_seconds', 60, 'limit', most))
$$;
-- Past the guard: a row of a droplet goes in no other way at once.
create function pg_temp.clear() returns text language sql as $$
  select $sql$
    set session_replication_role = replica;
    delete from public.toolbox_events t using public.account_tool_environments e
      where e.id = t.account_tool_environment_id and e.name = 'provisioning race';
    delete from public.account_tool_environments where name = 'provisioning race';
    delete from auth.users where id = 'a5000000-0000-4000-8000-000000000001';
    set session_replication_role = origin
  $sql$
$$;

select count(dblink_connect(s, :'url')) from unnest(array['a', 'b']) s \g /dev/null
-- Waiting is a failure here, not a hang.
set statement_timeout = '60s';
select count(dblink_exec(s, 'set statement_timeout = ''5s''')) from unnest(array['a', 'b']) s \g /dev/null
-- Left by a run that was killed.
select dblink_exec('a', pg_temp.clear()) \g /dev/null
select dblink_exec('a', $$
  insert into auth.users (id, email) values ('a5000000-0000-4000-8000-000000000001', 'provisioning-race@pgtap.test');
  insert into public.account_tool_environments (id, user_id, kind, name, region_slug, size_slug, image_slug, provisioning_step,
    provisioning_step_since, provisioning_due_at)
  select ('e5000000-0000-4000-8000-00000000000' || n)::uuid, 'a5000000-0000-4000-8000-000000000001', 'droplet', 'provisioning race', 'r', 's', 'i',
    'firewall', now(), now() - make_interval(hours => 10 - n) from generate_series(1, 3) n
$$) \g /dev/null

-- Two workers
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.lease(2)), '2', 'one worker takes two toolboxes');
select is(pg_temp.in_session('b', pg_temp.lease(10)), '1', 'another at the same time takes the third, without waiting');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.in_session('b', pg_temp.lease(10)), '0', 'and none is taken twice');

-- A user who wants it gone while a worker writes its step
create function pg_temp.step(lease integer) returns text language sql as $$
  select pg_temp.call('record_toolbox_step', jsonb_build_object('toolbox_id', 'e5000000-0000-4000-8000-000000000001', 'lease', lease,
    'from_step', 'firewall', 'to_step', 'machine', 'to_status', 'provisioning', 'due_in_seconds', 0, 'keep', true, 'lease_seconds', 60))
$$;
select dblink_exec('a', 'begin') \g /dev/null
select pg_temp.in_session('a', pg_temp.step(1)) \g /dev/null
select is(dblink_send_query('b', pg_temp.call('ask_toolbox', '{"toolbox_id": "e5000000-0000-4000-8000-000000000001", "change": "deprovision"}')), 1, 'it is asked');
select dblink_exec('a', 'commit') \g /dev/null
select is((select r::jsonb ->> 'outcome' from dblink_get_result('b') as t (r text)), 'accepted', 'the one waits for the other');
select count(*) from dblink_get_result('b') as t (r text) \g /dev/null
select results_eq(
  $$ select status::text, provisioning_step, provisioning_leased_until > clock_timestamp() from account_tool_environments
     where id = 'e5000000-0000-4000-8000-000000000001' $$,
  $$ values ('pending_deprovision', 'remove_machine', true) $$, 'the wish holds, and the worker keeps its lease until it has ended what it does');
select is(pg_temp.in_session('a', pg_temp.step(1))::jsonb ->> 'outcome', 'superseded', 'which it may not write');
select is(pg_temp.in_session('b', pg_temp.lease(10)), '1', 'then another goes on with the removal');

-- A worker whose lease is over
select dblink_exec('a', 'update public.account_tool_environments set provisioning_leased_until = now() - interval ''1 second'' where name = ''provisioning race''') \g /dev/null
select is(pg_temp.in_session('b', pg_temp.lease(10)), '3', 'what a dead worker had is taken over');
select is(pg_temp.in_session('a', pg_temp.call('record_toolbox_step',
    '{"toolbox_id": "e5000000-0000-4000-8000-000000000002", "lease": 1, "from_step": "firewall"}'))::jsonb ->> 'outcome',
  'superseded', 'and one that was only slow writes nothing');

select dblink_exec('a', pg_temp.clear()) \g /dev/null
select count(dblink_disconnect(s)) from unnest(array['a', 'b']) s \g /dev/null
select * from finish();
rollback;
