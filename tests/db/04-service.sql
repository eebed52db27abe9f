begin;
\ir setup.psql
select no_plan();

select is(tests.try('service', 'select * from ' || t) <> '42501', true, 'reads ' || t)
from unnest(array['account_tool_environments', 'account_tool_instances', 'tool_instance_operations', 'tool_instance_events', 'toolbox_events', 'tool_catalog']) t;
select is(tests.try('service', 'select * from account_tool_instances'), '1 rows', 'the spec included');
select is(tests.try('service', format('update %I set %I = default', t, c)), '42501', format('writes %s through the RPCs only', t))
from (values ('account_tool_instances', 'status_on_toolbox'), ('tool_instance_operations', 'state'), ('tool_instance_events', 'reason'),
  ('toolbox_events', 'result'),  ('tool_catalog', 'name')) v (t, c);
select is(tests.try('service', 'delete from ' || t), '42501', 'deletes nothing from ' || t)
from unnest(array['account_tool_instances', 'tool_instance_operations', 'tool_instance_events', 'toolbox_events', 'tool_catalog']) t;

select is(tests.try('service', $$ insert into account_tool_environments (user_id, name) values ('a0000000-0000-4000-8000-000000000001', 'second') $$),
  '1 rows', 'makes toolboxes, several for one user');
select is(tests.try('service', $$ update account_tool_environments set status = 'unresponsive', last_heartbeat_at = now() where name = 'owner''s' $$),
  '1 rows', 'writes the status of toolboxes');
select is(tests.try('service', $$ update account_tool_environments set user_id = 'b0000000-0000-4000-8000-000000000002' $$), '42501', 'never gives a toolbox away');
select is(tests.try('service', $$ delete from account_tool_environments where name = 'owner''s' $$), '1 rows',
  'removes a toolbox with its instances, operations and history');
select is(tests.try('service', 'select begin_tool_instance_operation(''{}'')'), '22023', 'may call begin, which asks for its arguments');
select is(tests.try('service', 'select record_tool_instance_states(''{}'')'), '22023', 'may call record, which asks for its arguments');
select is(tests.try('service', 'select private.instance_json(null)'), '42501', 'cannot reach the private schema');

select * from finish();
rollback;
