-- Toolboxes on machines that users bring.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.create(p jsonb default '{}') returns jsonb language sql as $$
  select create_own_toolbox('{"user_id": "a0000000-0000-4000-8000-000000000001", "name": "mine", "max_toolboxes": 100}'::jsonb || p)
$$;
create function tests.own(wanted uuid) returns account_tool_environments language sql as $$
  select e from account_tool_environments e where e.id = wanted
$$;

-- Made
select tests.create('{"description": "a box", "address": "198.51.100.7"}') ->> 'id' as mine \gset
select results_eq(
  format($$ select (t).name, (t).description, host((t).public_ip_address), (t).status::text, (t).user_id, (t).do_droplet_id from tests.own(%L) t $$, :'mine'),
  $$ values ('mine', 'a box', '198.51.100.7', 'pending_provision', 'a0000000-0000-4000-8000-000000000001'::uuid, null::bigint) $$,
  'a toolbox is made, and waits for its machine');
select throws_ok(format('select tests.create(%L)', v), '22023', null, 'refused: ' || v)
from unnest(array['{"user_id": null}', '{"name": null}', '{"max_toolboxes": null}']) v;

-- So many
select count(*) as held from account_tool_environments where user_id = 'a0000000-0000-4000-8000-000000000001' \gset
select is(tests.create(jsonb_build_object('max_toolboxes', :held)) ->> 'outcome', 'quota_exceeded', 'a user has as many as allowed');
select is(tests.create(jsonb_build_object('max_toolboxes', :held + 1)) ->> 'outcome', 'created', 'and no fewer');

-- Renamed
create function tests.update(wanted uuid, p jsonb) returns text language sql as $$
  select update_own_toolbox(jsonb_build_object('toolbox_id', wanted, 'user_id', 'a0000000-0000-4000-8000-000000000001') || p) ->> 'outcome'
$$;
select is(tests.update(:'mine', '{"name": "other"}'), 'updated', 'a name is written');
select is((tests.own(:'mine')).description, 'a box', 'what is not named stays');
select is(tests.update(:'mine', '{"description": null, "address": "2001:db8::7"}'), 'updated', 'a null ends a description');
select results_eq(
  format($$ select (t).name, (t).description, host((t).public_ip_address) from tests.own(%L) t $$, :'mine'),
  $$ values ('other', null::text, '2001:db8::7') $$, 'each as it was asked for');
select is(tests.update(:'mine', '{"user_id": "b0000000-0000-4000-8000-000000000002", "name": "x"}'), 'not_found', 'a stranger renames nothing');

-- Where the enrolment came from
create function tests.enrol_from(wanted uuid, address text) returns text language sql as $$
  select enrol_toolbox(jsonb_build_object(
    'toolbox_id', wanted, 'certificate_pem', tests.pem('one'), 'certificate_sha256', tests.sha256('one'), 'address', address,
    'token_hash', tests.sha256(create_toolbox_enrolment(jsonb_build_object('toolbox_id', wanted, 'ttl_seconds', 900)) ->> 'token')
  )) ->> 'outcome'
$$;
select is(tests.enrol_from(:'mine', '198.51.100.8'), 'enrolled', 'a machine enrols');
select is(host((tests.own(:'mine')).public_ip_address), '2001:db8::7', 'an address that is known stays');
select tests.update(:'mine', '{"address": null}') \g /dev/null
select is(tests.enrol_from(:'mine', null), 'enrolled', 'one without an address');
select is((tests.own(:'mine')).public_ip_address, null, 'has none');
select is(tests.enrol_from(:'mine', '198.51.100.8'), 'enrolled', 'and one that tells it');
select is(host((tests.own(:'mine')).public_ip_address), '198.51.100.8', 'has that');
select is(tests.enrol_from(:'mine', null), 'enrolled', 'joins again');
select is(host((tests.own(:'mine')).public_ip_address), '198.51.100.8', 'where it was');
select is(tests.enrol_from(:'mine', '198.51.100.9'), 'enrolled', 'and again');
select is(host((tests.own(:'mine')).public_ip_address), '198.51.100.9', 'from another address');
select tests.update(:'mine', '{"address": "198.51.100.10"}') \g /dev/null
select is(tests.enrol_from(:'mine', '198.51.100.9'), 'enrolled', 'and from there');
select is(host((tests.own(:'mine')).public_ip_address), '198.51.100.10', 'but what its owner says counts');

-- Forgotten
create function tests.delete(wanted uuid, who uuid) returns text language sql as $$
  select delete_own_toolbox(jsonb_build_object('toolbox_id', wanted, 'user_id', who)) ->> 'outcome'
$$;
select is(tests.delete(:'mine', 'b0000000-0000-4000-8000-000000000002'), 'not_found', 'a stranger removes nothing');
select is(tests.delete(:'mine', 'a0000000-0000-4000-8000-000000000001'), 'deleted', 'its owner does');
select is((tests.own(:'mine')).id, null, 'and it is gone');
select is(tests.delete(:'mine', 'a0000000-0000-4000-8000-000000000001'), 'not_found', 'once');

-- A droplet is bought and removed in another way.
select order_toolbox('{"user_id": "a0000000-0000-4000-8000-000000000001", "name": "bought", "max_toolboxes": 100, "max_monthly_usd": 1000, "region_slug": "nyc3",
  "size_slug": "s-1vcpu-1gb", "image_slug": "debian-12-x64", "price_hourly_usd": 0.009, "price_monthly_usd": 6}') ->> 'id' as bought \gset
select is(tests.delete(:'bought', 'a0000000-0000-4000-8000-000000000001'), 'not_found', 'no row of a droplet leaves this way');
select is(tests.update(:'bought', '{"name": "x"}'), 'not_found', 'nor is it renamed');
select is(tests.enrol_from(:'bought', '198.51.100.9'), 'enrolled', 'it enrols');
select is((tests.own(:'bought')).public_ip_address, null, 'and its address is what DigitalOcean says');

select * from finish();
rollback;
