begin;
\ir setup.psql
select no_plan();

create temp table first on commit drop as
  select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped", "idempotency_key": "k1", "request_fingerprint": "f1", "request_id": "one"}') as r;
select is(r ->> 'outcome', 'started', 'a key is used') from first;
select is(
  tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped", "idempotency_key": "k1", "request_fingerprint": "f1", "request_id": "two"}'),
  jsonb_build_object('outcome', 'replayed', 'operation', r -> 'operation', 'instance', r -> 'instance'), 'a repetition gets the same operation while it runs') from first;
select is(tests.begin('{"action": "stop", "to_status": "stopping", "idempotency_key": "k1", "request_fingerprint": "f2"}'), '{"outcome": "key_reused"}', 'another request with the key is refused');
select is(tests.begin(('{"action": "stop", "to_status": "stopping", "idempotency_key": "k1"}'::jsonb || f::jsonb)) ->> 'outcome', outcome, 'after the root secret was replaced: ' || f)
from (values ('{"request_fingerprint": "f3", "former_request_fingerprint": "f1"}', 'replayed'), ('{"request_fingerprint": "f3", "former_request_fingerprint": "f2"}', 'key_reused')) v (f, outcome);
select is(tests.begin('{"idempotency_key": "k1", "request_fingerprint": "f1"}'), '{"outcome": "key_reused"}', 'another action too');
select is(tests.begin('{"action": "stop", "to_status": "stopping", "idempotency_key": "k1"}'), '{"outcome": "key_reused"}', 'a request without a fingerprint too');
select is(tests.begin('{"idempotency_key": "k2", "request_fingerprint": "f1"}') ->> 'outcome', 'in_progress', 'another key is another request');
select is((select count(*) from tool_instance_operations where idempotency_key = 'k2'), 0::bigint, 'a refused request does not use up its key');
select is(tests.deploy('c0000000-0000-4000-8000-000000000009', 'x', '{"toolbox_id": "e0000000-0000-4000-8000-000000000002", "user_id": "b0000000-0000-4000-8000-000000000002",
  "idempotency_key": "k1", "request_fingerprint": "f1"}') ->> 'outcome', 'started', 'keys of different users do not meet');
select is((tests.instance()).generation, 2::bigint, 'one operation was accepted in all');

select tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}], "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(r #>> '{operation,state}' || ' ' || (r #>> '{instance,status_on_toolbox}'), 'succeeded stopped', 'a later repetition gets the outcome')
from (select tests.begin('{"action": "stop", "to_status": "stopping", "desired_status": "stopped", "idempotency_key": "k1", "request_fingerprint": "f1"}') as r) a;

-- A failure tells what was answered beside the reason, and only when something was.
select tests.begin('{"action": "start", "to_status": "starting", "idempotency_key": "k2", "request_fingerprint": "f2"}') \g /dev/null
select tests.record('{"generation": 3, "expected_status": "starting", "steps": [{"status": "stopped"}],
  "operation_result": {"state": "failed", "error_code": "port_in_use", "error_message": "Taken", "answered_code": "validation_failed"}}') \g /dev/null
select is(concat_ws(' ', r #>> '{operation,state}', r #>> '{operation,error_code}', r #>> '{operation,answered_code}'), 'failed port_in_use validation_failed',
  'a repetition of a refused request gets the refusal')
from (select tests.begin('{"action": "start", "to_status": "starting", "idempotency_key": "k2", "request_fingerprint": "f2"}') as r) a;
select throws_ok($$ update tool_instance_operations set answered_code = 'x' where state <> 'failed' $$, '23514', null, 'only failures were answered with a code');

-- Also when the worker died, and when the row is gone.
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent", "idempotency_key": "k3"}') \g /dev/null
update tool_instance_operations set lease_expires_at = clock_timestamp() - interval '1 ms' where idempotency_key = 'k3';
select is(tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent", "idempotency_key": "k3"}') #>> '{operation,state}', 'abandoned',
  'a repetition never waits for a dead worker');
select tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent", "idempotency_key": "k4"}') \g /dev/null
select tests.record('{"generation": 5, "expected_status": "pending_delete", "steps": [{"status": "deleting"}], "remove_row": true, "operation_result": {"state": "succeeded"}}') \g /dev/null
select is(tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent", "idempotency_key": "k4"}') - 'operation',
  '{"outcome": "replayed", "instance": null}', 'a repeated delete gets the outcome of the first');
select is(tests.begin('{"action": "delete", "to_status": "pending_delete", "desired_status": "absent"}'), '{"outcome": "not_found"}', 'without the key there is nothing to delete');

-- 24 hours.
select tests.deploy('c0000000-0000-4000-8000-000000000002', 'day', '{"idempotency_key": "k5", "request_fingerprint": "f5"}') \g /dev/null
update tool_instance_operations set started_at = now() - interval '23 hours 59 minutes' where idempotency_key = 'k5';
select is(tests.deploy('c0000000-0000-4000-8000-000000000003', 'day 2', '{"idempotency_key": "k5", "request_fingerprint": "f5"}') #>> '{instance,id}',
  'c0000000-0000-4000-8000-000000000002', 'a repeated deploy gets the instance of the first, under whatever id');
update tool_instance_operations set started_at = now() - interval '24 hours' where idempotency_key = 'k5';
select is(tests.deploy('c0000000-0000-4000-8000-000000000003', 'day 2', '{"idempotency_key": "k5", "request_fingerprint": "other"}') ->> 'outcome', 'started', 'after a day the key is free');

select * from finish();
rollback;
