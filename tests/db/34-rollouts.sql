-- Agents of many toolboxes replaced in waves: whose toolboxes, who reads, who goes on with it, and how it ends.
begin;
\ir setup.psql
select no_plan();

delete from rollouts;
insert into account_tool_environments (id, user_id, name, created_at)
  select ('e3000000-0000-4000-8000-00000000000' || n)::uuid, 'a0000000-0000-4000-8000-000000000001', 'box ' || n, now() + n * interval '1 second' from generate_series(1, 3) n;
update account_tool_environments set status = 'provisioning' where id::text like 'e3%' and name <> 'box 3';
update account_tool_environments set status = 'awaiting_heartbeat' where id::text like 'e3%' and name <> 'box 3';
update account_tool_environments set status = 'active' where id::text like 'e3%' and name <> 'box 3';
create function tests.roll(p jsonb default '{}') returns jsonb language sql as $$
  select begin_rollout(jsonb_build_object('user_id', 'a0000000-0000-4000-8000-000000000001', 'version', '2.0.0', 'wave_size', 1, 'request_id', 'req-roll') || p)
$$;
create function tests.names(rollout jsonb) returns text language sql as $$
  select string_agg(t ->> 'name', ', ' order by n) from jsonb_array_elements(rollout -> 'toolboxes') with ordinality x (t, n)
$$;
create function tests.claimed() returns jsonb language sql as $$ select claim_rollouts('{}') -> 'rollouts' $$;

-- Whose toolboxes.
select is(tests.roll(format('{"toolbox_ids": %s}', ids)::jsonb) ->> 'outcome', 'not_found', what)
from (values ('["e0000000-0000-4000-8000-000000000002"]', 'a toolbox of another is none'),
  ('["e3000000-0000-4000-8000-000000000001", "e0000000-0000-4000-8000-000000000002"]', 'also beside an own one'),
  ('["e3000000-0000-4000-8000-000000000009"]', 'nor is one that does not exist'), ('[]', 'an empty list names none, and not all')) v (ids, what);
