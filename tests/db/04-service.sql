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
select is(tests.try('service', $$ update account_tool_environments set status = 'unresponsive', public_ip_address = '192.0.2.1', dtma_port = 30001 where name = 'owner''s' $$),
  '1 rows', 'writes status and address of toolboxes');
-- Beside a certificate of its own choice the service role would be told the key that a machine holds.
select set_eq(
  $$ select attname::text from pg_attribute a where attrelid = 'account_tool_environments'::regclass and attnum > 0 and not attisdropped
       and not has_column_privilege('service_role', attrelid, attnum, 'UPDATE') $$,
  $$ select unnest(array['id', 'user_id', 'status_changed_at', 'dtma_certificate_pem', 'dtma_certificate_sha256', 'ssh_host_key', 'dtma_key_id', 'dtma_key_epoch',
       'dtma_token_hash', 'dtma_offered_key_id', 'dtma_previous_token_hash', 'dtma_previous_token_expires_at', 'dtma_last_known_version', 'dtma_api_version',
       'dtma_health_details_json', 'last_heartbeat_at', 'instances_confirmed_at', 'heartbeat_interval_seconds', 'dtma_boot', 'dtma_sequence',
       'unresponsive_since', 'created_at', 'updated_at', 'address_is_told', 'kind', 'provisioning_step', 'provisioning_step_since',
       'provisioning_problem', 'wanted_size_slug', 'wanted_price_hourly_usd', 'wanted_price_monthly_usd', 'price_hourly_usd',
       'price_monthly_usd', 'price_since', 'cost_before_usd', 'provisioning_tries', 'provisioning_due_at', 'provisioning_lease',
       'provisioning_holder', 'provisioning_leased_until', 'machine_asked_at', 'do_firewall_id', 'do_action_id', 'order_key', 'enrolled_from', 'looked_at']) $$,
  'writes neither certificates and keys nor what agents tell');
select is(tests.try('service', format('insert into account_tool_environments (user_id, name, %I) values (''a0000000-0000-4000-8000-000000000001'', ''x'', default)', c)), '42501',
  'nor makes a toolbox with them: ' || c)
from unnest(array['id', 'dtma_certificate_pem', 'ssh_host_key', 'dtma_key_id', 'dtma_key_epoch', 'dtma_token_hash']) c;
select is(tests.try('service', $$ update account_tool_environments set user_id = 'b0000000-0000-4000-8000-000000000002' $$), '42501', 'never gives a toolbox away');
select is(tests.try('service', $$ delete from account_tool_environments where name = 'owner''s' $$), '1 rows',
  'removes a toolbox with its instances, operations and history');
select is(tests.try('service', 'select begin_tool_instance_operation(''{}'')'), '22023', 'may call begin, which asks for its arguments');
select is(tests.try('service', 'select record_tool_instance_states(''{}'')'), '22023', 'may call record, which asks for its arguments');
select is(tests.try('service', 'select private.instance_json(null)'), '42501', 'cannot reach the private schema');

select * from finish();
rollback;
