-- Programs that act for users: they may do what they were let in to, no more than their user, and until either ends.
begin;
\ir setup.psql
select no_plan();
delete from mcp_access;

create function tests.give(p jsonb, giver text default 'a0000000-0000-4000-8000-000000000001') returns text language sql as $$
  select grant_mcp_access(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', giver,
    'instance_id', 'c0000000-0000-4000-8000-000000000001', 'name', 'Chat'
  ) || p) ->> 'outcome'
$$;
create function tests.as_client(id text, client text default 'c1', instance text default 'c0000000-0000-4000-8000-000000000001')
returns jsonb language sql as $$
  select find_mcp_access(jsonb_build_object('instance_id', instance, 'user_id', id, 'client_id', client))
$$;
create function tests.servers(id text) returns jsonb language sql as $$ select list_mcp_servers(jsonb_build_object('user_id', id)) $$;
\set owner 'a0000000-0000-4000-8000-000000000001'
\set other 'b0000000-0000-4000-8000-000000000002'
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'other') \g /dev/null

-- The owner's
select is(tests.as_client(:'owner') ->> 'outcome', 'no_access', 'a program of the owner may nothing by itself');
select is(tests.give('{"client_id": "c1", "allowed_tools": ["a", "b"]}'), 'granted', 'the owner lets it in');
select is(tests.as_client(:'owner') -> 'allowed_tools', '["a", "b"]'::jsonb, 'to the tools that were chosen');
select is(tests.as_client(:'owner', 'c2') ->> 'outcome', 'no_access', 'no other program');
select is(tests.as_client(:'owner', 'c1', 'c0000000-0000-4000-8000-000000000002') ->> 'outcome', 'no_access', 'and to no other instance');
select is(tests.as_client(:'other') ->> 'outcome', 'no_access', 'the same program of another user is not let in');
select is(tests.give('{"client_id": "c1", "user_id": "b0000000-0000-4000-8000-000000000002"}'), 'granted', 'who is named beside a program does not count');
select is(tests.as_client(:'other') ->> 'outcome', 'no_access', 'nobody lets in the program of another');
select is((select count(*) from mcp_access where client_id = 'c1' and revoked_at is null), 1::bigint, 'a second grant replaces the first');
select throws_ok($$ insert into mcp_access (account_tool_environment_id, granted_by, name, user_id, client_id) values (
  'e0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'x', 'b0000000-0000-4000-8000-000000000002', 'c') $$, '23514', null,
  'no row lets in the program of another');
select is(tests.give('{"client_id": "c3", "instance_id": null, "ttl_seconds": 60}'), 'granted', 'a program is let in to a whole toolbox for a while');
select is(tests.as_client(:'owner', 'c3', 'c0000000-0000-4000-8000-000000000002') ->> 'outcome', 'access', 'it opens each instance');
update mcp_access set expires_at = now() where client_id = 'c3';
select is(tests.as_client(:'owner', 'c3') ->> 'outcome', 'no_access', 'until its time is over');

-- Of a user with whom a server is shared
select is(tests.give('{"client_id": "c1"}', :'other'), 'toolbox_not_found', 'a stranger lets nobody in');
select is(tests.servers(:'other'), '[]'::jsonb, 'and sees no servers');
select is(tests.give('{"user_id": "b0000000-0000-4000-8000-000000000002", "allowed_tools": ["b", "c"], "read_only": true}'), 'granted', 'a server is shared');
select is(tests.as_client(:'other') ->> 'outcome', 'no_access', 'a program of that user does not come with it');
select is(tests.give('{"client_id": "c1", "instance_id": null}', :'other'), 'toolbox_not_found', 'who has one server does not let into all');
select is(tests.give('{"client_id": "c1", "instance_id": "c0000000-0000-4000-8000-000000000002"}', :'other'), 'toolbox_not_found', 'nor into another');
select is(tests.give('{"client_id": "c1"}', :'other'), 'granted', 'they let it in to that one');
select is(tests.as_client(:'other') -> 'allowed_tools', '["b", "c"]'::jsonb, 'to no more tools than they have');
select is(tests.as_client(:'other') -> 'read_only', 'true'::jsonb, 'in no more ways');
select is(tests.give('{"client_id": "c1", "allowed_tools": ["a", "b"]}', :'other'), 'granted', 'they let it in to some tools');
select is(tests.as_client(:'other') -> 'allowed_tools', '["b"]'::jsonb, 'of which it has those they have');
select is(tests.servers(:'other') #>> '{0,is_own}', 'false', 'they see what is shared');
select is(jsonb_array_length(tests.servers(:'other')), 1, 'and nothing else');
select is(jsonb_array_length(tests.servers(:'owner')), 2, 'the owner sees all');
update mcp_access set revoked_at = now() where user_id = :'other' and client_id is null;
select is(tests.as_client(:'other') ->> 'outcome', 'no_access', 'a share that ends takes the program with it');
select is(tests.servers(:'other'), '[]'::jsonb, 'and is listed no more');

-- The limit is each giver's own
insert into mcp_access (account_tool_environment_id, granted_by, name, user_id, client_id)
select 'e0000000-0000-4000-8000-000000000001', :'other', 'x', :'other', 'many' || n from generate_series(1, 300) n;
select is(tests.give('{"client_id": "c4"}'), 'granted', 'the programs of others do not use up what the owner may give');

-- Revoking
select is(revoke_mcp_access(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', :'other', 'access_id',
  (select id from mcp_access where user_id = :'other' and client_id = 'c1' and revoked_at is null))) ->> 'outcome', 'revoked', 'who let a program in may revoke that');
select is(revoke_mcp_access(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', :'other', 'access_id',
  (select id from mcp_access where user_id = :'owner' and client_id = 'c1' and revoked_at is null))) ->> 'outcome', 'not_found', 'nobody else''s');
select is(revoke_mcp_client(jsonb_build_object('user_id', :'other', 'client_id', 'c4')) -> 'ended', '0'::jsonb, 'a program of another is not revoked');
select is(tests.as_client(:'owner', 'c4') ->> 'outcome', 'access', 'it still is let in');
select is(revoke_mcp_client(jsonb_build_object('user_id', :'owner', 'client_id', 'c4')) -> 'ended', '1'::jsonb, 'its user ends all of it');
select is(tests.as_client(:'owner', 'c4') ->> 'outcome', 'no_access', 'at once');

select * from finish();
rollback;
