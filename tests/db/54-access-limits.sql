-- Limits of accesses to MCP servers, and how often a user may order and change machines.
begin;
\ir setup.psql
select no_plan();
delete from mcp_access;

create function tests.give(p jsonb default '{}') returns jsonb language sql as $$
  select grant_mcp_access(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', 'a0000000-0000-4000-8000-000000000001', 'name', 'laptop'
  ) || p)
$$;
create function tests.find(p jsonb) returns jsonb language sql as $$
  select find_mcp_access(jsonb_build_object('instance_id', 'c0000000-0000-4000-8000-000000000001') || p)
$$;
create function tests.find_all(p jsonb) returns jsonb language sql as $$
  select find_mcp_toolbox_access(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001') || p)
$$;
create function tests.limits(of_names text[]) returns jsonb language sql as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'access', a.id, 'requests_per_minute', a.requests_per_minute, 'concurrent_requests', a.concurrent_requests
  ) order by array_position(of_names, a.name)), '[]') from mcp_access a where a.name = any (of_names) and a.revoked_at is null
$$;
create function tests.sorted(list jsonb) returns jsonb language sql as $$ select jsonb_agg(l order by l) from jsonb_array_elements(list) l $$;
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'other') \g /dev/null
select encode(sha256('one'), 'hex') as hash \gset

-- A token
select is(tests.give(jsonb_build_object('name', 'token', 'token_hash', :'hash', 'requests_per_minute', 3)) #>> '{access,requests_per_minute}', '3',
  'a token may have a limit');
select is(tests.find(jsonb_build_object('token_hash', :'hash')) -> 'limits', tests.limits('{token}'), 'which is told at its servers');
select is(tests.find_all(jsonb_build_object('token_hash', :'hash')) -> 'limits', tests.limits('{token}'), 'and once at the URL of all');
select is(tests.find(jsonb_build_object('token_hash', :'hash')) ->> 'who', 'access:' || id, 'a token is counted by itself') from mcp_access where name = 'token';

-- Users and their applications
select is(tests.find('{"user_id": "a0000000-0000-4000-8000-000000000001"}') -> 'limits', '[]'::jsonb, 'the owner has none');
select is(tests.find('{"user_id": "a0000000-0000-4000-8000-000000000001"}') ->> 'who', 'user:a0000000-0000-4000-8000-000000000001', 'and is counted as a user');
select tests.give('{"name": "share", "user_id": "b0000000-0000-4000-8000-000000000002", "concurrent_requests": 2}') \g /dev/null
select is(tests.find('{"user_id": "b0000000-0000-4000-8000-000000000002"}') -> 'limits', tests.limits('{share}'), 'a share may have one');
select tests.give('{"name": "app", "owner_id": "b0000000-0000-4000-8000-000000000002", "client_id": "c1", "requests_per_minute": 5}') \g /dev/null
select is(tests.find('{"user_id": "b0000000-0000-4000-8000-000000000002", "client_id": "c1"}') -> 'limits', tests.limits('{app,share}'),
  'an application has its own and that of the share');
select is(tests.find('{"user_id": "b0000000-0000-4000-8000-000000000002", "client_id": "c1"}') ->> 'who', 'user:b0000000-0000-4000-8000-000000000002:c1',
  'and is counted as its user');
select tests.give('{"name": "one", "user_id": "b0000000-0000-4000-8000-000000000002", "instance_id": "c0000000-0000-4000-8000-000000000001", "requests_per_minute": 9}') \g /dev/null
select is(tests.sorted(tests.find_all('{"user_id": "b0000000-0000-4000-8000-000000000002"}') -> 'limits'), tests.sorted(tests.limits('{one,share}')),
  'at the URL of all, every limit of what opens a server counts');
select is(tests.find_all('{"user_id": "a0000000-0000-4000-8000-000000000001"}') -> 'limits', '[]'::jsonb, 'the owner has none there');
select throws_ok(format('select tests.give(jsonb_build_object(''token_hash'', encode(sha256(''x''), ''hex'')) || %L)', v), '23514', null, 'refused: ' || v)
from unnest(array['{"requests_per_minute": 0}', '{"requests_per_minute": 601}', '{"concurrent_requests": 0}', '{"concurrent_requests": 65}']) v;
select is(tests.try('owner', 'select requests_per_minute, concurrent_requests from mcp_access'), (select count(*) || ' rows' from mcp_access where granted_by = 'a0000000-0000-4000-8000-000000000001'),
  'who gave it reads them');

-- Orders and changes of machines
create function tests.order(p jsonb default '{}') returns jsonb language sql as $$
  select order_toolbox('{"user_id": "b0000000-0000-4000-8000-000000000002", "name": "droplet", "max_toolboxes": 3, "max_monthly_usd": 1000, "region_slug": "fra1",
    "size_slug": "s-1vcpu-1gb", "image_slug": "ubuntu-24-04-x64", "price_hourly_usd": 0.01, "price_monthly_usd": 6}'::jsonb || p)
$$;
create function tests.ask(wanted uuid, change text, p jsonb default '{}') returns text language sql as $$
  select ask_toolbox(jsonb_build_object('toolbox_id', wanted, 'user_id', 'b0000000-0000-4000-8000-000000000002', 'change', change, 'name', 'x') || p) ->> 'outcome'
$$;
select is(count(*), 1::bigint, 'the stranger has a toolbox of their own') from account_tool_environments where user_id = 'b0000000-0000-4000-8000-000000000002';
select tests.order('{"order_key": "k"}') ->> 'id' as box \gset
insert into private.removed_toolboxes (toolbox_id, user_id, ordered_at) values
  (gen_random_uuid(), 'b0000000-0000-4000-8000-000000000002', now() - interval '5 minutes'),
  (gen_random_uuid(), 'b0000000-0000-4000-8000-000000000002', now() - interval '2 hours'),
  (gen_random_uuid(), 'a0000000-0000-4000-8000-000000000001', now());
select is(tests.order() ->> 'outcome', 'ordered', 'who ordered two in an hour may order a third');
delete from account_tool_environments where user_id = 'b0000000-0000-4000-8000-000000000002' and kind <> 'droplet';
insert into private.removed_toolboxes (toolbox_id, user_id, ordered_at) values (gen_random_uuid(), 'b0000000-0000-4000-8000-000000000002', now());
select is(tests.order(), '{"outcome": "too_often", "most": 3}', 'and no more in this hour, also where machines are gone');
select is(tests.order('{"order_key": "k"}') ->> 'is_new', 'false', 'an order that is repeated is none');
select id as other from account_tool_environments where user_id = 'b0000000-0000-4000-8000-000000000002' and id <> :'box' \gset
select is(array_agg(tests.ask(:'other', 'rename')), array_fill('accepted'::text, '{10}'), 'a machine is renamed ten times') from generate_series(1, 10);
select is(tests.ask(:'other', c), 'too_often', c || ': and no more in these minutes') from unnest('{rename,retry,resize,reboot}'::text[]) c;
select is(tests.ask(:'other', 'rename', '{"user_id": null}'), 'accepted', 'what the control plane asks is not counted');
select is(tests.ask(:'other', 'deprovision'), 'accepted', 'that it goes may be asked at any time');

select * from finish();
rollback;
