-- Access to MCP servers: who gives it, who has it, and that what is over is over.
begin;
\ir setup.psql
select no_plan();
delete from mcp_access;

create function tests.hash(token text) returns text language sql immutable as $$ select encode(sha256(token::bytea), 'hex') $$;
create function tests.give(p jsonb default '{}') returns jsonb language sql as $$
  select grant_mcp_access(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'owner_id', 'a0000000-0000-4000-8000-000000000001',
    'instance_id', 'c0000000-0000-4000-8000-000000000001', 'name', 'laptop'
  ) || p)
$$;
create function tests.find(p jsonb) returns jsonb language sql as $$
  select find_mcp_access(jsonb_build_object('instance_id', 'c0000000-0000-4000-8000-000000000001', 'client_name', 'claude-code/2') || p)
$$;
create function tests.with_token(token text, p jsonb default '{}') returns text language sql as $$
  select tests.find(jsonb_build_object('token_hash', tests.hash(token)) || p) ->> 'outcome'
$$;
create function tests.as_user(id text, p jsonb default '{}') returns jsonb language sql as $$
  select tests.find(jsonb_build_object('user_id', id) || p)
$$;
create function tests.end_it(given jsonb, owner text default 'a0000000-0000-4000-8000-000000000001') returns text language sql as $$
  select revoke_mcp_access(jsonb_build_object('access_id', given #>> '{access,id}', 'toolbox_id', 'e0000000-0000-4000-8000-000000000001',
    'owner_id', owner)) ->> 'outcome'
$$;
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'other') \g /dev/null

-- Tokens
create temp table given as select tests.give(jsonb_build_object('token_hash', tests.hash('one'), 'allowed_tools', '["a", "b"]'::jsonb)) as one;
select is(one ->> 'outcome', 'granted', 'an owner makes a token') from given;
select is(one -> 'access' ? 'token_hash', false, 'whose hash is not answered') from given;
select is(tests.with_token('one'), 'access', 'which opens its instance');
select results_eq($$ select t -> 'allowed_tools', t -> 'read_only', t #>> '{toolbox,public_ip_address}', t #>> '{instance,transport}', t ->> 'who' like 'access:%'
    from tests.find(jsonb_build_object('token_hash', tests.hash('one'))) t $$,
  $$ values ('["a", "b"]'::jsonb, 'false'::jsonb, '127.0.0.1', 'stdio', true) $$, 'with its tools, and where the machine is');
select isnt((select last_used_at from mcp_access), null, 'when it was used is kept');
select is((select last_client from mcp_access), 'claude-code/2', 'and by which program');
select is(tests.with_token('one', '{"instance_id": "c0000000-0000-4000-8000-000000000002"}'), 'no_access', 'it opens no other instance');
select is(tests.with_token('one', '{"instance_id": "c0000000-0000-4000-8000-00000000ffff"}'), 'no_access', 'nor one that is not there, which is answered alike');
select is(tests.with_token('two'), 'token_unknown', 'another token opens nothing');
select is(tests.give(jsonb_build_object('instance_id', null, 'token_hash', tests.hash('wide'))) ->> 'outcome', 'granted', 'a token for a whole toolbox');
select is(tests.with_token('wide', '{"instance_id": "c0000000-0000-4000-8000-000000000002"}'), 'access', 'opens each of its instances');
select is(tests.give(jsonb_build_object('token_hash', tests.hash('short'), 'ttl_seconds', 60)) ->> 'outcome', 'granted', 'a token that expires');
select is(tests.with_token('short'), 'access', 'counts until then');
update mcp_access set expires_at = now() where token_hash = tests.hash('short');
select is(tests.with_token('short'), 'token_expired', 'and not after');
select is(tests.end_it(one, 'b0000000-0000-4000-8000-000000000002'), 'not_found', 'a stranger does not revoke it') from given;
select is(tests.end_it(one), 'revoked', 'the owner does') from given;
select is(tests.end_it(one), 'revoked', 'twice is no error') from given;
select is(tests.with_token('one'), 'token_unknown', 'a revoked token opens nothing from then on');
select throws_ok(format('select tests.give(jsonb_build_object(''token_hash'', tests.hash(''x'')) || %L)', v), '23514', null, 'refused: ' || v)
from unnest(array['{"user_id": "b0000000-0000-4000-8000-000000000002"}', '{"client_id": "c"}', '{"name": ""}', '{"allowed_tools": [null]}',
  '{"token_hash": null}', jsonb_build_object('allowed_tools', array(select n::text from generate_series(1, 101) n))::text]) v;
