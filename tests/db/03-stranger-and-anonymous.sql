-- Every table and command is covered by 01; these are the sharper attempts.
begin;
\ir setup.psql
select no_plan();

select is(tests.try('stranger', 'select id from account_tool_environments'), '1 rows', 'a stranger sees the own toolbox only');
select is(tests.try('stranger', 'select id from account_tool_environments where id = ''e0000000-0000-4000-8000-000000000001'''), '0 rows', 'also by id');
select is(tests.try('stranger', 'select id from account_tool_instances'), '0 rows', 'and no instance of it');
select is(tests.try('stranger', 'update account_tool_environments set name = ''mine now'' where id = ''e0000000-0000-4000-8000-000000000001'''),
  '0 rows', 'a stranger renames nothing');
select is(
  tests.try('stranger', $$ select e.id from account_tool_environments e join account_tool_instances i on i.account_tool_environment_id = e.id $$),
  '0 rows', 'a join opens nothing');
select is(tests.try('nobody', 'select id from account_tool_environments'), '0 rows', 'a token without a user sees nothing');
select is(tests.try('anon', 'select id from tool_catalog'), '42501', 'the anonymous do not even read the catalog');
select is(tests.try(a, f), '42501', format('%s cannot call %s', a, f))
from unnest(array['anon', 'stranger']) a,
  unnest(array['select begin_tool_instance_operation(''{}'')', 'select record_tool_instance_states(''{}'')', 'select enrol_toolbox(''{}'')',
    'select record_heartbeat(''{}'')', 'select get_desired_state(''{}'')', 'select rotate_toolbox_key(''{}'')']) f;

insert into tool_catalog (name, tool_name, is_public, status) values
  ('hidden', 'hidden', false, 'available'), ('old', 'old', true, 'archived');
select is(tests.try('stranger', 'select from tool_catalog where name in (''hidden'', ''old'')'), '0 rows', 'hidden and archived entries are not shown');

-- The service role acts for a user, so the RPC checks the ownership once more.
select is(tests.begin('{"user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome', 'not_found', 'a stranger''s operation finds no toolbox');
select is(tests.begin('{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome',
  'not_found', 'an instance is not found through another toolbox');
select is(
  tests.deploy('c0000000-0000-4000-8000-000000000001', 'x',
    '{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome',
  'not_found', 'a deploy cannot take over the id of another toolbox''s instance');
select is((tests.instance()).generation, 1::bigint, 'and the instance is untouched');

select * from finish();
rollback;
