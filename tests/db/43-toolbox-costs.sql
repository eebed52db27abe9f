-- What machines may cost a user, what may be asked of DigitalOcean's account that all users share, and which of two droplets stays.
begin;
\ir setup.psql
select no_plan();

create function tests.order(p jsonb default '{}') returns jsonb language sql as $$
  select order_toolbox('{"user_id": "a0000000-0000-4000-8000-000000000001", "name": "droplet", "max_toolboxes": 100, "max_monthly_usd": 30,
    "region_slug": "fra1", "size_slug": "small", "image_slug": "ubuntu-24-04-x64", "price_hourly_usd": 0.01, "price_monthly_usd": 12}'::jsonb || p)
$$;
create function tests.ask(wanted uuid, change text, p jsonb default '{}') returns jsonb language sql as $$
  select ask_toolbox(jsonb_build_object('toolbox_id', wanted, 'user_id', 'a0000000-0000-4000-8000-000000000001', 'change', change) || p)
$$;
create function tests.resize(wanted uuid, price numeric) returns jsonb language sql as $$
  select tests.ask(wanted, 'resize', jsonb_build_object('size_slug', 'size-' || price, 'price_hourly_usd', price / 672, 'price_monthly_usd', price, 'max_monthly_usd', 30))
$$;
create function tests.box(wanted uuid) returns account_tool_environments language sql as $$
  select e from account_tool_environments e where e.id = wanted
$$;
-- In use, with a droplet of this number at this address.
create function tests.use(wanted uuid, droplet bigint, address inet) returns void language sql as $$
  update account_tool_environments set status = 'provisioning' where id = wanted;
  update account_tool_environments set status = 'awaiting_heartbeat', do_droplet_id = droplet, public_ip_address = address where id = wanted;
  update account_tool_environments set status = 'active', provisioning_step = null, provisioning_due_at = clock_timestamp() + interval '6 hours'
  where id = wanted
$$;

-- The sum of prices
select tests.order() ->> 'id' as one \gset
select tests.order() ->> 'id' as two \gset
select is(tests.order(), '{"outcome": "too_dear", "monthly_usd": 36.00, "most_monthly_usd": 30}', 'a third machine would cost more than its user may spend');
select is(tests.order('{"price_monthly_usd": 6}') ->> 'outcome', 'ordered', 'a smaller one is within it');
select is(tests.order('{"price_monthly_usd": 0.01}') ->> 'outcome', 'too_dear', 'then there is nothing left');
select is(tests.order('{"user_id": "b0000000-0000-4000-8000-000000000002"}') ->> 'outcome', 'ordered', 'another user has another sum');
select tests.use(:'one', 501, '192.0.2.1') \g /dev/null
select is(tests.resize(:'one', 18), '{"outcome": "too_dear", "monthly_usd": 36.00, "most_monthly_usd": 30}', 'another size counts instead of the one it has');
select is(tests.resize(:'one', 6) ->> 'outcome', 'accepted', 'a cheaper one is always allowed');
select is(tests.order('{"price_monthly_usd": 6}') ->> 'outcome', 'too_dear', 'and counts when the machine has it');
update account_tool_environments set provisioning_step = null, wanted_size_slug = null, price_monthly_usd = 6 where id = :'one';
select is(tests.order('{"price_monthly_usd": 6}') ->> 'outcome', 'ordered', 'which is now');
select is(tests.resize(:'one', 12) ->> 'outcome', 'too_dear', 'so there is no way back');
select is(tests.order('{"max_monthly_usd": 1000, "max_toolboxes": 1}') ->> 'outcome', 'too_many', 'the number has its own limit');

-- Lists that are kept
create function tests.list(name text, p jsonb default '{}') returns jsonb language sql as $$
  select get_provider_list(jsonb_build_object('name', name, 'max_age_seconds', 300, 'claim_seconds', 30) || p)
