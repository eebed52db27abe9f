-- A machine that reports without end fills neither the history nor the rows, and what is left out is counted.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

-- The tools of a server that says five times a second that they are others.
create function tests.list(n integer) returns jsonb language sql as $$
  select tests.tell(jsonb_build_object('mcp', jsonb_build_object('state', 'healthy', 'evidence', 'x', 'since', 'x', 'checked_at', 'x',
    'tools_fingerprint', encode(sha256(n::text::bytea), 'hex'), 'tools_changed', jsonb_build_object('from_fingerprint', encode(sha256((n - 1)::text::bytea), 'hex'),
    'added', jsonb_build_array('tool ' || n), 'removed', '[]'::jsonb, 'changed', '[]'::jsonb))))
$$;
create function tests.last_told() returns text language sql stable as $$
  select reason from tool_instance_events where action = 'tools_changed' order by id desc limit 1
$$;
create function tests.told() returns bigint language sql stable as $$
  select count(*) from tool_instance_events where action = 'tools_changed'
$$;
select count(tests.list(n)) from generate_series(1, 100) n \g /dev/null
select is(tests.told(), 5::bigint, 'a hundred changes within a minute are five events');
select is(tests.last_told(), 'Added: tool 5', 'each with its own difference');
select is((tests.instance()).mcp_health ->> 'tools_fingerprint', encode(sha256('100'), 'hex'), 'the row shows the latest list');
create function tests.a_minute_passes() returns void language plpgsql as $$
begin
  set local session_replication_role = replica;
  update tool_instance_events set occurred_at = occurred_at - interval '61 seconds';
  set local session_replication_role = origin;
end $$;
select tests.a_minute_passes();
select tests.list(100) \g /dev/null
select is(tests.told(), 6::bigint, 'a minute later, what has become of them is one more');
select is(tests.last_told(), 'Several changes; the last: Added: tool 100', 'which does not claim that it is all');
select tests.list(100) \g /dev/null
select is(tests.told(), 6::bigint, 'told once');

-- The agent's decisions as crates/toolbox-instances writes them: an error whose reason changes every time.
create function tests.alternate(n integer, actor text default 'agent') returns void language plpgsql as $$
begin
  for i in 1..n loop
    perform record_tool_instance_states(jsonb_build_object('request_id', 'req', 'items', jsonb_build_array(jsonb_build_object(
      'instance_id', 'c0000000-0000-4000-8000-000000000001', 'generation', 1, 'expected_generation', 1,
      'expected_status', (tests.instance()).status_on_toolbox, 'actor_kind', actor, 'settled', true,
      'steps', jsonb_build_array(jsonb_build_object('status', 'error', 'reason_code', 'exited',
        'reason', format('%s %s', nextval('tests.sequence'), repeat('x', 3990))))
    ))));
  end loop;
end $$;
create function tests.kept(action text) returns bigint language sql stable as $$
  select count(*) from tool_instance_events e
  where e.action = kept.action and e.account_tool_environment_id = 'e0000000-0000-4000-8000-000000000001'
$$;
create function tests.bucket(kind text) returns private.event_buckets language sql stable as $$
  select * from private.event_buckets b where b.kind = bucket.kind and b.account_tool_environment_id = 'e0000000-0000-4000-8000-000000000001'
$$;

select tests.kept('observe') as before, clock_timestamp() as begun \gset
select tests.alternate(1000);
-- However long that took, time gave it two events a minute.
create function tests.minutes_give(since timestamptz) returns bigint language sql stable as $$
  select ceil(extract(epoch from clock_timestamp() - since) / 30)::bigint
$$;
select cmp_ok(tests.kept('observe') - :before, '<=', 601 + tests.minutes_give(:'begun'), 'a machine that alternates reasons fills its bucket, and no more');
select cmp_ok(tests.kept('observe') - :before, '>=', 600::bigint, 'which is large enough for a full toolbox');
select is((tests.bucket('observe')).dropped, 1000 - (tests.kept('observe') - :before) + 1, 'what is left out is counted');
select is(count(*), 1::bigint, 'and told once') from tool_instance_events where reason_code = 'events_limited';
select matches((tests.instance()).instance_error_message, ' xxx', 'the row shows the latest reason');
select cmp_ok(length((tests.instance()).instance_error_message), '>', 3990, 'in full');
select cmp_ok(max(length(reason)), '<=', 1000, 'the history keeps less of a long one') from tool_instance_events;

-- Time fills it again, slowly.
update private.event_buckets set filled_at = filled_at - interval '5 minutes', last_dropped_at = last_dropped_at - interval '11 minutes';
select tests.kept('observe') as before, clock_timestamp() as begun \gset
select tests.alternate(100);
select ok(tests.kept('observe') - :before between 11 and 11 + tests.minutes_give(:'begun'), 'five minutes give ten events, and one tells of the rest');
select is(count(*), 2::bigint, 'again') from tool_instance_events where reason_code = 'events_limited';

-- Neither users nor the control plane are held up by what a machine says.
select count(*) as before from tool_instance_events where actor_kind = 'user' \gset
select tests.begin('{"action": "start", "expected_status": "error"}') ->> 'outcome' as outcome \gset
select is(:'outcome'::text, 'started', 'a user goes on');
select cmp_ok(count(*), '>', :before::bigint, 'and is in the history') from tool_instance_events where actor_kind = 'user';
select is(count(*), 0::bigint, 'another toolbox has its own bucket') from private.event_buckets
where account_tool_environment_id <> 'e0000000-0000-4000-8000-000000000001';

select * from finish();
rollback;
