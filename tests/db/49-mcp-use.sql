-- How MCP servers are used: what an agent counts is stored once, read by the owner alone, and summed.
begin;
\ir setup.psql
select no_plan();
delete from mcp_use;

create function tests.count(p jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('day', current_date, 'instance_id', 'c0000000-0000-4000-8000-000000000001', 'tool', 'a', 'client', 'c',
    'calls', 2, 'errors', 1, 'bytes', 10, 'latency', '[1, 0, 1]'::jsonb) || p
$$;
create function tests.tell(run bigint, variadic counts jsonb[]) returns void language sql as $$
  select private.record_mcp_use('e0000000-0000-4000-8000-000000000001', jsonb_build_object('run', run, 'counts', to_jsonb(counts)))
$$;
create function tests.used() returns text language sql as $$
  select coalesce(string_agg(format('%s %s: %s of %s, %s bytes, %s %s', u ->> 'tool', u ->> 'client', u ->> 'errors', u ->> 'calls', u ->> 'bytes',
    u ->> 'p50', u ->> 'p95'), '; '), 'none')
  from jsonb_array_elements(get_mcp_use('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "owner_id": "a0000000-0000-4000-8000-000000000001",
    "instance_id": "c0000000-0000-4000-8000-000000000001"}') -> 'usage') u
$$;
select is(tests.used(), 'none', 'nothing was used');
select tests.tell(1, tests.count()) \g /dev/null
select is(tests.used(), 'a c: 1 of 2, 10 bytes, 0 2', 'what is told is stored, with the places among the bounds');
select tests.tell(1, tests.count()) \g /dev/null
select is(tests.used(), 'a c: 1 of 2, 10 bytes, 0 2', 'what is told again counts once');
select tests.tell(1, tests.count('{"calls": 3, "bytes": 15, "latency": [2, 0, 1]}')) \g /dev/null
select tests.tell(1, tests.count()) \g /dev/null
select is(tests.used(), 'a c: 1 of 3, 15 bytes, 0 2', 'counts grow, and an older one is no news');
select tests.tell(2, tests.count('{"calls": 97, "errors": 0, "latency": [97, 0, 0]}'), tests.count('{"client": "d"}')) \g /dev/null
select is(tests.used(), 'a c: 1 of 100, 25 bytes, 0 0; a d: 1 of 2, 10 bytes, 0 2', 'another start of the agent counts beside it, and so does another client');
select tests.tell(3, tests.count('{"instance_id": "c0000000-0000-4000-8000-00000000ffff"}'), tests.count('{"tool": "early", "day": "2020-01-01"}'),
  tests.count(jsonb_build_object('tool', 'late', 'day', current_date + 2))) \g /dev/null
select is((select count(*) from mcp_use where run = 3), 0::bigint, 'nothing of other instances, long ago, or to come');
select private.record_mcp_use('e0000000-0000-4000-8000-000000000002', jsonb_build_object('run', 4, 'counts', jsonb_build_array(tests.count()))) \g /dev/null
select is((select count(*) from mcp_use where run = 4), 0::bigint, 'nor of another toolbox''s');
select lives_ok(format('select private.record_mcp_use(''e0000000-0000-4000-8000-000000000001'', %L)', v), 'no report: ' || coalesce(v, 'null'))
from unnest(array[null, 'null', '{}', '{"run": 1, "counts": {}}', '{"run": 1, "counts": []}']) v;
select tests.tell(5, variadic array(select tests.count(jsonb_build_object('tool', 't' || n)) from generate_series(1, 300) n)) \g /dev/null
select is((select count(*) from mcp_use where run = 5), 200::bigint, 'a report has a bounded length');

-- A machine that tells of ever more tools does not fill the database.
insert into mcp_use select 'c0000000-0000-4000-8000-000000000001', current_date, 'x' || n, 'c', 6, 'e0000000-0000-4000-8000-000000000001', 1, 0, 1, '{1}'
from generate_series(1, 30000) n;
select tests.tell(7, tests.count()) \g /dev/null
select tests.tell(6, tests.count('{"tool": "x1", "calls": 9}')) \g /dev/null
select is((select count(*) from mcp_use where run = 7), 0::bigint, 'there is no more of it');
select is((select calls from mcp_use where run = 6 and tool = 'x1'), 9::bigint, 'what is there goes on');

-- Who reads
select is(tests.try('owner', 'select from mcp_use'), (select count(*) || ' rows' from mcp_use), 'the owner reads it');
select is(tests.try(a, 'select from mcp_use'), '0 rows', a || ' reads nothing') from unnest('{stranger,nobody}'::text[]) a;
select is(tests.try('anon', 'select from mcp_use'), '42501', 'nor do others');
select is(tests.try('owner', v), '42501', 'users write nothing: ' || v) from unnest(array['update mcp_use set calls = 0', 'delete from mcp_use']) v;
select is(get_mcp_use('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "owner_id": "b0000000-0000-4000-8000-000000000002",
  "instance_id": "c0000000-0000-4000-8000-000000000001"}') ->> 'outcome', 'not_found', 'a stranger is told nothing');

-- It is kept as long as history.
delete from mcp_use;
insert into mcp_use select 'c0000000-0000-4000-8000-000000000001', current_date - n, 'a', 'c', 1, 'e0000000-0000-4000-8000-000000000001', 1, 0, 1, '{1}'
from unnest('{0,89,92}'::integer[]) n;
select private.delete_old_toolbox_events() \g /dev/null
select is((select count(*) from mcp_use), 2::bigint, 'what is older than history goes');
select is(jsonb_array_length(get_mcp_use('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "owner_id": "a0000000-0000-4000-8000-000000000001",
  "instance_id": "c0000000-0000-4000-8000-000000000001", "days": 30}') -> 'usage'), 1, 'and only so many days are answered');

select * from finish();
rollback;