select is(tests.give(v::jsonb) ->> 'outcome', o, o) from (values
  ('{"owner_id": "b0000000-0000-4000-8000-000000000002", "token_hash": null}', 'toolbox_not_found'),
  ('{"instance_id": "c0000000-0000-4000-8000-00000000ffff"}', 'instance_not_found'),
  ('{"user_id": "b0000000-0000-4000-8000-00000000ffff"}', 'user_not_found')) c (v, o);

update mcp_access set revoked_at = now() - interval '91 days' where token_hash = tests.hash('one');
update mcp_access set expires_at = now() - interval '89 days' where token_hash = tests.hash('short');
select is(tests.give(jsonb_build_object('token_hash', tests.hash('later'))) ->> 'outcome', 'granted', 'another token is made');
select is((select array_agg(t order by t) from unnest('{one,short,wide}'::text[]) t where exists (
    select from mcp_access a where a.token_hash = tests.hash(t))), '{short,wide}', 'which ended longer ago than history is kept is gone');

-- Users
select is(tests.as_user('a0000000-0000-4000-8000-000000000001') ->> 'outcome', 'access', 'the owner needs no row');
select is(tests.as_user('a0000000-0000-4000-8000-000000000001') -> 'allowed_tools', 'null'::jsonb, 'and has all tools');
select is(tests.as_user('a0000000-0000-4000-8000-000000000001', '{"client_id": "c1"}') ->> 'outcome', 'no_access', 'a program of the owner does');
select is(tests.as_user('b0000000-0000-4000-8000-000000000002') ->> 'outcome', 'no_access', 'a stranger has no access');
select is(tests.give('{"user_id": "a0000000-0000-4000-8000-000000000001", "client_id": "c1", "read_only": true}') ->> 'outcome', 'granted', 'a program is let in');
select is(tests.as_user('a0000000-0000-4000-8000-000000000001', '{"client_id": "c1"}') -> 'read_only', 'true'::jsonb, 'as its row says');
select is(tests.as_user('a0000000-0000-4000-8000-000000000001', '{"client_id": "c2"}') ->> 'outcome', 'no_access', 'another program is not');
select is(tests.give('{"user_id": "b0000000-0000-4000-8000-000000000002", "instance_id": null}') ->> 'outcome', 'granted', 'the whole toolbox is shared');
select is(tests.as_user('b0000000-0000-4000-8000-000000000002') -> 'allowed_tools', 'null'::jsonb, 'with all tools');
insert into given select tests.give('{"user_id": "b0000000-0000-4000-8000-000000000002", "allowed_tools": []}');
select is(tests.as_user('b0000000-0000-4000-8000-000000000002') -> 'allowed_tools', '[]'::jsonb, 'what names the instance comes first');
select is(tests.as_user('b0000000-0000-4000-8000-000000000002', '{"client_id": "c1"}') ->> 'outcome', 'no_access', 'a program of theirs needs a row of its own');
select tests.give('{"user_id": "b0000000-0000-4000-8000-000000000002", "allowed_tools": ["x"]}') \g /dev/null
select is((select count(*) from mcp_access where user_id = 'b0000000-0000-4000-8000-000000000002' and account_tool_instance_id is not null
  and revoked_at is null), 1::bigint, 'giving it again replaces it');
update mcp_access set expires_at = now() where user_id = 'b0000000-0000-4000-8000-000000000002';
select is(tests.as_user('b0000000-0000-4000-8000-000000000002') ->> 'outcome', 'no_access', 'it ends in time');
select throws_ok($$ select find_mcp_access('{"instance_id": "c0000000-0000-4000-8000-000000000001"}') $$, '22023', null, 'nobody is nobody');

-- Who may read and write
select is(tests.try('owner', 'select id from mcp_access'), (select count(*) || ' rows' from mcp_access), 'the owner reads what they gave');
select is(tests.try('stranger', 'select id from mcp_access'), '3 rows', 'a user reads what they were given');
select is(tests.try('stranger', 'select token_hash from mcp_access'), '42501', 'nobody reads a hash');
select is(tests.try('owner', v), '42501', 'users write nothing: ' || v)
from unnest(array['update mcp_access set expires_at = null', 'delete from mcp_access', 'insert into mcp_access (name) values (''x'')']) v;

-- Tokens of programs
create function tests.as_program(statement text) returns text language plpgsql as $$
declare outcome text;
begin
  perform tests.act_as('owner');
  perform set_config('request.jwt.claims', '{"sub": "a0000000-0000-4000-8000-000000000001", "role": "authenticated", "client_id": "c1"}', true);
  execute 'select count(*) from (' || statement || ') s' into outcome;
  perform tests.act_as('postgres');
  return outcome;
end $$;
select is(tests.as_program(format('select from public.%I', c.relname)), '0', format('a program reads nothing of %s', c.relname))
from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p');
select is(tests.try('owner', 'select id from account_tool_environments'), '1 rows', 'where its user reads');

select * from finish();
rollback;
