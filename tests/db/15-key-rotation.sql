-- A key is replaced while the agent goes on reporting; whatever is lost on the way, it is never locked out.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

-- A heartbeat with key number n ('ab', '01', '02', …): outcome and the epoch it is to rotate to.
create function tests.with_key(n text, root text default '0a0b0c0d') returns text language sql as $$
  select concat_ws(' ', h ->> 'outcome', h ->> 'rotate_to_epoch') from tests.heartbeat('{}', jsonb_build_object('token_hash', repeat(n, 32), 'root_id', root)) h
$$;
-- What the function does then: store the hash of the next key, for the last heartbeat.
create function tests.offer(n text, epoch int, root text default '0a0b0c0d', late int default 0) returns text language sql as $$
  select offer_toolbox_key(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'key_id', root || '.' || epoch, 'token_hash', repeat(n, 32),
    'boot', 7, 'sequence', currval('tests.sequence') - late)) ->> 'outcome'
$$;
create function tests.rotate() returns int language sql as $$
  select (rotate_toolbox_key('{"toolbox_id": "e0000000-0000-4000-8000-000000000001"}') ->> 'count')::int
$$;

select is(tests.with_key('ab'), 'recorded', 'a key without a name is of epoch 0');
select is((tests.toolbox()).dtma_key_id, '0a0b0c0d.0', 'and is named by the first heartbeat');
select is(tests.rotate(), 1, 'one toolbox is to rotate');
select is(rotate_toolbox_key('{"toolbox_id": "e0000000-0000-4000-8000-0000000000ff"}'), '{"outcome": "not_found"}', 'an unknown one is not');
select throws_ok(format('select rotate_toolbox_key(%L)', v), '22023', null, 'refused: ' || v)
from unnest(array['{}', '{"all": false}', '{"all": true, "toolbox_id": "e0000000-0000-4000-8000-000000000001"}']) v;
select is(tests.with_key('ab'), 'recorded 1', 'its next heartbeat says so');
select is(tests.with_key('ab'), 'recorded 1', 'until it happens');
select is(tests.offer('01', 1), 'offered', 'the key is offered');
select is((tests.toolbox()).dtma_key_id, '0a0b0c0d.0', 'the control plane goes on with the old one, which the agent is known to have');
select is(tests.with_key('ab'), 'recorded 1', 'the answer was lost: the old key counts, and the offer is made again');
select is(tests.offer('01', 1), 'offered', 'the same');
select is(tests.with_key('01'), 'recorded', 'the new key is used');
select is((tests.toolbox()).dtma_key_id, '0a0b0c0d.1', 'and is the one from then on');
select is(tests.with_key('ab'), 'recorded', 'a message under way with the old key still counts');
select is((tests.toolbox()).dtma_key_id, '0a0b0c0d.1', 'and changes nothing');
select tests.rotate() \g /dev/null
select is(tests.with_key('ab'), 'recorded', 'nor is it given a key, which would end the one in use');
update account_tool_environments set dtma_key_epoch = 1 where id = 'e0000000-0000-4000-8000-000000000001';
select cmp_ok((tests.toolbox()).dtma_previous_token_expires_at, '<=', clock_timestamp() + interval '10 minutes', 'for ten minutes');
update account_tool_environments set dtma_previous_token_expires_at = now() where id = 'e0000000-0000-4000-8000-000000000001';
select is(tests.with_key('ab'), 'unauthorized', 'then it ends');
select is(get_desired_state(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'token_hash', repeat('ab', 32))), '{"outcome": "unauthorized"}', 'for reading too');
select is(tests.with_key('01'), 'recorded', 'while the new one goes on');

-- Two rotations at once
select tests.rotate() \g /dev/null
select is(tests.with_key('01'), 'recorded 2', 'a second rotation');
select is(tests.offer('02', 2), 'offered', 'is offered');
select tests.rotate() \g /dev/null
select is(tests.with_key('01'), 'recorded 3', 'and overtaken before it was used');
select is(tests.offer('02', 2), 'superseded', 'a late offer of the epoch before is not told');
select is(tests.offer('03', 3, late => 1), 'superseded', 'nor one that answers an earlier heartbeat');
select is(tests.offer('03', 3), 'offered', 'the newest is');
select is(tests.with_key('01'), 'recorded 3', 'the key in use was not lost over it');
select is(tests.with_key('02'), 'unauthorized', 'the offer nobody can have is gone');
select tests.offer('03', 3) \g /dev/null
select is(tests.with_key('03'), 'recorded', 'the newest is used');

-- Another root secret, without any rotation
select is(tests.with_key('03', 'ffffffff'), 'recorded 3', 'keys of another root secret are replaced in their epoch');
select is(tests.offer('33', 3, 'ffffffff'), 'offered', 'by one of the new secret');
select is(tests.with_key('33', 'ffffffff'), 'recorded', 'which is used');
select is((tests.toolbox()).dtma_key_id, 'ffffffff.3', 'and named');

-- Everybody
select is(rotate_toolbox_key('{"all": true}'), '{"outcome": "rotated", "count": 2}', 'all toolboxes rotate');
select is(tests.with_key('33', 'ffffffff'), 'recorded 4', 'this one with its next heartbeat');
select is(offer_toolbox_key(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000002', 'key_id', '0a0b0c0d.1', 'token_hash', repeat('01', 32), 'boot', 1, 'sequence', 1)) ->> 'outcome',
  'superseded', 'an offer needs a heartbeat it answers');
-- So many that one call does not reach them all
insert into account_tool_environments (id, user_id, name)
select ('e1000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'a0000000-0000-4000-8000-000000000001', 'one of many' from generate_series(1, 10001) n;
select rotate_toolbox_key('{"all": true}') as first \gset
select is(:'first'::jsonb ->> 'count', '10000', 'ten thousand in one call');
select is(rotate_toolbox_key(jsonb_build_object('all', true, 'after', :'first'::jsonb ->> 'next')), '{"outcome": "rotated", "count": 3}', 'the others in the next');
select results_eq($$ select dtma_key_epoch, count(*) from account_tool_environments where name = 'one of many' group by 1 $$, $$ values (1, 10001::bigint) $$, 'each once');
select throws_ok($$ select offer_toolbox_key('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "key_id": "0a0b0c0d.4", "token_hash": "x"}') $$, '22023', null, 'and says so');

select * from finish();
rollback;
