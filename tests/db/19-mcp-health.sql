-- The health of MCP servers, and servers that change their tools.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.health(fingerprint text, p jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('mcp', jsonb_build_object(
    'state', 'healthy', 'evidence', 'tools/list answered in 12 ms', 'since', '2026-01-01T00:00:00Z', 'checked_at', '2026-01-01T00:00:00Z', 'latency_ms', 12,
    'protocol_version', '2025-11-25', 'server_name', 'context7', 'server_version', '1.0', 'tool_count', 2, 'tools_fingerprint', repeat(fingerprint, 32)) || p)
$$;
create function tests.changes() returns setof text language sql stable as $$
  select reason from tool_instance_events where action = 'tools_changed' order by id
$$;

select tests.tell(tests.health('aa')) \g /dev/null
select is((tests.instance()).mcp_health, tests.health('aa') -> 'mcp', 'health is kept as it was told');
select is_empty('select tests.changes()', 'the first list of tools is no change');
select tests.tell(tests.health('aa', '{"checked_at": "2026-01-01T00:01:00Z"}')) \g /dev/null
select is((tests.instance()).mcp_health ->> 'checked_at', '2026-01-01T00:01:00Z', 'its age too');
select is_empty('select tests.new_events()', 'which is no event');
select tests.tell(tests.health('aa', '{"state": "unhealthy", "evidence": "tools/list was not answered within 5 s", "tools_fingerprint": null}')) \g /dev/null
select is((tests.instance()).mcp_health ->> 'evidence', 'tools/list was not answered within 5 s', 'and its evidence');
select is((tests.instance()).mcp_tools_fingerprint, repeat('aa', 32), 'the fingerprint of the last list is kept');

-- Another list
select tests.tell(tests.health('bb', ('{"tools_changed": {"from_fingerprint": "' || repeat('aa', 32) || '", "added": ["send_mail", "x"], "removed": [], "changed": ["search"]}}')::jsonb)) \g /dev/null
select results_eq('select tests.changes()', array['Added: send_mail, x; Changed: search'], 'another list of tools is an event, with the difference');
select results_eq('select tests.new_events()', array['agent tools_changed running->running'], 'of the agent');
select tests.tell(tests.health('bb', ('{"tools_changed": {"from_fingerprint": "' || repeat('aa', 32) || '", "added": ["send_mail", "x"], "removed": [], "changed": ["search"]}}')::jsonb)) \g /dev/null
select is(count(*), 1::bigint, 'told once') from tests.changes();
select tests.tell('{"phase": "stopped"}') \g /dev/null
select is((tests.instance()).mcp_health, null, 'what does not run has no health');
select tests.tell(tests.health('bb', ('{"tools_changed": {"from_fingerprint": "' || repeat('aa', 32) || '", "added": ["send_mail", "x"], "removed": [], "changed": ["search"]}}')::jsonb)) \g /dev/null
select is(count(*), 1::bigint, 'nor is it told again after a stop') from tests.changes();
select tests.tell('{"phase": "stopped"}') \g /dev/null
select tests.tell(tests.health('cc')) \g /dev/null
select results_eq('select tests.changes() offset 1', array['The server lists other tools than before'], 'a change is seen also when the agent forgot what was before');

select tests.tell(tests.health('cd', '{"tools_changed": {"from_fingerprint": "not one", "added": ["x"], "removed": [], "changed": []}}')) \g /dev/null
select results_eq('select tests.changes() offset 2', array['Several changes; the last: Added: x'], 'a change of another list than was told last says that it was not the only one');
select tests.tell(tests.health('cc')) \g /dev/null

-- A server nobody vouches for
select tests.tell(tests.health('dd', jsonb_build_object('tools_changed', jsonb_build_object('from_fingerprint', repeat('cc', 32),
  'added', (select jsonb_agg(repeat('n', 500) || n) from generate_series(1, 100) n), 'removed', jsonb_build_array(E'a\nb\tc')))) ) \g /dev/null
select reason as last_change from tests.changes() reason offset 4 \gset
select cmp_ok(length(:'last_change'::text), '<', 4000, 'many long names make no long event');
select matches(:'last_change'::text, 'n, …; Removed: a b c$', 'the rest is left out, line breaks too');
select is((tests.instance()).mcp_health -> 'tools_changed', null, 'nor a large row');
select is((tests.instance()).mcp_health ->> 'state', 'healthy', 'while the rest of it is kept');
select is(tests.tell(tests.health('dd', jsonb_build_object('evidence', repeat('x', 40000)))) ->> 'outcome', 'recorded', 'too much evidence stops nothing');
select is((tests.instance()).mcp_health, null, 'and is not kept');
select is(tests.tell(tests.health('dd', '{"tools_fingerprint": "not one"}')) ->> 'outcome', 'recorded', 'nor does nonsense');
select is(tests.tell('{"mcp": "healthy"}') ->> 'outcome', 'recorded', 'of any kind');
select is((tests.instance()).mcp_health, null, 'is kept');
select is((tests.instance()).mcp_tools_fingerprint, repeat('dd', 32), 'and the tools are those seen last');

-- A report from before the last command tells nothing of health either.
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
select tests.tell(tests.health('dd')) \g /dev/null
select is((tests.instance()).mcp_health, null, 'old health is no health');

select * from finish();
rollback;
