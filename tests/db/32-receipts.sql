-- Receipts: what is to be sealed, in which order, once, for ever; and what retention leaves.
begin;
\ir setup.psql
select no_plan();

create function tests.unsealed() returns jsonb language sql stable as $$ select get_unsealed_operations('{}') -> 'chains' $$;
select is(tests.unsealed(), '[]', 'everything has its receipt');
select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}') \g /dev/null
select is(tests.unsealed(), '[]', 'what is in progress gets none');
select tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select tests.begin('{}') \g /dev/null
select tests.record('{"generation": 3, "expected_status": "starting", "steps": [{"status": "error", "reason_code": "exited", "reason": "Exit code 1"}],
  "operation_result": {"state": "failed", "error_code": "exited", "error_message": "Exit code 1"}, "observed": {"container_id": "abc", "image_digest": "sha256:2"}}') \g /dev/null
select tests.begin('{"action": "update", "expected_status": "error", "to_status": "deploying", "spec": {"image": "ghcr.io/x/y:2", "transport": "stdio"}}') \g /dev/null
-- One that ends in the database alone.
update tool_instance_operations set lease_expires_at = now() - interval '2 hours' where state = 'in_progress';
select is(private.end_expired_leases(), 1, 'an operation ends with its lease');
select is(jsonb_array_length(tests.unsealed()), 1, 'one chain a toolbox');
select is(tests.unsealed() -> 0 -> 'head', jsonb_build_object('number', 1, 'mac', repeat('1', 64)), 'with its head');
select results_eq(
  $$ select o ->> 'action', o ->> 'result', o ->> 'error_code', o ->> 'image_digest', o ->> 'image', o ->> 'user_id', o ->> 'instance_name' from jsonb_array_elements(tests.unsealed() -> 0 -> 'operations') o $$,
  $$ select v.*, 'a0000000-0000-4000-8000-000000000001', 'Context7 MCP Server-1750278276605' from (values
     ('stop', 'succeeded', null, 'sha256:1', 'ghcr.io/x/y:1.2'), ('start', 'failed', 'exited', 'sha256:2', 'ghcr.io/x/y:1.2'),
     ('update', 'abandoned', null, 'sha256:2', 'ghcr.io/x/y:2')) v $$, 'who, what, of which image, with which result, in the order of their ends');
select ok(tests.unsealed()::text !~ 'SECRET|Exit code', 'neither specs nor sentences of machines are in them');

create function tests.all_receipts() returns jsonb language sql stable as $$
  select jsonb_agg(tests.receipt((o ->> 'operation_id')::uuid, 'a')) from jsonb_array_elements(tests.unsealed() -> 0 -> 'operations') o
$$;
select is(tests.seal(tests.all_receipts(), 1, repeat('2', 64)), 'superseded', 'a chain goes on from its head only');
select is(tests.seal(tests.all_receipts()), 'superseded', 'and begins once');
select is(tests.seal(tests.all_receipts(), 1, repeat('1', 64)), 'sealed', 'from there it does');
select is(tests.unsealed(), '[]', 'each operation has one receipt');
select is(count(*), 4::bigint, 'in one row') from operation_receipts;
select throws_ok(format('select tests.seal(%L, 4, %L)', jsonb_build_array(tests.receipt((select id from tool_instance_operations where action = 'stop'), 'b')), repeat('a', 64)), '23505', null, 'never a second');

select is(tests.try('owner', 'select * from operation_receipts'), '4 rows', 'the owner reads them');
select is(tests.try('stranger', 'select * from operation_receipts'), '0 rows', 'a stranger does not');
select is(tests.try(a, c), '42501', a || ' cannot ' || c)
from unnest(array['postgres', 'service', 'owner']) a,
  unnest(array['update operation_receipts set content = ''{}''', 'delete from operation_receipts', 'truncate operation_receipts']) c;
select is(tests.try(a, format('select %s(''{}'')', f)), '42501', format('%s cannot call %s', a, f))
from unnest(array['owner', 'stranger', 'anon']) a, unnest(array['get_unsealed_operations', 'seal_operations']) f;

-- Retention: from the oldest on, and never the last.
create function tests.age(ago interval, through bigint) returns void language plpgsql as $$
begin
  set local session_replication_role = replica;
  update operation_receipts set sealed_at = sealed_at - ago where number <= through;
  set local session_replication_role = origin;
end $$;
select tests.age('91 days', 2);
select is(tests.unsealed() -> 0 -> 'expired', jsonb_build_object('number', 2, 'mac', repeat('a', 64)), 'the newest whose time is over is named');
create function tests.checkpoint(mac text) returns jsonb language sql as $$ select jsonb_build_array(tests.receipt(null, mac)) $$;
select throws_ok(format('select tests.seal(%L, 4, %L, %L)', tests.checkpoint('c'), repeat('a', 64), '{"delete_through": 3}'), '42501', null, 'no younger one goes');
select is(tests.seal(tests.checkpoint('c'), 4, repeat('a', 64), '{"delete_through": 2}'), 'sealed', 'the old ones go with a checkpoint');
select results_eq('select number, operation_id is null from operation_receipts order by number', $$ values (3::bigint, false), (4, false), (5, true) $$, 'which is a receipt itself');
select tests.age('1 year', 5);
select is(tests.unsealed() #> '{0,expired,number}', '3', 'the last operation''s receipt stays, however old');
select is(tests.seal(tests.checkpoint('d'), 5, repeat('c', 64), '{"delete_through": 3}'), 'sealed', 'for whatever comes');
select tests.age('1 year', 6);
select is(tests.unsealed(), '[]', 'and while no operation ends, no checkpoint leads to another');
-- The next operation makes room: the checkpoints go with the receipts before them.
select tests.begin('{"action": "stop", "expected_status": "deploying", "to_status": "stopping", "desired_status": "stopped"}') ->> 'outcome';
update tool_instance_operations set lease_expires_at = now() - interval '2 hours' where state = 'in_progress';
select private.end_expired_leases() \g /dev/null
select is(tests.unsealed() #> '{0,expired}', 'null', 'before it has its receipt');
select is(tests.seal(tests.all_receipts(), 6, repeat('d', 64)), 'sealed', 'then');
select is(tests.unsealed() #> '{0,expired,number}', '4', 'the one before it goes');
select is(tests.seal(tests.checkpoint('e'), 7, repeat('a', 64), '{"delete_through": 4}'), 'sealed', 'with a checkpoint');
select tests.age('1 year', 8);
select is(tests.unsealed(), '[]', 'which is the last');
-- Receipts outlive their toolbox, not their user.
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is(count(*), 4::bigint, 'a removed toolbox keeps its receipts') from operation_receipts;
delete from auth.users where id = 'a0000000-0000-4000-8000-000000000001';
select is_empty('select from operation_receipts', 'a removed user does not');

-- What has no receipt stays, however old.
insert into account_tool_environments (id, user_id, name) values ('e0000000-0000-4000-8000-000000000003', 'b0000000-0000-4000-8000-000000000002', 'x');
insert into tool_instance_operations (tool_instance_id, account_tool_environment_id, user_id, action, request_id, generation, state, lease_expires_at, finished_at)
  values (gen_random_uuid(), 'e0000000-0000-4000-8000-000000000003', 'b0000000-0000-4000-8000-000000000002', 'start', 'x', 1, 'succeeded', now(), now() - interval '1 year');
select is(private.delete_old_operations(), 0, 'an operation without a receipt is kept');
update tool_instance_operations set is_sealed = true;
select is(private.delete_old_operations(), 1, 'with one it goes');

select * from finish();
rollback;