select is_empty('select from rollouts', 'and nothing is begun');
select is(tests.roll('{"user_id": "c0000000-0000-4000-8000-000000000009"}') ->> 'outcome', 'not_found', 'who has no toolbox has nothing to replace');
select throws_ok($$ select tests.roll('{"version": "../1"}') $$, '23514', null, 'a version is one');
select throws_ok(format('select tests.roll(''{"wave_size": %s}'')', n), '23514', null, 'no wave of ' || n) from unnest(array[0, 11]) n;
select is(tests.names(tests.roll('{"toolbox_ids": ["e3000000-0000-4000-8000-000000000002", "e0000000-0000-4000-8000-000000000001"]}') -> 'rollout'), 'box 2, owner''s', 'the order is the list''s');
select is(tests.roll() ->> 'outcome', 'in_progress', 'one at a time');
select is(tests.roll('{"user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome', 'begun', 'for each user');
delete from rollouts;
select tests.roll() -> 'rollout' as begun \gset
select is(tests.names(:'begun'), 'owner''s, box 1, box 2', 'all are those that have a machine, the oldest first');

-- Who reads, who writes.
select is(tests.try('owner', 'select * from rollouts'), '1 rows', 'the owner reads it');
select is(tests.try('stranger', 'select * from rollouts'), '0 rows', 'a stranger does not');
select is(tests.try(a, s), '42501', a || ': ' || s)
from unnest(array['owner', 'service']) a, unnest(array['insert into rollouts default values', 'delete from rollouts', 'update rollouts set state = default']) s;
select is(tests.try(a, format('select %s(''{}'')', f)), '42501', format('%s does not call %s', a, f))
from unnest(array['owner', 'stranger', 'anon']) a, unnest(array['begin_rollout', 'stop_rollout', 'claim_rollouts', 'record_rollout']) f;

-- Who goes on with it.
select tests.claimed() as first \gset
select is((:'first'::jsonb -> 0) - array['rows', 'created_at', 'leased_until'], :'begun'::jsonb - array['created_at', 'leased_until'] || '{"step": 1}', 'a tick takes it');
select is(:'first'::jsonb #> '{0,rows}' -> 0 ->> 'public_ip_address', '127.0.0.1', 'with the row of the toolbox that is next');
select is(jsonb_array_length(:'first'::jsonb #> '{0,rows}'), 1, 'and no other');
select is(tests.claimed(), '[]', 'and has it alone');
create function tests.write(of_step integer, states text[], becomes text default 'running', because jsonb default null) returns text language sql as $$
  select record_rollout(jsonb_build_object('rollout_id', r.id, 'step', of_step, 'state', becomes, 'reason', because, 'toolboxes', (
    select jsonb_agg(t || jsonb_build_object('state', states[n]) order by n) from jsonb_array_elements(r.toolboxes) with ordinality x (t, n)
  ))) ->> 'outcome' from rollouts r where r.user_id = 'a0000000-0000-4000-8000-000000000001'
$$;
update rollouts set leased_until = now() - interval '1 second';
select tests.claimed() \g /dev/null
select is(tests.write(1, '{asked,waiting,waiting}'), 'superseded', 'who took too long writes nothing');
select is(tests.write(2, '{asked,waiting,waiting}'), 'recorded', 'who has it does');
select is(jsonb_array_length(tests.claimed() #> '{0,rows}'), 2, 'those that are under way come with those that may be next');
-- How it ends.
select is(stop_rollout('{"rollout_id": "d3000000-0000-4000-8000-000000000009", "user_id": "a0000000-0000-4000-8000-000000000001"}') ->> 'outcome', 'not_found', 'no such rollout');
select is(stop_rollout(jsonb_build_object('rollout_id', id, 'user_id', 'b0000000-0000-4000-8000-000000000002')) ->> 'outcome', 'not_found', 'a stranger stops none') from rollouts;
select is(stop_rollout(jsonb_build_object('rollout_id', id, 'user_id', user_id)) #>> '{rollout,state}', 'stopped', 'its user does') from rollouts;
select is(tests.write(3, '{asked,asked,waiting}'), 'recorded', 'what was begun meanwhile is written');
select results_eq('select state, reason ->> ''code'', ended_at is not null from rollouts', $$ values ('stopped', 'stopped_by_user', true) $$, 'and it stays stopped');
select is(tests.claimed() #>> '{0,step}', '4', 'while toolboxes are under way it is looked after');
select is(tests.roll() ->> 'outcome', 'in_progress', 'and no other begins');
select is(tests.write(4, '{healthy,failed,waiting}', 'stopped', '{"code": "x", "message": "y"}'), 'recorded', 'until they have ended');
select is(tests.claimed(), '[]', 'then no longer');
update rollouts set leased_until = now() + interval '1 minute';
select is(tests.roll() ->> 'outcome', 'in_progress', 'one that a tick has may just ask toolboxes');
update rollouts set leased_until = now();
select is(stop_rollout(jsonb_build_object('rollout_id', id, 'user_id', user_id)) #>> '{rollout,reason,code}', 'stopped_by_user', 'what has ended stays as it is') from rollouts;
select is(tests.roll() ->> 'outcome', 'begun', 'and the next may begin');
select tests.claimed() \g /dev/null
select is(record_rollout(jsonb_build_object('rollout_id', id, 'step', 1, 'state', 'stopped', 'toolboxes', toolboxes, 'reason', '{"code": "agent_unreachable", "message": "x"}'::jsonb)) ->> 'outcome', 'recorded', 'a failure stops it')
from rollouts where state = 'running';
select is(count(*), 2::bigint, 'with a reason') from rollouts where state = 'stopped' and reason is not null;

-- Users take turns: who was served last is last.
delete from rollouts;
insert into rollouts (user_id, version, wave_size, toolboxes, state, reason, ended_at, leased_until)
  select case n when 6 then 'b0000000-0000-4000-8000-000000000002' else 'a0000000-0000-4000-8000-000000000001' end::uuid, '2.0.0', 1,
    '[{"state": "asked"}]', 'stopped', '{}', now(), now() - n * interval '1 second' from generate_series(1, 6) n;
select results_eq('select claimed ->> ''version'', count(*), count(*) filter (where claimed ->> ''user_id'' like ''b%'') from jsonb_array_elements(tests.claimed()) claimed group by 1',
  $$ values ('2.0.0', 5::bigint, 1::bigint) $$, 'of more than five those that wait longest');
set local enable_seqscan = off;
create function tests.plan(statement text) returns setof text language plpgsql as $$ begin return query execute 'explain ' || statement; end $$;
select matches(string_agg(line, ' '), 'rollouts_due_idx', 'and ended ones are not read for it')
from tests.plan('select id from rollouts r where r.is_due and r.leased_until <= clock_timestamp() order by r.leased_until limit 5') line;
reset enable_seqscan;

-- What ended longer ago than history is kept goes with the clock, unless toolboxes of it are under way.
delete from rollouts;
insert into rollouts (user_id, version, wave_size, toolboxes, state, reason, ended_at)
  select 'a0000000-0000-4000-8000-000000000001', '2.0.0', 1, jsonb_build_array(jsonb_build_object('state', s)), 'stopped', '{}', now() - days * interval '1 day'
  from (values ('failed', 89), ('failed', 91), ('asked', 91)) v (s, days);
select private.delete_old_toolbox_events() \g /dev/null
select results_eq('select toolboxes #>> ''{0,state}'', ended_at > now() - interval ''90 days'' from rollouts order by ended_at', $$ values ('asked', false), ('failed', true) $$,
  'ended ones go with their history');

select * from finish();
rollback;
