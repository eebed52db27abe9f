begin;
\ir setup.psql
select no_plan();

select is(tests.try('owner', 'select id, name, status, public_ip_address, dtma_port, dtma_certificate_pem from account_tool_environments'),
  '1 rows', 'reads the own toolbox and no other');
select is(tests.try('owner', 'select id, status_on_toolbox, docker_image_url, generation from account_tool_instances'), '1 rows', 'reads the own instance');
select is(tests.try('owner', 'select id, state, action from tool_instance_operations'), '1 rows', 'reads the own operations');
select is(tests.try('owner', 'select * from tool_instance_events'), '3 rows', 'reads the own history');
select is(tests.try('owner', 'select * from toolbox_events'), '1 rows', 'and that of the toolbox');
select is(tests.try('owner', 'select dtma_key_id, dtma_key_epoch, unresponsive_since, dtma_certificate_sha256 from account_tool_environments'),
  '1 rows', 'reads which keys it has, and since when it is silent');
select is(tests.try('owner', 'select mcp_health, mcp_tools_fingerprint from account_tool_instances'), '1 rows', 'reads the health of MCP servers');
select isnt(tests.try('owner', 'select * from tool_catalog'), '0 rows', 'reads the catalog');

select is(tests.try('owner', format('select %I from %I', c, t)), '42501', format('never reads %s.%s', t, c))
from (values ('account_tool_environments', 'dtma_token_hash'), ('account_tool_environments', 'dtma_previous_token_hash'),
  ('account_tool_environments', 'dtma_boot'), ('account_tool_instances', 'spec'),
  ('tool_instance_operations', 'previous_spec'), ('tool_instance_operations', 'idempotency_key'),
  ('tool_instance_operations', 'request_fingerprint')) v (t, c);
select is(tests.try('owner', 'select * from account_tool_instances'), '42501', 'cannot select * where a column is secret');
select is(tests.try('owner', 'select from account_tool_instances where spec ->> ''image'' is not null'), '42501', 'cannot filter by a secret either');

select is(tests.try('owner', 'update account_tool_environments set name = ''new'', description = ''text'''), '1 rows', 'renames the own toolbox only');
select is(tests.try('owner', 'update account_tool_environments set name = '''''), '23514', 'but not to nothing');
select is(tests.try('owner', $$ update account_tool_environments set name = E'a\nb' $$), '23514', 'nor to two lines');
select is(tests.try('owner', format('update account_tool_environments set %I = default', c)), '42501', format('cannot write %s of the toolbox', c))
from unnest(array['id', 'user_id', 'status', 'public_ip_address', 'dtma_port', 'dtma_certificate_pem', 'dtma_token_hash',
  'last_heartbeat_at', 'do_droplet_id', 'dtma_key_id', 'dtma_key_epoch', 'unresponsive_since']) c;
select is(tests.try('owner', format('update account_tool_instances set %I = default', c)), '42501', format('cannot write %s of an instance', c))
from unnest(array['instance_name_on_toolbox', 'status_on_toolbox', 'generation', 'spec', 'desired_status', 'container_id', 'mcp_health']) c;
select is(tests.try('owner', 'insert into account_tool_environments (user_id, name) values ((select auth.uid()), ''mine'')'), '42501', 'cannot make a toolbox');
select is(tests.try('owner', 'delete from ' || t), '42501', 'cannot delete from ' || t)
from unnest(array['account_tool_environments', 'account_tool_instances', 'tool_instance_operations', 'tool_instance_events', 'toolbox_events', 'tool_catalog']) t;
select is(tests.try('owner', 'select begin_tool_instance_operation(''{}'')'), '42501', 'cannot call begin');
select is(tests.try('owner', format('select %s(''{}'')', f)), '42501', 'cannot call ' || f)
from unnest(array['record_tool_instance_states', 'create_toolbox_enrolment', 'enrol_toolbox', 'set_toolbox_key', 'offer_toolbox_key',
  'rotate_toolbox_key', 'record_heartbeat', 'get_desired_state', 'record_toolbox_event', 'end_toolbox_event', 'begin_ssh_check', 'record_ssh_check']) f;
select is(tests.try('owner', 'select private.instance_json(''c0000000-0000-4000-8000-000000000001'')'), '42501', 'cannot reach the private schema');

select * from finish();
rollback;
