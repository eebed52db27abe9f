-- Two orders of one user at once, and two who ask what can be bought, over dblink: what they write is committed, and removed at the end.
\getenv url TOOLBOX_TEST_DB_URL
set client_min_messages = warning;
create extension if not exists dblink with schema extensions;
set search_path = public, extensions;
begin;
select no_plan();

create function pg_temp.call(name text, p jsonb) returns text language sql as $$
  select format('select public.%I(%L)', name, p)
$$;
create function pg_temp.in_session(session text, statement text) returns jsonb language sql as $$
  select r::jsonb from extensions.dblink(session, statement) as t (r text)
$$;
create function pg_temp.order(price numeric) returns text language sql as $$
  select pg_temp.call('order_toolbox', jsonb_build_object('user_id', 'a5000000-0000-4000-8000-000000000044', 'name', 'cost race', 'max_toolboxes', 100,
    'max_monthly_usd', 20, 'region_slug', 'r', 'size_slug', 's', 'image_slug', 'i', 'price_hourly_usd', 0.01, 'price_monthly_usd', price))
$$;
create function pg_temp.resize(toolbox text) returns text language sql as $$
  select pg_temp.call('ask_toolbox', jsonb_build_object('toolbox_id', toolbox, 'change', 'resize', 'size_slug', 'large', 'price_hourly_usd', 0.02,
    'price_monthly_usd', 18, 'max_monthly_usd', 20))
$$;
-- Past the guard: a row of a droplet goes in no other way at once.
create function pg_temp.clear() returns text language sql as $$
  select $sql$
    set session_replication_role = replica;
    delete from public.toolbox_events t using public.account_tool_environments e
      where e.id = t.account_tool_environment_id and e.name = 'cost race';
    delete from public.account_tool_environments where name = 'cost race';
    delete from auth.users where id = 'a5000000-0000-4000-8000-000000000044';
    delete from private.provider_lists;
    set session_replication_role = origin
  $sql$
$$;

select count(dblink_connect(s, :'url')) from unnest(array['a', 'b']) s \g /dev/null
-- Waiting is a failure here, not a hang.
set statement_timeout = '60s';
select count(dblink_exec(s, 'set statement_timeout = ''5s''')) from unnest(array['a', 'b']) s \g /dev/null
-- Left by a run that was killed.
select dblink_exec('a', pg_temp.clear()) \g /dev/null
select dblink_exec('a', $$ insert into auth.users (id, email) values ('a5000000-0000-4000-8000-000000000044', 'cost-race@pgtap.test') $$) \g /dev/null

-- Two orders of which only one may be paid for
select dblink_exec('a', 'begin') \g /dev/null
select pg_temp.in_session('a', pg_temp.order(12)) as first \gset
select is(:'first'::jsonb ->> 'outcome', 'ordered', 'one order');
select is(dblink_send_query('b', pg_temp.order(12)), 1, 'another of the same user at the same time');
select pg_sleep(0.3) \g /dev/null
select is(dblink_is_busy('b'), 1, 'waits for the first');
select dblink_exec('a', 'commit') \g /dev/null
select is((select r::jsonb from dblink_get_result('b') as t (r text)), '{"outcome": "too_dear", "monthly_usd": 24.00, "most_monthly_usd": 20}', 'and is counted after it');
select count(*) from dblink_get_result('b') as t (r text) \g /dev/null

-- A larger size beside an order
select dblink_exec('a', format($$
  update public.account_tool_environments set status = 'provisioning' where id = %1$L;
  update public.account_tool_environments set status = 'awaiting_heartbeat', do_droplet_id = 440044 where id = %1$L;
  update public.account_tool_environments set status = 'active', provisioning_step = null where id = %1$L
$$, :'first'::jsonb ->> 'id')) \g /dev/null
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.order(6)) ->> 'outcome', 'ordered', 'a small machine is ordered');
select is(dblink_send_query('b', pg_temp.resize(:'first'::jsonb ->> 'id')), 1, 'while the first shall grow');
select dblink_exec('a', 'commit') \g /dev/null
select is((select r::jsonb from dblink_get_result('b') as t (r text)), '{"outcome": "too_dear", "monthly_usd": 24.00, "most_monthly_usd": 20}', 'which is too much then');
select count(*) from dblink_get_result('b') as t (r text) \g /dev/null

-- Two who ask for the same list
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.call('get_provider_list', '{"name": "sizes", "max_age_seconds": 300, "claim_seconds": 30}')), '{"outcome": "due"}', 'one is to ask');
select is(dblink_send_query('b', pg_temp.call('get_provider_list', '{"name": "sizes", "max_age_seconds": 300, "claim_seconds": 30}')), 1, 'another at the same time');
select dblink_exec('a', 'commit') \g /dev/null
select is((select r::jsonb from dblink_get_result('b') as t (r text)), '{"outcome": "awaited"}', 'is not');
select count(*) from dblink_get_result('b') as t (r text) \g /dev/null

select dblink_exec('a', pg_temp.clear()) \g /dev/null
select count(dblink_disconnect(s)) from unnest(array['a', 'b']) s \g /dev/null
select * from finish();
rollback;
