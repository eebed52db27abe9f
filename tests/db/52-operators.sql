-- What operators see and change. Who is one, the function operators finds out from the token: here nobody but it may ask.
begin;
\ir setup.psql
select no_plan();

insert into auth.users (id, email) values ('d0000000-0000-4000-8000-000000000004', 'operator@pgtap.test');
delete from rollouts;
delete from private.settings;
delete from tool_catalog c where not exists (select from account_tool_instances i where i.tool_catalog_id = c.id);
create function tests.by(p jsonb default '{}') returns jsonb language sql as $$
  select '{"operator_id": "d0000000-0000-4000-8000-000000000004", "request_id": "req-op"}'::jsonb || p
$$;

-- Nobody calls it: a claim opens no function and no row of the database, whoever wrote it.
create function tests.as_operator(statement text, claims jsonb) returns text language plpgsql as $$
declare
  outcome text;
begin
  perform set_config('request.jwt.claims', ('{"sub": "d0000000-0000-4000-8000-000000000004", "role": "authenticated"}'::jsonb || claims)::text, true);
  set local role authenticated;
  begin
    execute statement;
    get diagnostics outcome = row_count;
  exception when others then
    outcome := sqlstate;
  end;
  reset role;
  return outcome;
end $$;
create temp table functions (name text) on commit drop;
insert into functions select proname from pg_proc
  where pronamespace = 'public'::regnamespace and proname in ('get_fleet', 'get_fleet_rollout', 'set_agent_version', 'get_catalog', 'put_catalog_entry',
    'delete_catalog_entry', 'list_quotas', 'set_quota', 'get_quota', 'begin_rollout', 'stop_rollout');
select is(count(*), 11::bigint, 'all functions of operators are there') from functions;
select is(tests.try(a, format('select %I(''{}'')', name)), '42501', format('%s does not call %s', a, name))
from functions, unnest(array['owner', 'stranger', 'nobody', 'anon']) a;
select is(tests.as_operator(format('select %I(''{}'')', name), claims), '42501', format('nor does the token itself call %s: %s', name, claims))
from functions, unnest(array['{"app_metadata": {"toolbox_role": "operator"}}', '{"user_metadata": {"toolbox_role": "operator"}}',
  '{"app_metadata": {"toolbox_role": "operator"}, "client_id": "chat"}']::jsonb[]) claims;
select is(tests.as_operator('select id from ' || t, '{"app_metadata": {"toolbox_role": "operator"}}'), '0', 'an operator reads nothing of others in ' || t)
from unnest(array['account_tool_environments', 'account_tool_instances', 'toolbox_events', 'tool_instance_events', 'rollouts', 'mcp_access']) t;
select is(tests.try('service', 'select * from private.' || t), '42501', 'not even the service role reads ' || t) from unnest(array['quotas', 'operator_events']) t;
select is(tests.try('service', format('select %I(''{}'')', name)), case when name = 'get_catalog' then '1 rows' else '22023' end, 'the service role calls ' || name)
from functions;

-- The fleet
insert into account_tool_environments (id, user_id, name) values ('e5000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000002', 'lab');
create function tests.fleet(p jsonb default '{}') returns jsonb language sql as $$ select get_fleet('{"limit": 50, "offset": 0}'::jsonb || p) $$;
create function tests.named(fleet jsonb) returns text language sql as $$
  select coalesce(string_agg(t ->> 'name', ', ' order by t ->> 'name'), '') from jsonb_array_elements(fleet -> 'toolboxes') t
