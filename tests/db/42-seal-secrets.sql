-- What is in plain text, or under a key that is to go, is given out to be sealed anew, and written where nothing came between.
begin;
\ir setup.psql
select no_plan();

create function tests.to_seal(variadic keys text[]) returns jsonb language sql as $$
  select get_secrets_to_seal(jsonb_build_object('key_ids', keys))
$$;
-- Writes what was given out, as if sealed with this key.
create function tests.put(due jsonb, key text) returns integer language sql as $$
  select (put_sealed_secrets(jsonb_build_object(
    'specs', (select jsonb_agg(s || jsonb_build_object('spec', jsonb_set(s -> 'spec', '{env,TOKEN}', jsonb_build_object('key_id', key, 'value', 'c2VhbGVk'))))
      from jsonb_array_elements(due -> 'specs') s),
    'webhooks', (select jsonb_agg(jsonb_build_object('channel_id', w -> 'channel_id', 'was', w -> 'webhook_secret', 'key_id', key, 'secret', repeat('A', 100)))
      from jsonb_array_elements(due -> 'webhooks') w)
  )) ->> 'count')::integer
$$;
create function tests.keys() returns text language sql as $$
  select string_agg(format('%s %s %s', place, key_id, how_many), ', ' order by place, key_id) from private.secrets_by_key()
$$;
create function tests.nothing() returns jsonb language sql as $$ select '{"outcome": "found", "specs": [], "webhooks": []}'::jsonb $$;

select is(private.secret_keys(s::jsonb)::text, keys, 'keys of ' || s) from (values
  ('{}', '{}'), ('{"env": {}}', '{}'), ('{"env": {"A": {"key_id": null, "value": "x"}}}', '{plain}'),
  ('{"env": {"A": {"key_id": "k1", "value": "x"}, "B": {"key_id": "k1", "value": "y"}}}', '{k1}'),
  ('{"env": {"A": {"key_id": "k1", "value": "x"}}, "mcp_headers": {"x": {"key_id": null, "value": "y"}, "y": {"key_id": "k2", "value": "y"}}}', '{k1,k2,plain}')) v (s, keys);
select throws_ok(format($$ select tests.deploy('c0000000-0000-4000-8000-000000000006', 'x', %L) $$, jsonb_build_object('spec', s::jsonb)), '23514', null, 'headers are in envelopes: ' || s)
from unnest(array['{"image": "x", "mcp_headers": {"x": "y"}}', '{"image": "x", "mcp_headers": {"x": {"value": "y"}}}']) s;

-- An update under way keeps the spec before it, and so do versions, of which the newest is the spec of the row.
-- So there are two specs, two versions and a webhook.
select tests.begin('{"action": "update", "to_status": "deploying", "spec": {"image": "slow:1", "env": {"TOKEN": {"key_id": null, "value": "NEW"}}}}') #>> '{operation,id}' as operation \gset
select is(tests.keys(), 'account_tool_instance_versions.spec plain 2, account_tool_instances.spec plain 1, alert_channels.webhook_secret plain 1, tool_instance_operations.previous_spec plain 1', 'nothing is sealed yet');
select is(tests.to_seal('k1'), tests.nothing(), 'nothing is under that key');
create temp table due on commit drop as select tests.to_seal('plain') as due;
select results_eq($$ select s ->> 'operation_id', (s ->> 'generation')::int, s ->> 'instance_id', s ->> 'toolbox_id', s #>> '{spec,env,TOKEN,value}' from due, jsonb_array_elements(due -> 'specs') s order by 1 nulls first, 2 nulls first $$,
  format($$ values (null, null, 'c0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000001', 'NEW'),
    (null, 1, 'c0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000001', 'SECRET'),
    (null, 2, 'c0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000001', 'NEW'),
    (%L, null, 'c0000000-0000-4000-8000-000000000001', 'e0000000-0000-4000-8000-000000000001', 'SECRET') $$, :'operation'), 'all specs are given out');
select is(due -> 'webhooks', jsonb_build_array(jsonb_build_object('channel_id', 'd0000000-0000-4000-8000-000000000001',
  'webhook_secret', 'whsec_' || encode(sha256('x'), 'base64'), 'webhook_secret_key_id', null)), 'and the secret of the webhook') from due;

select count(*) as told from tool_instance_events \gset
select to_jsonb(tests.instance()) - array['spec', 'updated_at'] as before \gset
select is(tests.put(due, '0000000a'), 4, 'all are written, the newest version with its row') from due;
select is(tests.keys(), 'account_tool_instance_versions.spec 0000000a 2, account_tool_instances.spec 0000000a 1, alert_channels.webhook_secret 0000000a 1, tool_instance_operations.previous_spec 0000000a 1', 'all is sealed');
select is(tests.to_seal('plain', '0000000b'), tests.nothing(), 'nothing is left to do');
select is(to_jsonb(tests.instance()) - array['spec', 'updated_at'], :'before'::jsonb, 'nothing else has changed');
select is(count(*), :told::bigint, 'and nothing is told of it') from tool_instance_events;

-- Under another root secret, all comes again. What was written meanwhile is not written over.
update due set due = tests.to_seal('plain', '0000000a');
select is(jsonb_array_length(due -> 'specs') || ' ' || jsonb_array_length(due -> 'webhooks'), '4 1', 'the key is to go') from due;
update account_tool_instances set spec = jsonb_set(spec, '{image}', '"other:1"');
update alert_channels set webhook_secret = 'whsec_' || repeat('Ab1+', 10);
select is((select webhook_secret_key_id from alert_channels), null, 'a secret that a user writes is plain text');
select is(tests.put(due, '0000000b'), 2, 'what is as it was is written') from due;
select is(tests.keys(), 'account_tool_instance_versions.spec 0000000a 1, account_tool_instance_versions.spec 0000000b 1, account_tool_instances.spec 0000000a 1, alert_channels.webhook_secret plain 1, tool_instance_operations.previous_spec 0000000b 1', 'the rest waits');
select is(tests.try('owner', 'update alert_channels set webhook_secret_key_id = ''0000000a'''), '42501', 'the owner seals nothing');
select throws_ok(format('update alert_channels set webhook_secret = %L, webhook_secret_key_id = %L', s, k), '23514', null, 'no secret: ' || s)
from (values ('whsec_' || repeat('Ab1+', 10), '0000000a'), (repeat('A', 100), null), ('AAAA', '0000000a')) v (s, k);

-- A bounded part at a time.
insert into account_tool_instances (account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec)
select 'e0000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-000000000001', 'many ' || n, 'many-' || n,
  jsonb_build_object('image', 'x', 'env', jsonb_build_object('A', jsonb_build_object('key_id', null, 'value', n))) from generate_series(1, 250) n;
select is(jsonb_array_length(tests.to_seal('plain') -> 'specs'), 400, 'no more than 200 rows of each kind');
update account_tool_instances set spec = jsonb_set(spec, '{env,A,value}', to_jsonb(repeat('x', 100000))) where instance_name_on_toolbox like 'many %';
select is(jsonb_array_length(tests.to_seal('plain') -> 'specs'), 10, 'nor much more than a megabyte');

select * from finish();
rollback;
