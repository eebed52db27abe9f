-- What operators did outlasts their account; what users have of their own goes with theirs. And what operators read of a rollout is bounded.
begin;
\ir setup.psql
select no_plan();

insert into auth.users (id, email) values ('d0000000-0000-4000-8000-000000000004', 'operator@pgtap.test'), ('d1000000-0000-4000-8000-000000000004', 'other@pgtap.test');
delete from rollouts;
-- An operator has toolboxes of their own too.
insert into account_tool_environments (id, user_id, name) values ('e6000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000004', 'operator''s');
create function tests.roll(p jsonb default '{}') returns jsonb language sql as $$
  select begin_rollout('{"user_id": "d0000000-0000-4000-8000-000000000004", "version": "2.0.0", "wave_size": 1, "is_fleet": true, "request_id": "req-op"}'::jsonb || p)
$$;
create function tests.due() returns jsonb language plpgsql as $$
begin
  update rollouts set leased_until = now() - interval '1 second';
  return claim_rollouts('{}') -> 'rollouts';
end $$;
create function tests.fleet() returns jsonb language sql as $$ select get_fleet('{"limit": 50, "offset": 0}') #> '{rollouts,0}' $$;

-- Whose rows go with an account. A new one belongs here only when it is about that user alone.
select set_eq($$
  select conrelid::regclass::text || '.' || attname from pg_constraint join pg_attribute on attrelid = conrelid and attnum = conkey[1]
  where confrelid = 'auth.users'::regclass and confdeltype = 'c' and connamespace in ('public'::regnamespace, 'private'::regnamespace)
$$, $$ values ('agents.user_id'), ('alert_channels.user_id'), ('alert_rules.user_id'), ('alerts.user_id'), ('mcp_access.granted_by'), ('mcp_access.user_id'),
  ('operation_receipts.user_id'), ('private.quotas.user_id'), ('rollouts.owner_id'), ('tool_instance_operations.user_id') $$, 'what is one user''s own, and nothing that an operator did');

select tests.roll() #>> '{rollout,id}' as id \gset
select is(tests.roll('{"is_fleet": false, "toolbox_ids": ["e6000000-0000-4000-8000-000000000001"]}') ->> 'outcome', 'begun', 'beside it one of their own');
select is(tests.fleet() ->> 'operator_email', 'operator@pgtap.test', 'operators read who asked');
select is(set_quota('{"operator_id": "d0000000-0000-4000-8000-000000000004", "user_id": "a0000000-0000-4000-8000-000000000001", "tools": 7}') ->> 'outcome', 'set', 'they set a quota');
select is(put_catalog_entry('{"operator_id": "d0000000-0000-4000-8000-000000000004", "catalog_id": "f6000000-0000-4000-8000-000000000001", "name": "Tides", "tool_name": "tides",
  "description": "", "category": "mcp", "packaging_type": "docker_image", "default_spec": {"image": "ghcr.io/x/tides:1"}, "required_config_schema": {"type": "object"},
  "required_secrets_schema": {"type": "object"}, "status": "available", "is_public": true, "version": "1.0.0"}') ->> 'outcome', 'put', 'make an entry');
select is(record_toolbox_event('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "actor_kind": "operator", "actor_id": "d0000000-0000-4000-8000-000000000004",
  "kind": "agent_redeploy", "result": "begun"}') ->> 'outcome', 'recorded', 'and ask the owner''s machine');

delete from auth.users where email = 'operator@pgtap.test';

select results_eq('select id, state from rollouts', format($$ values (%L::uuid, 'running') $$, :'id'), 'the rollout of the fleet goes on without its operator, their own does not');
select is(status::text, 'pending_deprovision', 'as their toolbox does not') from account_tool_environments where name = 'operator''s';
select tests.due() as due \gset
select is(:'due'::jsonb #>> '{0,user_id}', 'd0000000-0000-4000-8000-000000000004', 'the clock takes it, and knows whose it was for the history of who is asked next');
select is(record_rollout(jsonb_build_object('rollout_id', :'id', 'step', 1, 'state', 'running', 'toolboxes', jsonb_set(:'due'::jsonb #> '{0,toolboxes}', '{0,state}', '"asked"'))) ->> 'outcome',
  'recorded', 'and writes how it goes');
select is(tests.fleet() -> 'operator_email', 'null', 'operators read that the account is gone');
select is(tests.fleet() ->> 'operator_id', 'd0000000-0000-4000-8000-000000000004', 'and which it was');
select results_eq($$ select kind from private.operator_events where actor_id = 'd0000000-0000-4000-8000-000000000004' order by id $$,
  $$ values ('rollout_begun'), ('quota_set'), ('entry_put') $$, 'what they did is kept');
select is(tests.try('owner', $$ select from toolbox_events where actor_kind = 'operator' and actor_id = 'd0000000-0000-4000-8000-000000000004' $$), '1 rows', 'the owner reads it still');
select is(tests.try('owner', 'select from rollouts'), '0 rows', 'and nothing of the fleet');
select is(max_tools, 7, 'the quota holds') from private.quotas;
select is(count(*), 1::bigint, 'the entry is offered') from tool_catalog where name = 'Tides' and status = 'available';
select is(stop_rollout(jsonb_build_object('rollout_id', :'id', 'is_fleet', true, 'user_id', 'd1000000-0000-4000-8000-000000000004')) #>> '{rollout,state}', 'stopped', 'another operator stops it');

-- Who is asked may leave as well.
select is(jsonb_array_length(tests.due() #> '{0,rows}'), 2, 'a machine that is under way is looked after');
delete from auth.users where email = 'owner@pgtap.test';
select is(:'due'::jsonb #>> '{0,toolboxes,0,name}', 'owner''s', 'its owner''s account is deleted');
select is(jsonb_path_query_array(tests.due(), '$[0].rows[*].id'), '["e0000000-0000-4000-8000-000000000002"]', 'one that is being removed is not waited for');

-- The page reads counts and what needs a look; all of one rollout is another question.
delete from rollouts;
insert into rollouts (user_id, is_fleet, version, wave_size, toolboxes) select 'd1000000-0000-4000-8000-000000000004', true, '2.0.0', 10, jsonb_agg(jsonb_build_object(
  'id', gen_random_uuid(), 'name', n, 'state', case when n <= 400 then 'healthy' when n <= 450 then 'failed' when n <= 460 then 'asked' else 'waiting' end) order by n)
from generate_series(1, 500) n;
select is(tests.fleet() -> 'counts', '{"waiting": 40, "asked": 10, "healthy": 400, "failed": 50, "silent": 0, "removed": 0}', 'how many are how far');
select results_eq($$ select t ->> 'state', count(*), min((t ->> 'name')::int) from jsonb_array_elements(tests.fleet() -> 'toolboxes') t group by 1 order by 1 $$,
  $$ values ('asked', 10::bigint, 451), ('failed', 10, 401) $$, 'those under way and the first that failed, 20 at most');
select is(jsonb_array_length(get_fleet_rollout(jsonb_build_object('rollout_id', id)) #> '{rollout,toolboxes}'), 500, 'all of one') from rollouts;
select is(get_fleet_rollout(jsonb_build_object('rollout_id', id)) #>> '{rollout,operator_email}', 'other@pgtap.test', 'with who asked') from rollouts;
update rollouts set is_fleet = false;
select is(get_fleet_rollout(jsonb_build_object('rollout_id', id)), '{"outcome": "not_found"}', 'a user''s is none of theirs') from rollouts;

select * from finish();
rollback;
