-- Two ticks at once, and a tick beside a record, over dblink: what they write is committed, and removed at the end with
-- its user.
\getenv url TOOLBOX_TEST_DB_URL
set client_min_messages = warning;
create extension if not exists dblink with schema extensions;
set search_path = public, extensions;
begin;
select no_plan();

create function pg_temp.in_session(session text, statement text) returns text language sql as $$
  select r from extensions.dblink(session, statement) as t (r text)
$$;
create function pg_temp.job(name text) returns text language sql as $$
  select format('select public.run_job(%L) ->> ''count''', jsonb_build_object('job', name))
$$;

select count(dblink_connect(s, :'url')) from unnest(array['a', 'b']) s \g /dev/null
-- Waiting is a failure here, not a hang.
set statement_timeout = '60s';
select count(dblink_exec(s, 'set statement_timeout = ''5s''')) from unnest(array['a', 'b']) s \g /dev/null
select dblink_exec('a', $$
  delete from auth.users where id = 'a3000000-0000-4000-8000-000000000001'; -- left by a run that was killed
  insert into auth.users (id, email) values ('a3000000-0000-4000-8000-000000000001', 'tick-race@pgtap.test');
  insert into public.account_tool_environments (id, user_id, name) values
    ('e3000000-0000-4000-8000-000000000001', 'a3000000-0000-4000-8000-000000000001', 'race');
  insert into public.account_tool_instances (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, status_on_toolbox)
    select ('c3000000-0000-4000-8000-00000000000' || n)::uuid, 'e3000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-000000000001',
      'tool ' || n, 'race', '{"image": "x"}', 'deploying' from generate_series(1, 2) n;
  insert into public.tool_instance_operations (tool_instance_id, account_tool_environment_id, user_id, action, request_id, generation, lease_expires_at)
    select i.id, i.account_tool_environment_id, 'a3000000-0000-4000-8000-000000000001'::uuid, 'deploy', 'race', 1, now() - interval '1 day'
    from public.account_tool_instances i where i.account_tool_environment_id = 'e3000000-0000-4000-8000-000000000001'
    -- And one of an instance that is gone, which has no row to lock.
    union all select 'c3000000-0000-4000-8000-000000000003', 'e3000000-0000-4000-8000-000000000001',
      'a3000000-0000-4000-8000-000000000001', 'delete', 'race', 1, now() - interval '1 day';
  insert into public.tool_instance_events (tool_instance_id, account_tool_environment_id, actor_kind, action, generation, occurred_at)
    select gen_random_uuid(), 'e3000000-0000-4000-8000-000000000001', 'user', 'start', 1, now() - interval '200 years' from generate_series(1, 1300) n
$$) \g /dev/null

-- What one tick has taken, another passes by, without waiting.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.job('delete_old_events')), '1000', 'one tick deletes events');
select cmp_ok(pg_temp.in_session('b', pg_temp.job('delete_old_events'))::int, '>=', 300, 'another at the same time deletes the rest');
select dblink_exec('a', 'commit') \g /dev/null
select is(count(*), 0::bigint, 'none was deleted twice, none was left') from tool_instance_events where occurred_at < now() - interval '100 years';

select dblink_exec('a', 'begin') \g /dev/null
select cmp_ok(pg_temp.in_session('a', pg_temp.job('end_expired_leases'))::int, '>=', 3, 'one tick ends leases');
select is(pg_temp.in_session('b', pg_temp.job('end_expired_leases')), '0', 'another at the same time finds none');
select dblink_exec('a', 'rollback') \g /dev/null

-- Whoever records an outcome has the lock of the instance.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', 'select ''locked'' from public.account_tool_instances where id = ''c3000000-0000-4000-8000-000000000001'' for update'),
  'locked', 'an outcome is being recorded');
select pg_temp.in_session('b', pg_temp.job('end_expired_leases')) \g /dev/null
select dblink_exec('a', 'commit') \g /dev/null
select results_eq(
  $$ select state from tool_instance_operations where account_tool_environment_id = 'e3000000-0000-4000-8000-000000000001' order by tool_instance_id $$,
  $$ values ('in_progress'), ('abandoned'), ('abandoned') $$, 'its operation is passed by, and the others are ended');

select dblink_exec('a', 'delete from auth.users where id = ''a3000000-0000-4000-8000-000000000001''') \g /dev/null
select count(dblink_disconnect(s)) from unnest(array['a', 'b']) s \g /dev/null
select * from finish();
rollback;
