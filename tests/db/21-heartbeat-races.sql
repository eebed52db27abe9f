-- Heartbeats beside users' commands, the sweep, and each other, over dblink: what they write is committed, and removed
-- at the end with its user.
\getenv url TOOLBOX_TEST_DB_URL
set client_min_messages = warning;
create extension if not exists dblink with schema extensions;
set search_path = public, extensions;
begin;
select no_plan();

create function pg_temp.in_session(session text, statement text) returns text language sql as $$
  select r from extensions.dblink(session, statement) as t (r text)
$$;
create function pg_temp.later(session text, statement text) returns void language plpgsql as $$
begin
  if extensions.dblink_send_query(session, statement) <> 1 then raise exception 'not sent'; end if;
  perform pg_sleep(0.15);
end $$;
create function pg_temp.answer(session text) returns text language plpgsql as $$
declare
  answer text;
begin
  select r into answer from extensions.dblink_get_result(session) as t (r text);
  -- The end of the result set, which frees the connection.
  perform from extensions.dblink_get_result(session) as t (r text);
  return answer;
end $$;
-- Instance n of eight.
create function pg_temp.id(n int) returns text language sql immutable as $$ select 'c2000000-0000-4000-8000-00000000000' || n $$;
create function pg_temp.begin(n int, p jsonb default '{}') returns text language sql as $$
  select format('select public.begin_tool_instance_operation(%L) ->> ''outcome''', jsonb_build_object(
    'toolbox_id', 'e2000000-0000-4000-8000-000000000001', 'user_id', 'a2000000-0000-4000-8000-000000000001',
    'action', 'start', 'instance_id', pg_temp.id(n), 'request_id', 'race',
    'lease_seconds', 150, 'to_status', 'starting', 'desired_status', 'running') || p)
$$;
create function pg_temp.deploy(n int, p jsonb default '{}') returns text language sql as $$
  select pg_temp.begin(n, p || jsonb_build_object('action', 'deploy', 'to_status', 'deploying', 'name', 'tool ' || n,
    'container_name', 'race', 'tool_catalog_id', '00000000-0000-0000-0000-000000000001', 'spec', '{"image": "x"}'::jsonb))
$$;
create function pg_temp.heartbeat(sequence int, instances jsonb default '[]', call jsonb default '{}') returns text language sql as $$
  select format('select public.record_heartbeat(%L) ->> ''outcome''', jsonb_build_object(
    'toolbox_id', 'e2000000-0000-4000-8000-000000000001', 'token_hash', repeat('ab', 32), 'root_id', '0a0b0c0d', 'request_id', 'race',
    'heartbeat', jsonb_build_object('boot', 1, 'sequence', sequence, 'version', '1', 'api_version', 1, 'interval_seconds', 60,
      'docker_reachable', true, 'full', true, 'instances', instances)) || call)
$$;
-- Its health is new every time, so the row is written.
create function pg_temp.report(n int, generation bigint, phase text) returns jsonb language sql as $$
  select jsonb_build_object('id', pg_temp.id(n), 'generation', generation, 'phase', phase, 'settled', true, 'ports', '[]'::jsonb, 'rolled_back', false,
    'mcp', jsonb_build_object('state', 'healthy', 'checked_at', clock_timestamp(), 'tools_fingerprint', md5(random()::text) || md5(n::text)))
$$;
create function pg_temp.item(n int, generation bigint, from_status text, to_status text) returns jsonb language sql as $$
  select jsonb_build_object('instance_id', pg_temp.id(n), 'generation', generation, 'actor_kind', 'agent', 'settled', true,
    'expected_generation', generation, 'expected_status', from_status,
    'steps', case when from_status = to_status then '[]' else jsonb_build_array(jsonb_build_object('status', to_status)) end,
    'operation_result', '{"state": "succeeded"}'::jsonb)
$$;
create function pg_temp.record(items jsonb) returns text language sql as $$
  select format('select string_agg(r ->> ''outcome'', '' '') from jsonb_array_elements(public.record_tool_instance_states(%L) -> ''results'') r', jsonb_build_object(
    'toolbox_id', 'e2000000-0000-4000-8000-000000000001', 'items', items))
$$;
create function pg_temp.settle(n int, generation bigint, from_status text, to_status text) returns text language sql as $$
  select pg_temp.record(jsonb_build_array(pg_temp.item(n, generation, from_status, to_status)))
