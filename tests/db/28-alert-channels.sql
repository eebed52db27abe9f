-- How users say of what they want to be told, and where: their own rows only, and a secret that nobody reads.
begin;
\ir setup.psql
select no_plan();

create function tests.channel(p text default '') returns text language sql immutable as $$
  select format('insert into alert_channels (name, kind, webhook_url, webhook_secret%s) values (''x'', ''webhook'', ''https://h.example.org/x?y=1'', ''whsec_%s''%s)',
    split_part(p, '=', 1), repeat('Ab1+', 10), split_part(p, '=', 2))
$$;
create function tests.rule(p text default '', v text default '') returns text language sql immutable as $$
  select format('insert into alert_rules (channel_id, kind%s) values (''d0000000-0000-4000-8000-000000000001'', ''toolbox_silent''%s)', p, v)
$$;

select is(tests.try('owner', tests.channel()), '1 rows', 'an owner makes a channel');
select is(tests.try('stranger', tests.channel()), '1 rows', 'so does anybody for themselves');
select is(tests.try(a, tests.channel()), '42501', a || ' makes none') from unnest(array['nobody', 'anon', 'service']) a;
select is(tests.try('owner', tests.channel(', user_id=, ''b0000000-0000-4000-8000-000000000002''')), '42501', 'nor for somebody else');
select is(tests.try('owner', 'select id, name, webhook_url from alert_channels'), '1 rows', 'reads the own ones');
select is(tests.try('stranger', 'select id from alert_channels'), '0 rows', 'and no others');
select is(tests.try(a, 'select webhook_secret from alert_channels'), '42501', a || ' never reads a secret') from unnest(array['owner', 'stranger', 'anon', 'service']) a;
select is(tests.try('owner', 'select from alert_channels where webhook_secret like ''whsec_A%'''), '42501', 'nor asks whether it is one');
select is(tests.try('owner', 'insert into alert_channels (name, kind, webhook_url, webhook_secret) values (''x'', ''webhook'', ''https://h.example.org'', ''whsec_' || repeat('Ab1+', 10) || ''') returning webhook_secret'),
  '42501', 'nor has it returned');
select is(tests.try('owner', 'update alert_channels set webhook_secret = ''whsec_' || repeat('Ab1+', 10) || ''''), '1 rows', 'it can be replaced');
select is(tests.try('stranger', 'update alert_channels set webhook_url = ''https://mine.example.org''  where id = ''d0000000-0000-4000-8000-000000000001'''), '0 rows', 'by nobody else');
select is(tests.try('stranger', 'delete from alert_channels'), '0 rows', 'nor can a stranger remove it');
select is(tests.try('owner', 'delete from alert_channels'), '1 rows', 'the owner can');
select is(tests.try('owner', 'update alert_channels set user_id = default'), '42501', 'it is given to nobody');

select is(tests.try('owner', 'insert into alert_channels (name, kind) values (''mail'', ''email'')'), '1 rows', 'mail goes to the own address, which is not said');
select is(tests.try('owner', s), '23514', 'refused: ' || s) from unnest(array[
  $$ insert into alert_channels (name, kind, webhook_url) values ('mail', 'email', 'https://x.example.org') $$,
  $$ insert into alert_channels (name, kind, webhook_url) values ('no secret', 'webhook', 'https://x.example.org') $$,
  $$ insert into alert_channels (name, kind) values ('nothing', 'webhook') $$,
  $$ insert into alert_channels (name, kind) values ('kind', 'pigeon') $$,
  $$ insert into alert_channels (name, kind, time_zone) values ('zone', 'email', 'Europe/Atlantis') $$,
  $$ insert into alert_channels (name, kind, quiet_from) values ('half', 'email', '22:00') $$,
  $$ insert into alert_channels (name, kind, quiet_from, quiet_until) values ('all day', 'email', '22:00', '22:00') $$,
  $$ update alert_channels set webhook_secret = 'whsec_short' $$,
  $$ update alert_channels set webhook_secret = 'secret' $$,
  $$ update alert_channels set webhook_url = 'ftp://x.example.org' $$,
  $$ update alert_channels set webhook_url = 'https://u:p@x.example.org' $$,
  $$ update alert_channels set webhook_url = 'https://x.example.org/ y' $$]) s;
select is(tests.try('owner', 'insert into alert_channels (name, kind) select ''c'' || n, ''email'' from generate_series(1, 19) n'), '19 rows', 'twenty channels are enough');
select is(tests.try('owner', 'insert into alert_channels (name, kind) select ''c'' || n, ''email'' from generate_series(1, 20) n'), '23514', 'for everybody');

select is(tests.try('owner', tests.rule()), '1 rows', 'an owner makes a rule');
select is(tests.try('owner', tests.rule(', account_tool_environment_id', ', ''e0000000-0000-4000-8000-000000000001''')), '1 rows', 'for one toolbox');
select is(tests.try('owner', tests.rule(', account_tool_environment_id', ', ''e0000000-0000-4000-8000-000000000002''')), '23503', 'of their own');
select is(tests.try('stranger', tests.rule()), '23503', 'nobody sends through the channel of another');
select is(tests.try('owner', tests.rule(', user_id', ', ''b0000000-0000-4000-8000-000000000002''')), '42501', 'nor for another');
select is(tests.try('owner', 'update alert_rules set channel_id = gen_random_uuid()'), '23503', 'nor through one that is none');
select is(tests.try('owner', tests.rule(', disk_percent', ', 50')), '23514', 'only disks have a percentage');
select is(tests.try('owner', 'insert into alert_rules (channel_id, kind) select ''d0000000-0000-4000-8000-000000000001'', ''toolbox_silent'' from generate_series(1, 100)'),
  '23514', 'a hundred rules are enough');
select is(tests.try('stranger', s || ' where id = ''d1000000-0000-4000-8000-000000000001'''), '0 rows', 'a stranger cannot ' || s)
from unnest(array['update alert_rules set is_enabled = false', 'delete from alert_rules']) s;

select is(tests.try('owner', 'select * from ' || t), '1 rows', 'an owner reads ' || t) from unnest(array['alerts', 'alert_messages']) t;
select is(tests.try('stranger', 'select * from ' || t), '0 rows', 'a stranger does not') from unnest(array['alerts', 'alert_messages']) t;
select is(tests.try(a, format(s, t)), '42501', a || ': ' || format(s, t))
from unnest(array['owner', 'service']) a, unnest(array['alerts', 'alert_messages']) t,
  unnest(array['insert into %I default values', 'delete from %I', 'update %I set id = default']) s;
select is(tests.try(a, format('select %s(''{}'')', f)), '42501', format('%s does not call %s', a, f))
from unnest(array['owner', 'stranger', 'anon']) a, unnest(array['claim_alert_messages', 'record_alert_delivery']) f;

-- The test button.
select is(tests.try('owner', 'insert into alert_messages (channel_id) values (''d0000000-0000-4000-8000-000000000001'')'), '1 rows', 'an owner tests a channel');
select is(tests.try('stranger', 'insert into alert_messages (channel_id) values (''d0000000-0000-4000-8000-000000000001'')'), '42501', 'a stranger does not');
select is(tests.try('owner', 'insert into alert_messages (channel_id, event) values (''d0000000-0000-4000-8000-000000000001'', ''opened'')'), '42501', 'and nothing else is made up');
select is(tests.try('owner', 'insert into alert_messages (channel_id) select ''d0000000-0000-4000-8000-000000000001'' from generate_series(1, 2)'), '23514', 'once in ten seconds');

-- Quiet hours, in the channel's own time.
create function tests.quiet(begins time, ends time, zone text) returns boolean language sql stable as $$
  select private.is_quiet(row(null, null, 'x', 'email', null, null, null, true, begins, ends, zone, now(), now())::public.alert_channels)
$$;
create function tests.local(zone text, shift interval) returns time language sql stable as $$ select (now() at time zone zone + shift)::time $$;
select ok(not tests.quiet(null, null, 'UTC'), 'without quiet hours it is never quiet');
select ok(tests.quiet(tests.local(z, '-1 hour'), tests.local(z, '1 hour'), z), 'quiet now, in ' || z) from unnest(array['UTC', 'Asia/Tokyo', 'America/St_Johns']) z;
select ok(not tests.quiet(tests.local(z, '1 hour'), tests.local(z, '2 hours'), z), 'not yet, in ' || z) from unnest(array['UTC', 'Asia/Tokyo', 'America/St_Johns']) z;
select ok(not tests.quiet(tests.local(z, '-2 hours'), tests.local(z, '-1 hour'), z), 'no longer, in ' || z) from unnest(array['UTC', 'Asia/Tokyo', 'America/St_Johns']) z;
select ok(tests.quiet(tests.local('UTC', '-1 hour'), tests.local('UTC', '-2 hours'), 'UTC'), 'across midnight, or nearly all day');
select ok(not tests.quiet(now()::time, now()::time - interval '0', 'Nowhere/Else') is null, 'a zone that is forgotten is UTC');

select * from finish();
rollback;
