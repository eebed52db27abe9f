-- How messages leave the outbox: in order, with a lease, a bounded number of times, not in quiet hours, and none at the cost of another.
begin;
\ir setup.psql
select no_plan();

delete from alerts;
create function tests.alert(channel uuid default 'd0000000-0000-4000-8000-000000000001') returns uuid language plpgsql as $$
declare
  rule uuid;
  made uuid;
begin
  insert into alert_rules (user_id, channel_id, kind) select c.user_id, c.id, 'instance_error' from alert_channels c where c.id = channel
  returning id into rule;
  insert into alerts (rule_id, user_id, account_tool_environment_id, kind, subject_id, subject_name, detail)
  values (rule, 'a0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000001', 'instance_error', gen_random_uuid(), 'tool', '{"reason_code": "exited"}')
  returning id into made;
  insert into alert_messages (alert_id, channel_id, event) values (made, channel, 'opened');
  return made;
end $$;
create function tests.claim() returns setof jsonb language sql as $$ select jsonb_array_elements(claim_alert_messages('{}') -> 'messages') $$;
create function tests.told(message jsonb, p jsonb) returns text language sql as $$
  select concat_ws(' ', r ->> 'outcome', r ->> 'state') from record_alert_delivery(jsonb_build_object('message_id', message -> 'id', 'attempt', message -> 'attempt') || p) r
$$;

select tests.alert() as alert \gset
select tests.claim() as message \gset
select is(:'message'::jsonb #- '{alert,opened_at}', jsonb_build_object('id', m.id, 'event', 'opened', 'attempt', 1, 'channel', jsonb_build_object('kind', 'webhook',
  'id', 'd0000000-0000-4000-8000-000000000001',
  'webhook_url', 'https://hooks.example.org/toolbox', 'webhook_secret', 'whsec_' || encode(sha256('x'), 'base64'), 'webhook_secret_key_id', null, 'email', null),
  'alert', jsonb_build_object('id', a.id, 'kind', 'instance_error', 'toolbox_id', a.account_tool_environment_id, 'toolbox_name', 'owner''s', 'instance_id', a.subject_id,
    'instance_name', 'tool', 'detail', a.detail, 'closed_at', null, 'times', 1)), 'a message comes with its alert and its channel')
from alert_messages m join alerts a on a.id = m.alert_id;
select is_empty('select tests.claim()', 'who has taken it has it alone');
update alert_messages set due_at = due_at - interval '61 seconds';
select tests.claim() as second \gset
select is(:'second'::jsonb ->> 'attempt', '2', 'for a minute');
select is(tests.told(:'message', '{"outcome": "delivered"}'), 'superseded delivered', 'what comes later than that does not count');
select is(tests.told(:'second', '{"outcome": "retry", "status": 503, "code": "webhook_refused"}'), 'recorded pending', 'what failed waits');
select results_eq('select last_status, last_code, state, due_at - now() between interval ''29 seconds'' and interval ''34 seconds'' from alert_messages',
  $$ values (503, 'webhook_refused', 'pending', true) $$, 'longer each time');
-- Of the same alert nothing overtakes it.
insert into alert_messages (alert_id, channel_id, event) values (:'alert', 'd0000000-0000-4000-8000-000000000001', 'recovered');
select is_empty('select tests.claim()', 'the recovery waits for the beginning');
create function tests.fail_on() returns text language plpgsql as $$
declare
  message jsonb;
  tries integer := 0;
begin
  loop
    update alert_messages set due_at = clock_timestamp() where state = 'pending' and event = 'opened';
    message := (select m from tests.claim() m limit 1);
    exit when message ->> 'event' is distinct from 'opened' or tries > 20;
    tries := message ->> 'attempt';
    perform tests.told(message, '{"outcome": "retry", "code": "webhook_timeout"}');
  end loop;
  return tries || ' then ' || coalesce(message ->> 'event', 'nothing');
end $$;
select is(tests.fail_on(), '8 then recovered', 'eight attempts, then it is given up and the next one goes');
select is((select string_agg(state, ', ' order by number) from alert_messages), 'failed, pending', 'and says so');
-- Whoever sends and dies says nothing. That is an attempt all the same.
create function tests.die() returns text language plpgsql as $$
declare
  tries integer := 0;
begin
  while exists (select from tests.claim()) and tries < 20 loop
    tries := tries + 1;
    update alert_messages set due_at = clock_timestamp() where state = 'pending';
  end loop;
  return (select concat_ws(' ', tries, m.state, m.attempts, m.last_code, m.finished_at is not null) from alert_messages m order by m.number desc limit 1);
end $$;
update alert_messages set attempts = 0, due_at = clock_timestamp() where state = 'pending';
select is(tests.die(), '8 failed 8 outcome_unknown t', 'a message whose attempts nobody recorded ends as well');
select throws_ok($$ select record_alert_delivery('{"message_id": "d0000000-0000-4000-8000-000000000001", "attempt": 1, "outcome": "perhaps"}') $$, '22023', null, 'an outcome is one of three');