$$;
-- What an agent that has all that is desired tells, recorded.
create function pg_temp.all_as_desired() returns text language sql as $$
  select pg_temp.record(jsonb_agg(pg_temp.item(n, i.generation, i.status_on_toolbox::text, i.desired_status) order by random()))
  from generate_series(1, 8) n join account_tool_instances i on i.id = pg_temp.id(n)::uuid
$$;

select count(dblink_connect(s, :'url')) from unnest(array['a', 'b', 'c', 'd', 'e', 'f', 'g']) s \g /dev/null
-- A deadlock or a lost wake-up is a failure, not a hang.
set statement_timeout = '60s';
select count(dblink_exec(s, 'set statement_timeout = ''10s''')) from unnest(array['a', 'b', 'c', 'd', 'e', 'f', 'g']) s \g /dev/null
select dblink_exec('a', $$
  delete from auth.users where id = 'a2000000-0000-4000-8000-000000000001'; -- left by a run that was killed
  insert into auth.users (id, email) values ('a2000000-0000-4000-8000-000000000001', 'heartbeat-race@pgtap.test');
  insert into public.account_tool_environments (id, user_id, name, dtma_token_hash) values
    ('e2000000-0000-4000-8000-000000000001', 'a2000000-0000-4000-8000-000000000001', 'race', repeat('ab', 32)) $$) \g /dev/null
select count(pg_temp.in_session('a', pg_temp.deploy(n))) from generate_series(1, 8) n \g /dev/null

-- One heartbeat, sent twice at the same time.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.heartbeat(1, (select jsonb_agg(pg_temp.report(n, 1, 'running')) from generate_series(1, 8) n))), 'recorded', 'a heartbeat is recorded');
select pg_temp.later('b', pg_temp.heartbeat(1)) \g /dev/null
select is(dblink_is_busy('b'), 1, 'its copy waits');
select is(pg_temp.in_session('c', pg_temp.heartbeat(2, '[]', jsonb_build_object('token_hash', repeat('00', 32)))), 'unauthorized', 'a wrong key waits for nothing');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'replayed', 'then the copy is refused');
select is(pg_temp.in_session('a', pg_temp.all_as_desired()), 'recorded recorded recorded recorded recorded recorded recorded recorded', 'and its news are recorded');

-- The sweep, while a toolbox that was silent is heard of.
select dblink_exec('a', 'update public.account_tool_environments set last_heartbeat_at = now() - interval ''1 hour'' where id = ''e2000000-0000-4000-8000-000000000001''') \g /dev/null
select dblink_exec('a', 'begin') \g /dev/null
select pg_temp.in_session('a', 'select id::text from public.account_tool_environments where id = ''e2000000-0000-4000-8000-000000000001'' for no key update') \g /dev/null
select is(pg_temp.in_session('b', 'select private.mark_silent_toolboxes(''-infinity'')::text'), '0', 'the sweep passes by what is being heard of');
select dblink_exec('a', 'commit') \g /dev/null

-- The sweep, while a command of a silent toolbox is being written.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.begin(6, '{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}')), 'started', 'a command starts');
select pg_temp.later('b', 'select private.mark_silent_toolboxes(''-infinity'')::text') \g /dev/null
select is(dblink_is_busy('b'), 1, 'the sweep waits for it');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), '1', 'then marks its toolbox');
select is(
  (select array_agg(action || ' ' || to_status order by id desc) from (select * from tool_instance_events where tool_instance_id = pg_temp.id(6)::uuid order by id desc limit 2) e),
  array['unknown_since stopping', 'stop stopping'], 'and its event follows the command''s'
);