$$;
delete from private.provider_lists;
select is(tests.list('sizes'), '{"outcome": "due"}', 'the first who asks is to ask DigitalOcean');
select is(tests.list('sizes'), '{"outcome": "awaited"}', 'nobody else is');
select is(tests.list('regions'), '{"outcome": "due"}', 'each list by itself');
select is(put_provider_list('{"name": "sizes", "content": [{"slug": "small"}]}'), '{"outcome": "kept"}', 'the answer is kept');
select is(tests.list('sizes'), '{"outcome": "kept", "content": [{"slug": "small"}]}', 'for everybody');
update private.provider_lists set fetched_at = clock_timestamp() - interval '6 minutes' where name = 'sizes';
select is(tests.list('sizes'), '{"outcome": "due"}', 'until it is old');
select is(tests.list('sizes'), '{"outcome": "kept", "content": [{"slug": "small"}]}', 'others go on with it while one asks');
update private.provider_lists set claimed_until = clock_timestamp() - interval '1 second' where name = 'sizes';
select is(tests.list('sizes'), '{"outcome": "due"}', 'one that never answered is followed by another');
select is(tests.try('postgres', $$ select tests.list('droplets') $$), '23514', 'there are three lists');
select is(tests.try('service', $$ select * from private.provider_lists $$), '42501', 'they are read by the function only');

-- Looks that are asked for
select tests.ask(:'one', 'look') \g /dev/null
select cmp_ok((tests.box(:'one')).provisioning_due_at, '<=', clock_timestamp(), 'a look that is asked for is due');
update account_tool_environments set provisioning_due_at = clock_timestamp() + interval '6 hours' where id = :'one';
select tests.ask(:'one', 'look') \g /dev/null
select cmp_ok((tests.box(:'one')).provisioning_due_at, '>', clock_timestamp(), 'the next one soon after is not');
update account_tool_environments set looked_at = clock_timestamp() - interval '21 seconds' where id = :'one';
select tests.ask(:'one', 'look') \g /dev/null
select cmp_ok((tests.box(:'one')).provisioning_due_at, '<=', clock_timestamp(), 'a later one is');

-- Of two droplets of one order, the one that enrolled
create function tests.swept(wanted uuid) returns jsonb language sql as $$
  select sweep_toolboxes(jsonb_build_object('list_age_seconds', 1, 'droplets', jsonb_build_array(
    jsonb_build_object('droplet_id', 501, 'toolbox_id', wanted, 'address', '192.0.2.1'),
    jsonb_build_object('droplet_id', 502, 'toolbox_id', wanted, 'address', '192.0.2.2'))))
$$;
update account_tool_environments set enrolled_from = '192.0.2.2', provisioning_leased_until = clock_timestamp() + interval '1 minute' where id = :'one';
select is(tests.swept(:'one') -> 'adopted', '[]', 'while somebody works on it its droplet stays');
select is(tests.swept(:'one') -> 'droplets', jsonb_build_array(jsonb_build_object('droplet_id', 502, 'toolbox_id', :'one', 'why', 'second', 'is_ours', false)),
  'and the one that enrolled is not removed');
update account_tool_environments set provisioning_leased_until = '-infinity' where id = :'one';
select is(tests.swept(:'one') - 'unseen', jsonb_build_object('outcome', 'swept', 'adopted', jsonb_build_array(:'one'), 'cleaned', '[]'::jsonb, 'moved', '[]'::jsonb,
  'droplets', jsonb_build_array(jsonb_build_object('droplet_id', 501, 'toolbox_id', :'one', 'why', 'second', 'is_ours', true))),
  'then the row names it, and the other one is removed');
select results_eq(format($$ select (t).do_droplet_id, host((t).public_ip_address), (t).provisioning_due_at <= clock_timestamp() from tests.box(%L) t $$, :'one'),
  $$ values (502::bigint, '192.0.2.2', true) $$, 'with its address, and it is looked at');
select is(tests.swept(:'one') -> 'adopted', '[]', 'once');

-- A heartbeat that comes before the address
update account_tool_environments set dtma_token_hash = repeat('ef', 32), status = 'provisioning' where id = :'two';
select is(record_heartbeat(jsonb_build_object(
    'toolbox_id', :'two', 'token_hash', repeat('ef', 32), 'root_id', '0a0b0c0d', 'request_id', 'req', 'heartbeat', '{"boot": 1, "sequence": 1, "version": "1", "api_version": 2,
      "interval_seconds": 60, "docker_reachable": true, "full": true, "instances": []}'::jsonb)) ->> 'outcome', 'recorded', 'an agent is faster than the worker');
select is((tests.box(:'two')).status::text, 'awaiting_heartbeat', 'its toolbox is not active while nobody can reach it');

select * from finish();
rollback;
