-- Toolboxes with a droplet: ordered, advanced by whoever holds the lease, changed, removed; never lost.
begin;
\ir setup.psql
select no_plan();

create function tests.order(p jsonb default '{}') returns jsonb language sql as $$
  select order_toolbox('{"user_id": "a0000000-0000-4000-8000-000000000001", "name": "droplet", "max_toolboxes": 100, "max_monthly_usd": 1000, "region_slug": "fra1",
    "size_slug": "s-1vcpu-1gb", "image_slug": "ubuntu-24-04-x64", "price_hourly_usd": 0.01, "price_monthly_usd": 6}'::jsonb || p)
$$;
create function tests.lease(wanted uuid) returns jsonb language sql as $$
  select lease_toolboxes(jsonb_build_object('holder', 'test', 'lease_seconds', 60, 'limit', 10, 'toolbox_id', wanted)) #> '{toolboxes,0}'
$$;
create function tests.box(wanted uuid) returns account_tool_environments language sql as $$
  select e from account_tool_environments e where e.id = wanted
$$;
-- A step of the worker that has it; the argument says what came of it.
create function tests.step(wanted uuid, p jsonb default '{}') returns jsonb language sql as $$
  select record_toolbox_step(jsonb_build_object(
    'toolbox_id', wanted, 'lease', (tests.box(wanted)).provisioning_lease, 'from_step', (tests.box(wanted)).provisioning_step,
    'lease_seconds', 60, 'due_in_seconds', 0, 'keep', true
  ) || p)
$$;
create function tests.ask(wanted uuid, change text, p jsonb default '{}') returns text language sql as $$
  select ask_toolbox(jsonb_build_object('toolbox_id', wanted, 'user_id', 'a0000000-0000-4000-8000-000000000001', 'change', change) || p) ->> 'outcome'
$$;

-- Ordered
select tests.order('{"order_key": "agent 1", "request_id": "req-1"}') ->> 'id' as box \gset
select results_eq(
  format($$ select (t).kind, (t).status::text, (t).provisioning_step, (t).provisioning_due_at <= clock_timestamp() from tests.box(%L) t $$, :'box'),
  $$ values ('droplet', 'pending_provision', 'firewall', true) $$, 'an order is a row that is due');
select is(tests.order('{"order_key": "agent 1"}'), jsonb_build_object('outcome', 'ordered', 'id', :'box', 'is_new', false), 'the same order makes no second');
select is(tests.order('{"max_toolboxes": 2}') ->> 'outcome', 'too_many', 'a user has as many as allowed');
select is(tests.order('{"user_id": "f0000000-0000-4000-8000-000000000009"}') ->> 'outcome', 'not_found', 'nobody orders nothing');
select throws_ok(format('select tests.order(%L)', v), '22023', null, 'refused: ' || v)
from unnest(array['{"region_slug": null}', '{"size_slug": null}', '{"price_hourly_usd": null}', '{"max_toolboxes": null}', '{"max_monthly_usd": null}']) v;
select is(count(*), 1::bigint, 'who ordered it is history') from toolbox_events where account_tool_environment_id = :'box' and kind = 'ordered';
select is(tests.try('service', $$ insert into account_tool_environments (user_id, name, kind) values ('a0000000-0000-4000-8000-000000000001', 'x', 'droplet') $$),
  '42501', 'droplets are ordered by the function only');
select is(tests.try('postgres', $$ insert into account_tool_environments (user_id, name, kind) values ('a0000000-0000-4000-8000-000000000001', 'x', 'droplet') $$),
  '23514', 'a droplet has a region, a size and an image');
select is(tests.try('owner', format('select provisioning_step, provisioning_problem, price_monthly_usd from account_tool_environments where id = %L', :'box')),
  '1 rows', 'its owner sees how far it is and what it costs');

