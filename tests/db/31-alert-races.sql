-- Two ticks at the outbox, and a user who removes a rule while a heartbeat is recorded, over dblink: what they write is
-- committed, and removed at the end with its user.
\getenv url TOOLBOX_TEST_DB_URL
set client_min_messages = warning;
create extension if not exists dblink with schema extensions;
set search_path = public, extensions;
begin;
select no_plan();

create function pg_temp.in_session(session text, statement text) returns text language sql as $$
  select r from extensions.dblink(session, statement) as t (r text)
$$;
select count(dblink_connect(s, :'url')) from unnest(array['a', 'b']) s \g /dev/null
-- Waiting is a failure here, not a hang.
set statement_timeout = '60s';
select count(dblink_exec(s, 'set statement_timeout = ''5s''; set lock_timeout = ''2s''')) from unnest(array['a', 'b']) s \g /dev/null
select dblink_exec('a', $$
  delete from auth.users where id = 'a4000000-0000-4000-8000-000000000001'; -- left by a run that was killed
  insert into auth.users (id, email) values ('a4000000-0000-4000-8000-000000000001', 'alert-race@pgtap.test');
  insert into public.account_tool_environments (id, user_id, name) values ('e4000000-0000-4000-8000-000000000001', 'a4000000-0000-4000-8000-000000000001', 'race');
  update public.account_tool_environments set status = 'provisioning' where id = 'e4000000-0000-4000-8000-000000000001';
  update public.account_tool_environments set status = 'awaiting_heartbeat' where id = 'e4000000-0000-4000-8000-000000000001';
  update public.account_tool_environments set status = 'active' where id = 'e4000000-0000-4000-8000-000000000001';
  insert into public.alert_channels (id, user_id, name, kind) values
    ('d4000000-0000-4000-8000-000000000001', 'a4000000-0000-4000-8000-000000000001', 'one', 'email'),
    ('d4000000-0000-4000-8000-000000000002', 'a4000000-0000-4000-8000-000000000001', 'two', 'email');
  insert into public.alert_rules (id, user_id, channel_id, kind) values
    ('d5000000-0000-4000-8000-000000000001', 'a4000000-0000-4000-8000-000000000001', 'd4000000-0000-4000-8000-000000000001', 'toolbox_silent'),
    ('d5000000-0000-4000-8000-000000000002', 'a4000000-0000-4000-8000-000000000001', 'd4000000-0000-4000-8000-000000000002', 'toolbox_silent')
$$) \g /dev/null
create function pg_temp.status(becomes text) returns text language sql immutable as $$
  select format('update public.account_tool_environments set status = %L where id = ''e4000000-0000-4000-8000-000000000001'' returning status', becomes)
$$;

-- A rule, or the channel of one, that is being removed holds up no change of state, and does not break it.
select dblink_exec('b', 'begin') \g /dev/null
select dblink_exec('b', 'delete from public.alert_rules where id = ''d5000000-0000-4000-8000-000000000001''') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.status('unresponsive')), 'unresponsive', 'a toolbox falls silent while a user removes a rule');
select is(pg_temp.in_session('a', 'select count(*) from public.alerts where account_tool_environment_id = ''e4000000-0000-4000-8000-000000000001'''), '1', 'the other rule tells it');
select dblink_exec('b', 'commit') \g /dev/null
select is(pg_temp.in_session('a', 'select count(*) from public.alerts where rule_id = ''d5000000-0000-4000-8000-000000000001'''), '0', 'the removed one does not');
-- Nor does what is over wait for it.
select dblink_exec('b', 'begin') \g /dev/null
select dblink_exec('b', 'delete from public.alert_rules where id = ''d5000000-0000-4000-8000-000000000002''') \g /dev/null
select lives_ok($$ select pg_temp.in_session('a', 'select private.recover_alerts(''toolbox_silent'', ''e4000000-0000-4000-8000-000000000001'')::text') $$,
  'what is over holds up no heartbeat while a user removes the rule');
select dblink_exec('b', 'rollback') \g /dev/null
select dblink_exec('b', 'begin') \g /dev/null
select dblink_exec('b', 'update public.alert_rules set is_enabled = is_enabled where id = ''d5000000-0000-4000-8000-000000000002''') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.status('active')), 'active', 'a rule that is being written holds up nothing either');
select dblink_exec('b', 'commit') \g /dev/null

-- Two ticks: each message goes to one, without waiting.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', 'select jsonb_array_length(public.claim_alert_messages(''{}'') -> ''messages'')'), '1', 'one tick takes the message');
select is(pg_temp.in_session('b', 'select jsonb_array_length(public.claim_alert_messages(''{}'') -> ''messages'')'), '0', 'another at the same time passes it by');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.in_session('b', 'select jsonb_array_length(public.claim_alert_messages(''{}'') -> ''messages'')'), '0', 'also when it is on its way');
-- And each end is told by one.
select dblink_exec('a', 'update public.alerts set recovering_since = now() - interval ''2 minutes'' where account_tool_environment_id = ''e4000000-0000-4000-8000-000000000001''') \g /dev/null
-- The removal of a channel takes the channel first and its rules and alerts after it. Between the two the tick must take nothing
-- of it: each would wait for the other.
select dblink_exec('b', 'begin') \g /dev/null
select pg_temp.in_session('b', 'select id::text from public.alert_channels where id = ''d4000000-0000-4000-8000-000000000002'' for update') \g /dev/null
select is(pg_temp.in_session('a', 'select private.settle_alerts()'), '0', 'an alert whose channel is being removed is passed by');
select is(pg_temp.in_session('b', 'delete from public.alert_channels where id = ''d4000000-0000-4000-8000-000000000002'' returning name'), 'two', 'and the removal goes on');
select dblink_exec('b', 'rollback') \g /dev/null
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', 'select private.settle_alerts()'), '1', 'one tick closes the alert');
select is(pg_temp.in_session('b', 'select private.settle_alerts()'), '0', 'another at the same time passes it by');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.in_session('b', 'select string_agg(m.event, '', '' order by m.number) from public.alert_messages m join public.alerts a on a.id = m.alert_id where a.account_tool_environment_id = ''e4000000-0000-4000-8000-000000000001'''),
  'opened, recovered', 'each is told once');

select dblink_exec('a', 'delete from auth.users where id = ''a4000000-0000-4000-8000-000000000001''') \g /dev/null
select count(dblink_disconnect(s)) from unnest(array['a', 'b']) s \g /dev/null
select * from finish();
rollback;