$$;
update account_tool_environments set last_heartbeat_at = clock_timestamp(), dtma_last_known_version = '1.9.0' where name = 'owner''s';
update account_tool_environments set last_heartbeat_at = clock_timestamp(), dtma_last_known_version = '2.0.0' where name = 'stranger''s';
select is(tests.named(tests.fleet()), 'lab, owner''s, stranger''s', 'is everybody''s toolboxes');
select is(tests.fleet() -> 'counts', '{"all": 3, "old": 0, "silent": 0, "failing": 0, "ready": 0}', 'without a wanted version none is old');
select is(set_agent_version(tests.by('{"version": "2.0.0"}')), '{"outcome": "set"}', 'which an operator sets');
select is(get_agent_version('{}') ->> 'version', '2.0.0', 'for everybody');
select is(tests.fleet() ->> 'wanted_version', '2.0.0', 'and reads');
select is(tests.fleet() -> 'counts', '{"all": 3, "old": 1, "silent": 0, "failing": 0, "ready": 1}', 'older ones are old, and can be replaced');
select is(tests.named(tests.fleet('{"show": "old"}')), 'owner''s', 'and found');
update account_tool_environments set last_heartbeat_at = clock_timestamp() - interval '4 minutes' where name = 'stranger''s';
select is(tests.named(tests.fleet('{"show": "silent"}')), 'stranger''s', 'one that does not report is silent before the clock says so');
update account_tool_environments set status = 'unresponsive' where name = 'stranger''s';
select is(tests.named(tests.fleet('{"show": "silent"}')), 'stranger''s', 'and after');
select is(tests.named(tests.fleet('{"show": "failing"}')), '', 'none is failing');
update account_tool_environments set status = 'error_provisioning', provisioning_error_message = 'No such size' where name = 'lab';
select is(tests.named(tests.fleet('{"show": "failing"}')), 'lab', 'one in an error is');
select isnt(tests.fleet() #>> '{toolboxes,0,name}', 'owner''s', 'those that need a look come first');
select is(tests.named(tests.fleet(jsonb_build_object('search', s))), found, 'the search for ' || s)
from (values ('OWNER@', 'owner''s'), ('b0000000-', 'lab, stranger''s'), ('lab', 'lab'), ('e5000000', 'lab'), ('%', '')) v (s, found);
select is(tests.fleet('{"limit": 2, "offset": 2}') ->> 'found', '3', 'a page tells of how many');
select is(jsonb_array_length(tests.fleet('{"limit": 2, "offset": 2}') -> 'toolboxes'), 1, 'it is a part');
select set_eq($$ select k from jsonb_object_keys(tests.fleet() #> '{toolboxes,0}') k $$,
  $$ select unnest(array['id', 'name', 'owner_id', 'owner_email', 'kind', 'status', 'status_changed_at', 'last_heartbeat_at', 'version', 'region_slug',
       'size_slug', 'price_monthly_usd', 'created_at', 'problem', 'tools', 'failing_tools', 'is_old', 'is_silent', 'is_failing']) $$,
  'may only shrink: what operators are told of a toolbox');

-- Rollouts of the fleet
create function tests.roll(p jsonb default '{}') returns jsonb language sql as $$
  select begin_rollout('{"user_id": "d0000000-0000-4000-8000-000000000004", "version": "2.0.0", "wave_size": 1, "is_fleet": true, "request_id": "req-op"}'::jsonb || p)
$$;
select is(tests.roll('{"is_fleet": false}') ->> 'outcome', 'not_found', 'an operator''s own rollout is of their own toolboxes');
select is(tests.roll('{"is_fleet": false, "toolbox_ids": ["e0000000-0000-4000-8000-000000000001"]}') ->> 'outcome', 'not_found', 'also where one is named');
select tests.roll() as begun \gset
select is(:'begun'::jsonb #>> '{rollout,toolboxes,0,name}', 'owner''s', 'asks those that report and have another version');
select is(jsonb_array_length(:'begun'::jsonb #> '{rollout,toolboxes}'), 1, 'and no silent one, nor one that has the version');
select is(tests.roll() ->> 'outcome', 'in_progress', 'one runs at a time');
select is(tests.roll('{"user_id": "a0000000-0000-4000-8000-000000000001"}') ->> 'outcome', 'in_progress', 'also for another operator');
select is(tests.roll('{"user_id": "a0000000-0000-4000-8000-000000000001", "is_fleet": false}') ->> 'outcome', 'begun', 'users have their own beside it');
select is(jsonb_array_length(claim_rollouts('{}') -> 'rollouts'), 2, 'the clock takes both');
select is(tests.try(a, 'select * from rollouts'), rows, format('%s reads of it: %s', a, rows)) from (values ('owner', '1 rows'), ('stranger', '0 rows'), ('anon', '42501')) v (a, rows);
select is(stop_rollout(jsonb_build_object('rollout_id', :'begun'::jsonb #>> '{rollout,id}', 'user_id', 'd0000000-0000-4000-8000-000000000004')) ->> 'outcome',
  'not_found', 'it is stopped as an operator only');
select is(stop_rollout(jsonb_build_object('rollout_id', :'begun'::jsonb #>> '{rollout,id}', 'is_fleet', true, 'user_id', 'b0000000-0000-4000-8000-000000000002')) #>> '{rollout,state}',
  'stopped', 'by any');
select is(stop_rollout(jsonb_build_object('rollout_id', id, 'is_fleet', true, 'user_id', 'd0000000-0000-4000-8000-000000000004')) ->> 'outcome', 'not_found', 'operators stop none of a user''s')
from rollouts where not is_fleet;
select is(tests.fleet() #>> '{rollouts,0,reason,message}', 'An operator stopped it; toolboxes that were asked already go on', 'operators read it with the fleet');
select is(jsonb_array_length(tests.fleet() -> 'rollouts'), 1, 'and no user''s');
-- The owner's refused it; the stranger's reports too by now, and is younger.
create function tests.order_of(version text) returns text language plpgsql as $$
declare
  names text;
begin
  update rollouts set leased_until = now() - interval '1 second';
  update account_tool_environments set status = 'active', dtma_last_known_version = '1.0.0'
  where id in ('e0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000002');
  select string_agg(t ->> 'name', ', ' order by place) into names
  from jsonb_array_elements(tests.roll(jsonb_build_object('version', version)) #> '{rollout,toolboxes}') with ordinality as a (t, place)
  where t ->> 'id' in ('e0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000002');
  update rollouts set state = 'stopped', ended_at = now(), reason = '{"code": "x", "message": "x"}' where is_fleet and state = 'running';
  return names;
end;
$$;
update rollouts set toolboxes = jsonb_set(toolboxes, '{0,state}', '"failed"') where is_fleet;
select is(tests.order_of('3.0.0'), 'owner''s, stranger''s', 'the oldest comes first');
select is(tests.order_of('2.0.0'), 'stranger''s, owner''s', 'but after the others where it failed at this version before');
update rollouts set leased_until = now();
select is(jsonb_array_length(tests.roll('{"toolbox_ids": ["e0000000-0000-4000-8000-000000000002", "e0000000-0000-4000-8000-000000000001"]}') #> '{rollout,toolboxes}'), 2,
  'those that are named are asked, silent or not');
select is(record_toolbox_event('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "actor_kind": "operator", "actor_id": "d0000000-0000-4000-8000-000000000004",
  "kind": "agent_redeploy", "result": "begun"}') ->> 'outcome', 'recorded', 'what is done is history of the owner''s');
select is(tests.try('owner', $$ select from toolbox_events where actor_kind = 'operator' $$), '1 rows', 'who reads who it was');
select throws_ok($$ select record_toolbox_event('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "actor_kind": "operator", "kind": "x", "result": "begun"}') $$,
  '23514', null, 'an operator has an id');

-- The catalog
create function tests.entry(p jsonb default '{}') returns jsonb language sql as $$
  select put_catalog_entry(tests.by('{"catalog_id": "f5000000-0000-4000-8000-000000000001", "name": "Weather", "tool_name": "weather", "description": "", "category": "mcp",
    "packaging_type": "docker_image", "default_spec": {"image": "ghcr.io/x/weather:1"}, "required_config_schema": {"type": "object"},
    "required_secrets_schema": {"type": "object"}, "status": "available", "is_public": true, "version": "1.0.0"}'::jsonb || p))
$$;
create function tests.offered() returns text language sql as $$ select tests.try('stranger', $i$ select from tool_catalog where tool_name = 'weather' $i$) $$;
select is(tests.entry(), '{"outcome": "put", "is_new": true}', 'an entry is made');
select is(tests.offered(), '1 rows', 'and users find it');
select is(tests.entry('{"default_spec": {"image": ""}, "provider": "x"}'), '{"outcome": "put", "is_new": false}', 'changed');
select results_eq($$ select docker_image_url, provider, default_spec from tool_catalog where tool_name = 'weather' $$, $$ values (null::text, 'x', '{}'::jsonb) $$, 'as a whole');
select is(tests.entry('{"status": "archived"}') ->> 'outcome', 'put', 'archived');
select is(tests.offered(), '0 rows', 'then users do not find it');
select is(tests.entry('{"is_public": false}') ->> 'outcome', 'put', 'or hidden');
select is(tests.offered(), '0 rows', 'nor then');
select is(tests.entry('{"updated_at": "2026-01-01T00:00:00Z"}'), '{"outcome": "changed_since"}', 'who read it before it was changed changes nothing');
select is(tests.offered(), '0 rows', 'and does not show it again');
select is(tests.entry(jsonb_build_object('updated_at', updated_at, 'is_public', false)) ->> 'outcome', 'put', 'who read it as it is does') from tool_catalog where tool_name = 'weather';
select is(entry ->> 'tools', '0', 'operators do') from jsonb_array_elements(get_catalog('{}') -> 'entries') entry where entry ->> 'name' = 'Weather';
select is(tests.entry('{"catalog_id": "f5000000-0000-4000-8000-000000000002"}'), '{"outcome": "name_taken"}', 'a name is one entry''s');
select throws_ok($$ select tests.entry('{"tool_name": "Weather!"}') $$, '23514', null, 'the rules of the table hold');
create function tests.drop_entry(entry uuid) returns text language sql as $$ select delete_catalog_entry(tests.by(jsonb_build_object('catalog_id', entry))) ->> 'outcome' $$;
select is(tests.drop_entry(tool_catalog_id), 'in_use', 'what a tool was deployed from stays') from account_tool_instances limit 1;
select is(tests.drop_entry('f5000000-0000-4000-8000-000000000001'), 'deleted', 'another goes');
select is(tests.drop_entry('f5000000-0000-4000-8000-000000000001'), 'not_found', 'once');

-- Quotas: the owner has one toolbox with one tool.
create function tests.quota(p jsonb) returns text language sql as $$
  select set_quota(tests.by('{"user_id": "a0000000-0000-4000-8000-000000000001"}'::jsonb || p)) ->> 'outcome'
$$;
create function tests.may() returns jsonb language sql as $$
  select get_quota('{"user_id": "a0000000-0000-4000-8000-000000000001", "max_toolboxes": 20, "max_monthly_usd": 200, "max_tools": 100}')
$$;
create function tests.own() returns jsonb language sql as $$
  select create_own_toolbox('{"user_id": "a0000000-0000-4000-8000-000000000001", "name": "more", "max_toolboxes": 2}') - 'id'
$$;
create function tests.order() returns jsonb language sql as $$
  select order_toolbox('{"user_id": "a0000000-0000-4000-8000-000000000001", "name": "droplet", "max_toolboxes": 2, "max_monthly_usd": 10,
    "region_slug": "fra1", "size_slug": "small", "image_slug": "ubuntu-24-04-x64", "price_hourly_usd": 0.01, "price_monthly_usd": 12}'::jsonb) - 'id'
$$;
select is(tests.may(), '{"outcome": "found", "used": {"toolboxes": 1, "monthly_usd": 0}, "limits": {"toolboxes": 20, "monthly_usd": 200, "tools": 100}}',
  'without a quota the variables count');
select is(tests.own() ->> 'outcome', 'created', 'a second toolbox is allowed');
select is(tests.own(), '{"outcome": "quota_exceeded", "most": 2}', 'a third is not');
select is(tests.order(), '{"outcome": "too_many", "most": 2}', 'nor is one that is bought');
select is(tests.quota('{"toolboxes": 3}'), 'set', 'an operator allows three');
select is(tests.may() -> 'limits', '{"toolboxes": 3, "monthly_usd": 200, "tools": 100}', 'which the user is told');
select is(tests.order(), '{"outcome": "too_dear", "monthly_usd": 12.00, "most_monthly_usd": 10}', 'the price has its own limit');
select is(tests.quota('{"toolboxes": 3, "monthly_usd": 20}'), 'set', 'which is raised too');
select is(tests.order() ->> 'outcome', 'ordered', 'then it is bought');
select is(tests.own(), '{"outcome": "quota_exceeded", "most": 3}', 'and a fourth is refused');
select id as bought from account_tool_environments where kind = 'droplet' \gset
update account_tool_environments set status = 'provisioning' where id = :'bought';
update account_tool_environments set status = 'awaiting_heartbeat', do_droplet_id = 1 where id = :'bought';
update account_tool_environments set status = 'active', provisioning_step = null where id = :'bought';
select is(ask_toolbox(jsonb_build_object('toolbox_id', :'bought', 'user_id', 'a0000000-0000-4000-8000-000000000001', 'change', 'resize', 'size_slug', 'x',
  'price_hourly_usd', 0.1, 'price_monthly_usd', 24, 'max_monthly_usd', 1000)), '{"outcome": "too_dear", "monthly_usd": 24.00, "most_monthly_usd": 20}', 'a larger size as well');
select is(tests.quota('{"tools": 1}'), 'set', 'tools have a limit, and what is not named is as everybody''s');
select is(tests.begin('{"action": "deploy", "instance_id": "c5000000-0000-4000-8000-000000000001", "name": "n", "container_name": "n-1", "to_status": "pending_deploy",
  "tool_catalog_id": "00000000-0000-0000-0000-000000000001", "spec": {"image": "x"}, "max_instances": 100}'), '{"outcome": "quota_exceeded", "limit": 1}', 'it counts at a deployment');
select is(tests.may() -> 'limits', '{"toolboxes": 20, "monthly_usd": 200, "tools": 1}', 'alone');
select results_eq($$ select u ->> 'email', u -> 'quota' ->> 'tools', u -> 'used' ->> 'toolboxes' from jsonb_array_elements(list_quotas('{"limit": 50, "offset": 0}') -> 'users') with ordinality x (u, n) where n = 1 $$,
  $$ values ('owner@pgtap.test', '1', '3') $$, 'who has a quota comes first');
select is(list_quotas('{"limit": 50, "offset": 0, "search": "STRANGER"}') ->> 'found', '1', 'others are found');
select is(tests.quota('{}'), 'set', 'an empty one');
select is_empty('select from private.quotas', 'is none');
select is(tests.quota('{"user_id": "a0000000-0000-4000-8000-000000000009", "tools": 1}'), 'not_found', 'nobody else has one');
select throws_ok($$ select tests.quota('{"toolboxes": -1}') $$, '23514', null, 'none is negative');

-- What they did
select results_eq('select kind, count(*) from private.operator_events where actor_id::text like ''d%'' and request_id = ''req-op'' group by 1 order by 1',
  $$ values ('agent_version_set', 1::bigint), ('entry_deleted', 1), ('entry_put', 5), ('quota_set', 4), ('rollout_begun', 4) $$, 'is kept');
update private.operator_events set occurred_at = now() - interval '91 days' where kind = 'entry_put';
select private.delete_old_toolbox_events() \g /dev/null
select is_empty('select from private.operator_events where kind = ''entry_put''', 'as long as other history');

select * from finish();
rollback;