-- Nobody waits for a channel that fails or is flooded.
delete from alerts;
insert into alert_channels (id, user_id, name, kind) values
  ('d0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000001', 'mail', 'email'),
  ('d0000000-0000-4000-8000-000000000004', 'b0000000-0000-4000-8000-000000000002', 'mail', 'email');
select count(tests.alert()) from generate_series(1, 50) \g /dev/null
insert into alert_channels (user_id, name, kind) select 'a0000000-0000-4000-8000-000000000001', 'c' || n, 'email' from generate_series(1, 12) n;
select count(tests.alert(c.id)) from alert_channels c, generate_series(1, 3) where c.name ~ '^c' \g /dev/null
select tests.alert('d0000000-0000-4000-8000-000000000003') as mine \gset
select tests.alert('d0000000-0000-4000-8000-000000000004') as theirs \gset
update auth.users set email_confirmed_at = now() where email = 'owner@pgtap.test';
create temp table of_both on commit drop as select c from tests.claim() c;
select results_eq($$ select c.user_id, count(*) from of_both join alert_messages m on m.id = (of_both.c ->> 'id')::uuid join alert_channels c on c.id = m.channel_id
  group by 1 order by 1 $$, $$ values ('a0000000-0000-4000-8000-000000000001'::uuid, 29::bigint), ('b0000000-0000-4000-8000-000000000002', 1) $$,
  'the many channels of one user keep no other waiting');
select is(count(distinct (c -> 'channel') - 'id'), 3::bigint, 'nor does one of them keep another') from of_both;
delete from alert_channels where name ~ '^c';
update alert_messages set attempts = 0, due_at = clock_timestamp() where state = 'pending';
create temp table claimed on commit drop as select c from tests.claim() c;
select results_eq($$ select c #>> '{channel,kind}', c #>> '{channel,email}', count(*) from claimed group by 1, 2 order by 1, 2 $$,
  $$ values ('email', 'owner@pgtap.test', 1::bigint), ('email', null, 1), ('webhook', null, 3) $$, 'three of a channel; mail goes to a confirmed address or to none');

-- Quiet hours, and a channel that is off.
delete from alerts;
select tests.alert() as alert \gset
update alert_channels set quiet_from = (now() - interval '1 hour') at time zone 'UTC', quiet_until = (now() + interval '1 hour') at time zone 'UTC' where kind = 'webhook';
select is_empty('select tests.claim()', 'in quiet hours a message waits');
update alert_channels set quiet_until = (now() - interval '1 minute') at time zone 'UTC', quiet_from = (now() - interval '2 hours') at time zone 'UTC' where kind = 'webhook';
update alert_channels set is_enabled = false where kind = 'webhook';
select is_empty('select tests.claim()', 'so does one of a channel that is off');
update alert_channels set is_enabled = true where kind = 'webhook';
select is(count(*), 1::bigint, 'then it is sent') from tests.claim();
create function tests.many(n integer) returns void language plpgsql as $$
declare
  made uuid;
begin
  for i in 1..n loop
    insert into auth.users (id) values (gen_random_uuid()) returning id into made;
    insert into alert_channels (user_id, name, kind) values (made, 'mail', 'email') returning id into made;
    perform tests.alert(made);
  end loop;
end $$;
select tests.many(40);
select is(count(*), 30::bigint, 'thirty at once at most') from tests.claim();
select is(count(*), 10::bigint, 'the rest with the next tick') from tests.claim();

-- A test: at once, also in quiet hours, and tried once.
delete from alert_messages;
update alert_channels set quiet_from = (now() - interval '1 hour') at time zone 'UTC', quiet_until = (now() + interval '1 hour') at time zone 'UTC' where kind = 'webhook';
insert into alert_messages (channel_id) values ('d0000000-0000-4000-8000-000000000001');
select tests.claim() as test \gset
select is(:'test'::jsonb ->> 'event', 'test', 'a test is sent in quiet hours');
select is(:'test'::jsonb -> 'alert', 'null', 'and is about nothing');
select is(tests.told(:'test', '{"outcome": "retry", "status": 500, "code": "target_refused"}'), 'recorded failed', 'what its receiver said is told at once');
update alert_messages set created_at = created_at - interval '1 minute';
insert into alert_messages (channel_id) values ('d0000000-0000-4000-8000-000000000001');
select is(tests.die(), '1 failed 1 outcome_unknown t', 'so is that nobody said what became of it');
update alert_channels set is_enabled = false;
update alert_messages set created_at = created_at - interval '1 minute';
insert into alert_messages (channel_id) values ('d0000000-0000-4000-8000-000000000001');
select is(string_agg(c ->> 'event', ', '), 'test', 'a channel that is off is tested as well, so no test waits for ever') from tests.claim() c;
update alert_messages set state = 'delivered', finished_at = now() where state = 'pending';
update alert_messages set finished_at = finished_at - interval '91 days';
select is(private.delete_old_alerts(), 0, 'no alert is old');
select is_empty('select from alert_messages', 'but tests go with their time');

select * from finish();
rollback;