-- A command and a report of one instance.
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.begin(3, '{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}')), 'started', 'a command starts');
select pg_temp.in_session('a', pg_temp.begin(5, '{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}')) \g /dev/null
select is(pg_temp.in_session('a', pg_temp.settle(5, 2, 'stopping', 'stopped')), 'recorded', 'another starts and ends');
select pg_temp.later('b', pg_temp.record(jsonb_build_array(pg_temp.item(5, 1, 'running', 'stopped'), pg_temp.item(3, 1, 'running', 'stopped'), pg_temp.item(2, 1, 'running', 'stopped')))) \g /dev/null
select is(dblink_is_busy('b'), 1, 'what was seen of the same instances waits');
select string_agg(mcp_health::text, ' ' order by id) as health from account_tool_instances where id in (pg_temp.id(3)::uuid, pg_temp.id(5)::uuid) \gset
select pg_temp.later('d', pg_temp.heartbeat(2, jsonb_build_array(pg_temp.report(5, 1, 'starting'), pg_temp.report(3, 1, 'stopped')))) \g /dev/null
select is(dblink_is_busy('d'), 1, 'so does their health');
select is(pg_temp.in_session('c', pg_temp.begin(4, '{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}')), 'started', 'commands on others do not wait for it');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'stale stale recorded', 'then it is old, and each instance is a matter of its own');
select is(pg_temp.answer('d'), 'recorded', 'the heartbeat is recorded');
select is((select string_agg(mcp_health::text, ' ' order by id) from account_tool_instances where id in (pg_temp.id(3)::uuid, pg_temp.id(5)::uuid)), :'health', 'and the health of before the command is old too');
select is((select status_on_toolbox::text from account_tool_instances where id = pg_temp.id(3)::uuid), 'stopping', 'and what it said of before the command is old');
select is((select status_on_toolbox::text from account_tool_instances where id = pg_temp.id(5)::uuid), 'stopped', 'also when the command has ended');
select is(pg_temp.in_session('a', pg_temp.record(jsonb_build_array(pg_temp.item(4, 2, 'stopping', 'stopped'), pg_temp.item(3, 2, 'stopping', 'stopped')))), 'recorded recorded', 'both commands end');

-- What a heartbeat told, recorded late: after a later heartbeat, or while one comes.
create function pg_temp.told_by(sequence int, items jsonb) returns text language sql as $$
  select format('select string_agg(r ->> ''outcome'', '' '') from jsonb_array_elements(public.record_tool_instance_states(%L) -> ''results'') r', jsonb_build_object(
    'toolbox_id', 'e2000000-0000-4000-8000-000000000001', 'boot', 1, 'sequence', sequence, 'items', items))
$$;
create function pg_temp.failed(n int) returns jsonb language sql as $$
  select jsonb_build_array(pg_temp.item(n, 1, 'running', 'running') || '{"steps": [{"status": "error", "reason_code": "exited", "reason": "x"}], "operation_result": null}')
$$;
create function pg_temp.news(statement text) returns text language sql as $$
  select replace(statement, '->> ''outcome''', '#>> ''{news,0,status_on_toolbox}''')
$$;
select is(pg_temp.in_session('a', pg_temp.heartbeat(3, jsonb_build_array(pg_temp.report(1, 1, 'error')))), 'recorded', 'a heartbeat tells of an error');
select is(pg_temp.in_session('b', pg_temp.heartbeat(4, jsonb_build_array(pg_temp.report(1, 1, 'running')))), 'recorded', 'a later one, that it has passed');
select is(pg_temp.in_session('a', pg_temp.told_by(3, pg_temp.failed(1))), 'superseded', 'the error that is recorded then is old');
select is((select status_on_toolbox::text from account_tool_instances where id = pg_temp.id(1)::uuid), 'running', 'and takes nothing back');
select is(pg_temp.in_session('a', pg_temp.told_by(4, '[]')), null, 'the last one has nothing to record');
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.told_by(4, pg_temp.failed(1))), 'recorded', 'an error of the last heartbeat is being recorded');
select pg_temp.later('b', pg_temp.news(pg_temp.heartbeat(5, jsonb_build_array(pg_temp.report(1, 1, 'running'))))) \g /dev/null
select is(dblink_is_busy('b'), 1, 'the next heartbeat waits');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'error', 'and has news of it then');
select is(pg_temp.in_session('b', pg_temp.told_by(5, jsonb_build_array(pg_temp.item(1, 1, 'error', 'running')))), 'recorded', 'which are recorded');

-- A server that lists other tools, and whose health is too large to be kept: its row is locked in the order of ids too.
create function pg_temp.other_tools(n int, padding int) returns jsonb language sql as $$
  select r || jsonb_build_object('generation', i.generation, 'phase', i.status_on_toolbox, 'mcp', r -> 'mcp' || jsonb_build_object('evidence', repeat('x', padding)))
  from pg_temp.report(n, 1, 'running') r, account_tool_instances i where i.id = pg_temp.id(n)::uuid
$$;
select is(pg_temp.in_session('a', pg_temp.heartbeat(6, jsonb_build_array(pg_temp.other_tools(6, 40000), pg_temp.other_tools(7, 0)))), 'recorded', 'health that is too large is not kept');
select dblink_exec('a', 'begin') \g /dev/null
select pg_temp.in_session('a', format('select id::text from public.account_tool_instances where id = %L for update', pg_temp.id(6))) \g /dev/null
select pg_temp.later('b', pg_temp.heartbeat(7, jsonb_build_array(pg_temp.other_tools(6, 40000), pg_temp.other_tools(7, 0)))) \g /dev/null
select is(dblink_is_busy('b'), 1, 'a heartbeat with other tools waits for the first row');
select is(pg_temp.in_session('a', format('select id::text from public.account_tool_instances where id = %L for update', pg_temp.id(7))), pg_temp.id(7), 'and has not locked the second');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'recorded', 'then it goes on');

