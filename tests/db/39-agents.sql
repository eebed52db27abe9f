-- Agents, and which toolbox each has.
begin;
\ir setup.psql
select no_plan();

select is(tests.try('owner', 'select id, name, account_tool_environment_id from agents'), '1 rows', 'the owner reads the own ones');
select is(tests.try('stranger', 'select id from agents'), '0 rows', 'and nobody else');
select is(tests.try('owner', 'insert into agents (name) values (''mine'')'), '1 rows', 'users make agents');
select is(tests.try('owner', 'insert into agents (name, user_id) values (''x'', ''b0000000-0000-4000-8000-000000000002'')'), '42501', 'for nobody else');
select is(tests.try('owner', 'update agents set name = ''other'' where id = ''d4000000-0000-4000-8000-000000000001'''), '1 rows', 'rename them');
select is(tests.try('owner', 'update agents set account_tool_environment_id = null'), '42501', 'and give them no toolbox');
select is(tests.try('owner', 'insert into agents (name, account_tool_environment_id) values (''x'', ''e0000000-0000-4000-8000-000000000001'')'), '42501', 'not even a new one');
select is(tests.try('stranger', 'delete from agents'), '0 rows', 'a stranger removes none');
select is(tests.try('service', 'update agents set account_tool_environment_id = null'), '42501', 'the secret key writes by the function only');
select is(tests.try('owner', 'insert into agents (name) select ''many'' from generate_series(1, 101)'), '23514', 'a hundred at most');

create function tests.set(p jsonb) returns text language sql as $$
  select set_agent_toolbox('{"agent_id": "d4000000-0000-4000-8000-000000000001", "toolbox_id": "e0000000-0000-4000-8000-000000000001"}'::jsonb || p) ->> 'outcome'
$$;
select is(tests.set('{}'), 'changed', 'who expects none, and there is one, is told');
select is(tests.set('{"expected": "e0000000-0000-4000-8000-000000000001"}'), 'set', 'who knows the one there is writes');
update agents set account_tool_environment_id = null;
select is(tests.set('{"toolbox_id": "e0000000-0000-4000-8000-000000000002"}'), 'changed', 'never the toolbox of somebody else');
select is(tests.set('{}'), 'set', 'but an own one');
select is(tests.set('{}'), 'changed', 'once');
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is((select account_tool_environment_id from agents where id = 'd4000000-0000-4000-8000-000000000001'), null, 'a toolbox that is gone is nobody''s');

select * from finish();
rollback;