-- Leased
select is(tests.lease(:'box') ->> 'step', 'firewall', 'a worker takes it');
select is(tests.lease(:'box'), null, 'and no other meanwhile');
select is(tests.step(:'box', '{"to_step": "machine", "to_status": "provisioning", "lease": 0}') ->> 'outcome', 'superseded', 'an older lease writes nothing');
select is(tests.step(:'box', '{"from_step": "boot", "to_step": "agent"}') ->> 'outcome', 'superseded', 'nor does one of another step');
select is(tests.lease(:'box') ->> 'lease', '2', 'whoever was superseded holds it no longer');
select is(tests.step(:'box', '{"to_step": "machine", "to_status": "provisioning", "set": {"do_firewall_id": "fw"}}') #>> '{toolbox,step}', 'machine', 'a step is written');
select is((tests.box(:'box')).status::text, 'provisioning', 'with its status');

-- The token of the machine, and the machine
select begin_toolbox_machine(jsonb_build_object('toolbox_id', :'box', 'lease', 2, 'lease_seconds', 60, 'ttl_seconds', 60)) as first \gset
select is(:'first'::jsonb ->> 'outcome', 'begun', 'a droplet is asked for');
select begin_toolbox_machine(jsonb_build_object('toolbox_id', :'box', 'lease', 2, 'lease_seconds', 60, 'ttl_seconds', 60)) as second \gset
select is(count(*), 2::bigint, 'asked again, both tokens are good: either machine may come to life') from private.toolbox_enrolments where toolbox_id = :'box';
select isnt((tests.box(:'box')).machine_asked_at, null, 'the row says that a droplet may exist');
select is(begin_toolbox_machine(jsonb_build_object('toolbox_id', :'box', 'lease', 1, 'lease_seconds', 60, 'ttl_seconds', 60)) ->> 'outcome', 'superseded', 'only who holds it asks');
-- Its agent is faster than the worker.
select is(enrol_toolbox(jsonb_build_object('toolbox_id', :'box', 'token_hash', encode(sha256((:'first'::jsonb ->> 'token')::bytea), 'hex'),
  'certificate_pem', E'-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
  'certificate_sha256', private.certificate_sha256(E'-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), 'address', '192.0.2.9')) ->> 'outcome', 'enrolled', 'the machine enrols');
select is(count(*), 1::bigint, 'the other token is worth nothing then') from private.toolbox_enrolments where toolbox_id = :'box';
select is((tests.box(:'box')).public_ip_address, null, 'where a droplet is, DigitalOcean says');
select tests.step(:'box', '{"to_step": "boot", "set": {"do_droplet_id": 77, "do_droplet_name": "droplet-1"}}') \g /dev/null
update account_tool_environments set last_heartbeat_at = clock_timestamp() where id = :'box';
select is((tests.box(:'box')).provisioning_step, 'boot', 'an early heartbeat does not skip the address');
select tests.step(:'box', '{"to_step": "agent", "to_status": "awaiting_heartbeat", "set": {"public_ip_address": "192.0.2.7"}}') \g /dev/null
select results_eq(
  format($$ select (t).status::text, (t).provisioning_step, host((t).public_ip_address), (t).price_since is not null from tests.box(%L) t $$, :'box'),
  $$ values ('active', null::text, '192.0.2.7', true) $$, 'whoever comes last, it is active and at its address');
select cmp_ok((tests.box(:'box')).provisioning_due_at, '>', now() + interval '5 minutes', 'and is looked at now and then');

-- Changed
select is(tests.ask(:'box', 'reboot', '{"user_id": "b0000000-0000-4000-8000-000000000002"}'), 'not_found', 'a stranger asks for nothing');
select is(tests.ask('e0000000-0000-4000-8000-000000000001', 'deprovision'), 'byo', 'a machine of one''s own is no droplet');
select is(tests.ask(:'box', 'retry'), 'refused', 'what did not fail is not tried again');
select is(tests.ask(:'box', 'rename', '{"name": "other"}'), 'accepted', 'it gets another name');
select cmp_ok((tests.box(:'box')).provisioning_due_at, '<=', clock_timestamp(), 'and its droplet soon');
select is(tests.ask(:'box', 'resize', '{"size_slug": "s-2vcpu-2gb", "price_hourly_usd": 0.03, "price_monthly_usd": 18, "max_monthly_usd": 1000}'), 'accepted', 'it gets another size');
select is(tests.ask(:'box', 'reboot'), 'in_progress', 'one change at a time');
update account_tool_environments set price_since = now() - interval '10 hours' where id = :'box';
select tests.step(:'box', '{"to_step": "start", "set": {"size_slug": "s-2vcpu-2gb", "wanted_size_slug": null}}') \g /dev/null
select results_eq(
  format($$ select (t).size_slug, (t).wanted_size_slug, (t).price_hourly_usd, (t).price_monthly_usd, round((t).cost_before_usd, 2) from tests.box(%L) t $$, :'box'),
  $$ values ('s-2vcpu-2gb', null::text, 0.03, 18.00, 0.10) $$, 'with its price, and what it cost until then');
select tests.step(:'box', '{"to_step": null, "keep": false}') \g /dev/null

-- Its machine is gone
select tests.lease(:'box') \g /dev/null
update account_tool_environments set dtma_token_hash = repeat('12', 32) where id = :'box';
select tests.step(:'box', '{"to_step": "clean_firewall", "problem": "The machine was deleted", "set": {"do_droplet_id": null, "public_ip_address": null, "machine_not_asked": true}}') \g /dev/null
select is((tests.box(:'box')).dtma_token_hash, null, 'the keys of a machine that is gone are worth nothing');
select tests.step(:'box', '{"to_step": null, "to_status": "error_provisioning", "problem": "The machine was deleted", "due_in_seconds": null, "keep": false, "set": {"do_firewall_id": null}}') \g /dev/null
select results_eq(
  format($$ select (t).status::text, (t).provisioning_error_message, (t).provisioning_due_at, (t).price_since, (t).unresponsive_since is not null from tests.box(%L) t $$, :'box'),
  $$ values ('error_provisioning', 'The machine was deleted', null::timestamptz, null::timestamptz, true) $$, 'the row says why, and since when nothing is known of its tools');
select is(tests.ask(:'box', 'retry'), 'accepted', 'it can be tried again');
select is((tests.box(:'box')).provisioning_step, 'firewall', 'from the beginning');

-- Never deleted while its droplet may live
select is(tests.try('service', format('delete from account_tool_environments where id = %L', :'box')), '23514', 'nobody deletes the row: the service role');
select is(tests.try('postgres', format('delete from account_tool_environments where id = %L', :'box')), '23514', 'nor does the owner of the database');
update account_tool_environments set do_droplet_id = 78 where id = :'box';
select is(tests.ask(:'box', 'deprovision'), 'accepted', 'its owner wants it gone');
select is(tests.ask(:'box', 'deprovision'), 'unchanged', 'and says so again');
select results_eq(
  format($$ select (t).status::text, (t).provisioning_step, (t).order_key from tests.box(%L) t $$, :'box'),
  $$ values ('pending_deprovision', 'remove_machine', null::text) $$, 'the machine goes first, and the order may be made anew');
select is(tests.try('postgres', format($$ update account_tool_environments set status = 'deprovisioning' where id = %L $$, :'box')), '1 rows', 'it is being removed');
update account_tool_environments set status = 'deprovisioning' where id = :'box';
select is(tests.try('postgres', format($$ update account_tool_environments set status = 'deprovisioned' where id = %L $$, :'box')), '23514', 'and not gone while its droplet is known');
select tests.lease(:'box') \g /dev/null
select is(remove_toolbox(jsonb_build_object('toolbox_id', :'box', 'lease', (tests.box(:'box')).provisioning_lease)) ->> 'outcome', 'superseded', 'the row goes last');
select tests.step(:'box', '{"to_step": "remove_firewall", "set": {"do_droplet_id": null}}') \g /dev/null
insert into account_tool_instances (id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, status_on_toolbox)
values ('c0000000-0000-4000-8000-000000000038', :'box', '00000000-0000-0000-0000-000000000001', 'tool', 'tool', '{"image": "x"}', 'deploying');
select is(remove_toolbox(jsonb_build_object('toolbox_id', :'box', 'lease', (tests.box(:'box')).provisioning_lease)) ->> 'outcome', 'removed', 'then it goes');
select is((tests.box(:'box')).id, null, 'and is gone');
select is(count(*), 0::bigint, 'with its tools') from account_tool_instances where id = 'c0000000-0000-4000-8000-000000000038';
select is(count(*), 1::bigint, 'its id is remembered') from private.removed_toolboxes where toolbox_id = :'box';

-- Its user is deleted
select tests.order() ->> 'id' as left \gset
select tests.lease(:'left') \g /dev/null
select tests.step(:'left', '{"to_step": "machine", "to_status": "provisioning"}') \g /dev/null
select tests.step(:'left', '{"to_step": "boot", "set": {"do_droplet_id": 79}}') \g /dev/null
insert into account_tool_environments (id, user_id, name) values ('e0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000001', 'own');
select is(tests.try('postgres', format('update account_tool_environments set user_id = null where id = %L', :'left')), '23514', 'a toolbox keeps its owner while there is one');
select lives_ok($$ delete from auth.users where id = 'a0000000-0000-4000-8000-000000000001' $$, 'its owner is deleted');
select results_eq(
  format($$ select (t).status::text, (t).provisioning_step, (t).user_id, (t).do_droplet_id from tests.box(%L) t $$, :'left'),
  $$ values ('pending_deprovision', 'remove_machine', null::uuid, 79::bigint) $$, 'the row stays, and its droplet is due to be removed');
select is(count(*), 0::bigint, 'machines that the user brought are forgotten') from account_tool_environments where user_id is null and kind = 'byo';

-- Compared with what is paid for
select tests.order('{"user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'id' as kept \gset
update account_tool_environments set status = 'provisioning' where id = :'kept';
update account_tool_environments set status = 'awaiting_heartbeat', do_droplet_id = 90 where id = :'kept';
update account_tool_environments set status = 'active', provisioning_step = null where id = :'kept';
update account_tool_environments set status_changed_at = now() - interval '1 hour', provisioning_due_at = now() + interval '1 hour' where id = :'kept';
select is(sweep_toolboxes(jsonb_build_object('list_age_seconds', 1, 'droplets', jsonb_build_array(
    jsonb_build_object('droplet_id', 90, 'toolbox_id', :'kept'), jsonb_build_object('droplet_id', 91, 'toolbox_id', :'kept'),
    jsonb_build_object('droplet_id', 79, 'toolbox_id', :'left'),
    jsonb_build_object('droplet_id', 92, 'toolbox_id', :'box'), jsonb_build_object('droplet_id', 93, 'toolbox_id', null)
  ))), jsonb_build_object('outcome', 'swept', 'adopted', '[]'::jsonb, 'cleaned', '[]'::jsonb, 'unseen', '[]'::jsonb, 'moved', '[]'::jsonb, 'droplets', jsonb_build_array(
    jsonb_build_object('droplet_id', 91, 'toolbox_id', :'kept', 'why', 'second', 'is_ours', true),
    jsonb_build_object('droplet_id', 92, 'toolbox_id', :'box', 'why', 'removed', 'is_ours', true),
    jsonb_build_object('droplet_id', 93, 'toolbox_id', null, 'why', 'unknown', 'is_ours', false)
  )), 'droplets that no row has are told of, and which are ours');
update account_tool_environments set public_ip_address = '192.0.2.90' where id = :'kept';
select is(sweep_toolboxes(jsonb_build_object('list_age_seconds', 1, 'droplets', jsonb_build_array(
    jsonb_build_object('droplet_id', 90, 'toolbox_id', :'kept', 'address', '192.0.2.91')))) -> 'moved', jsonb_build_array(:'kept'),
  'a droplet with another address is looked at');
select is(sweep_toolboxes('{"list_age_seconds": 1, "droplets": []}') -> 'unseen', jsonb_build_array(:'kept'), 'a row whose droplet is not listed is told of');
select cmp_ok((tests.box(:'kept')).provisioning_due_at, '<=', clock_timestamp(), 'and looked at now');
select is(sweep_toolboxes('{"list_age_seconds": 7200, "droplets": []}') -> 'unseen', '[]'::jsonb, 'a list from before says nothing');
select is(begin_rare_job('{"job": "test", "every_seconds": 60}') ->> 'outcome', 'due', 'a rare job is due');
select is(begin_rare_job('{"job": "test", "every_seconds": 60}') ->> 'outcome', 'not_due', 'once');

select * from finish();
rollback;