-- Two records of one toolbox whose items cause events of different kinds: they lock the buckets in one order.
select count(dblink_exec('a', format('insert into private.event_buckets (account_tool_environment_id, kind, tokens, filled_at)
  values (''e2000000-0000-4000-8000-000000000001'', %L, 600, now()) on conflict do nothing', kind))) from unnest(array['deploy', 'observe']) kind \g /dev/null
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', 'select kind from private.event_buckets where kind = ''deploy'' and account_tool_environment_id = ''e2000000-0000-4000-8000-000000000001'' for update'),
  'deploy', 'a record has locked the first bucket');
select pg_temp.later('b', pg_temp.record(pg_temp.failed(1))) \g /dev/null
select is(dblink_is_busy('b'), 1, 'another waits for it, whatever its events are');
select is(pg_temp.in_session('a', 'select kind from private.event_buckets where kind = ''observe'' and account_tool_environment_id = ''e2000000-0000-4000-8000-000000000001'' for update nowait'),
  'observe', 'and has not locked the second');
select dblink_exec('a', 'commit') \g /dev/null
select is(pg_temp.answer('b'), 'recorded', 'then it goes on');
select is(pg_temp.in_session('b', pg_temp.record(jsonb_build_array(pg_temp.item(1, 1, 'error', 'running')))), 'recorded', 'and the error passes');

-- One token, used twice at the same time by two machines.
select pg_temp.in_session('a', $$ select public.create_toolbox_enrolment('{"toolbox_id": "e2000000-0000-4000-8000-000000000001", "ttl_seconds": 60}') ->> 'token' $$) as token \gset
create function pg_temp.enrol(token text, certificate text) returns text language sql as $$
  select format('select concat_ws('' '', r ->> ''outcome'', r ->> ''reason'') from public.enrol_toolbox(%L) r', jsonb_build_object(
    'toolbox_id', 'e2000000-0000-4000-8000-000000000001', 'token_hash', encode(sha256(token::bytea), 'hex'),
    'certificate_pem', E'-----BEGIN CERTIFICATE-----\n' || encode(certificate::bytea, 'base64') || E'\n-----END CERTIFICATE-----\n',
    'certificate_sha256', encode(sha256(certificate::bytea), 'hex')))
$$;
select dblink_exec('a', 'begin') \g /dev/null
select is(pg_temp.in_session('a', pg_temp.enrol(:'token', 'one')), 'enrolled', 'one machine enrols');
select pg_temp.later('b', pg_temp.enrol(:'token', 'two')) \g /dev/null
select is(pg_temp.in_session('c', pg_temp.enrol('tbe_guess', 'two')), 'refused unknown', 'a guess waits for nothing');
select dblink_exec('a', 'rollback') \g /dev/null
select is(pg_temp.answer('b'), 'enrolled', 'when it fails the other has its place');
select is(pg_temp.in_session('a', pg_temp.enrol(:'token', 'one')), 'refused used', 'and the token is used');
select dblink_exec('a', $$ update public.account_tool_environments set dtma_token_hash = repeat('ab', 32), dtma_certificate_pem = null
  where id = 'e2000000-0000-4000-8000-000000000001' $$) \g /dev/null

-- A crowd: two heartbeats, the record of their news, a command, its record, another deploy and the sweep, 40 rounds over eight
-- instances.
create temp table crowd (session text, outcome text);
do $$
declare
  reports jsonb;
  one int;
  row account_tool_instances;
  other account_tool_instances;
begin
  for round in 1..40 loop
    one := 1 + round % 8;
    select * into row from account_tool_instances where id = pg_temp.id(one)::uuid;
    select * into other from account_tool_instances where id = pg_temp.id(1 + (round + 3) % 8)::uuid;
    select jsonb_agg(pg_temp.report(n, i.generation, case (round + n) % 3 when 0 then 'stopped' else 'running' end) order by random()) into reports
    from generate_series(1, 8) n join account_tool_instances i on i.id = pg_temp.id(n)::uuid;
    perform extensions.dblink_send_query('a', pg_temp.heartbeat(2 * round, reports));
    perform extensions.dblink_send_query('b', pg_temp.begin(one, jsonb_build_object('expected_status', row.status_on_toolbox) || case row.status_on_toolbox
      when 'stopped' then '{}' else '{"action": "stop", "to_status": "stopping", "desired_status": "stopped"}' end::jsonb));
    perform extensions.dblink_send_query('c', pg_temp.settle(one, row.generation, row.status_on_toolbox::text, case row.status_on_toolbox when 'running' then 'stopped' else 'running' end));
    perform extensions.dblink_send_query('d', pg_temp.deploy(1 + (round + 3) % 8, jsonb_build_object('expected_status', other.status_on_toolbox)));
    perform extensions.dblink_send_query('e', 'select ''swept'' from private.mark_silent_toolboxes(''-infinity'')');
    perform extensions.dblink_send_query('g', pg_temp.all_as_desired());
    perform extensions.dblink_send_query('f', pg_temp.heartbeat(2 * round + 1, reports));
    insert into crowd select s, coalesce(pg_temp.answer(s), 'none') from unnest(array['a', 'b', 'c', 'd', 'e', 'f']) s;
    insert into crowd select 'g', unnest(string_to_array(pg_temp.answer('g'), ' '));
    -- Whatever came of it: the agent has what is desired.
    perform pg_temp.in_session('a', pg_temp.all_as_desired());
    perform pg_temp.in_session('a', 'update public.account_tool_environments set dtma_boot = 1, dtma_sequence = 1, last_heartbeat_at = now() - interval ''1 hour'' where id = ''e2000000-0000-4000-8000-000000000001'' returning ''again''');
  end loop;
exception when others then
  insert into crowd values ('error', sqlstate || ' ' || sqlerrm);
end $$;
select is_empty($$ select * from crowd where session = 'error' $$, 'nothing deadlocks and nothing is illegal');
select set_has(
  $$ values ('a', 'recorded'), ('a', 'replayed'), ('f', 'recorded'), ('b', 'started'), ('b', 'in_progress'), ('b', 'status_changed'), ('c', 'recorded'), ('c', 'stale'),
     ('d', 'started'), ('d', 'in_progress'), ('d', 'status_changed'), ('e', 'swept'), ('g', 'recorded'), ('g', 'stale') $$,
  'select * from crowd', 'and every outcome is one of those that callers know');
select cmp_ok(count(*), '>=', 10::bigint, format('%s of %s come about', outcome, session)) from crowd
where (session, outcome) in (('a', 'recorded'), ('b', 'started'), ('d', 'started')) group by session, outcome;
select is_empty(
  $$ select i.status_on_toolbox, i.desired_status from account_tool_instances i where i.account_tool_environment_id = 'e2000000-0000-4000-8000-000000000001'
     and i.status_on_toolbox::text <> i.desired_status $$, 'in the end every instance is as desired');
select is((select count(*) from tool_instance_operations where account_tool_environment_id = 'e2000000-0000-4000-8000-000000000001' and state = 'in_progress'), 0::bigint, 'every operation has ended');
select is_empty(
  $$ select from (select from_status, lag(to_status) over (partition by tool_instance_id order by id) as before, row_number() over (partition by tool_instance_id order by id) as n
     from tool_instance_events where account_tool_environment_id = 'e2000000-0000-4000-8000-000000000001') e where n > 1 and from_status is distinct from before $$, 'the history has no gap');

-- A heartbeat gives up in time, and may come again.
select dblink_exec('a', 'begin') \g /dev/null
select pg_temp.in_session('a', format('select id::text from public.account_tool_instances where id = %L for update', pg_temp.id(1))) \g /dev/null
select throws_ok(format('select pg_temp.in_session(''b'', %L)', pg_temp.heartbeat(5, jsonb_build_array(pg_temp.report(1, 1000, 'error')))), '55P03', null, 'a lock is waited for 5 seconds, not for ever');
select throws_ok(format('select pg_temp.in_session(''b'', %L)', pg_temp.settle(1, 1000, 'running', 'error')), '55P03', null, 'by a record too');
select dblink_exec('a', 'rollback') \g /dev/null
select is(pg_temp.in_session('b', pg_temp.heartbeat(5)), 'recorded', 'what was not recorded is no replay');

select dblink_exec('a', 'delete from auth.users where email = ''heartbeat-race@pgtap.test''') \g /dev/null
select count(dblink_disconnect(s)) from unnest(array['a', 'b', 'c', 'd', 'e', 'f', 'g']) s \g /dev/null
select * from finish();
rollback;
