-- Health of MCP servers as agents last saw it, and servers that change their tools.

create function private.text_of_tools_changed(changed jsonb) returns text
language sql immutable
set search_path = ''
as $$
  -- Names come from a server nobody vouches for: few, short, and without line breaks.
  select coalesce(string_agg(part, '; ' order by place), 'The server lists other tools than before')
  from (
    select place, format('%s: %s', label, string_agg(
      case when n <= 50 then left(regexp_replace(name, '[[:cntrl:]]', ' ', 'g'), 60) else '…' end, ', ' order by n
    ))
    from (values (1, 'added', 'Added'), (2, 'removed', 'Removed'), (3, 'changed', 'Changed')) as kinds (place, key, label),
      jsonb_array_elements_text(case when jsonb_typeof(changed -> key) = 'array' then changed -> key else '[]' end)
        with ordinality as names (name, n)
    where n <= 51
    group by place, label
  ) as parts (place, part);
$$;
comment on function private.text_of_tools_changed is 'ToolsChanged of the DTMA API in words, of bounded length.';

create function private.kept_mcp_health(mcp jsonb) returns jsonb
language sql immutable
set search_path = ''
as $$
  -- What is too large to keep is left out, rather than kept from before: that may be true no longer.
  select case
    when jsonb_typeof(mcp) <> 'object' then null
    when octet_length(mcp::text) <= 32768 then mcp
    when octet_length((mcp - 'tools_changed')::text) <= 32768 then mcp - 'tools_changed'
  end;
$$;
comment on function private.kept_mcp_health is 'McpHealth of the DTMA API as a row keeps it.';

create function private.record_tools_changed(instance_id uuid, generation bigint, mcp jsonb, request_id text) returns void
language plpgsql
set search_path = ''
as $$
declare
  instance public.account_tool_instances;
begin
  select * into instance from public.account_tool_instances i where i.id = instance_id;
  if not found or generation < instance.generation then
    return;
  end if;
  if not mcp ->> 'tools_fingerprint' ~ '^[0-9a-f]{64}$' then
    return;
  end if;
  -- Told once: the fingerprint is kept. Without an earlier one, only the agent can know that it is another.
  if (case
    when instance.mcp_tools_fingerprint is null then jsonb_typeof(mcp -> 'tools_changed') = 'object'
    else instance.mcp_tools_fingerprint <> mcp ->> 'tools_fingerprint'
  end) then
    -- A server that changes its tools all the time: the fingerprint told last stays, and a later report says that there were
    -- several changes, and tells the last.
    if (
      select count(*) from public.tool_instance_events e
      where e.tool_instance_id = instance_id and e.action = 'tools_changed' and e.occurred_at > clock_timestamp() - interval '1 minute'
    ) >= 5 or not private.take_event_token(instance.account_tool_environment_id, 'tools_changed') then
      return;
    end if;
    insert into public.tool_instance_events (
      tool_instance_id, account_tool_environment_id, actor_kind, actor_id, action, from_status, to_status,
      reason_code, reason, request_id, generation
    ) values (
      instance.id, instance.account_tool_environment_id, 'agent', instance.account_tool_environment_id, 'tools_changed',
      instance.status_on_toolbox, instance.status_on_toolbox, 'tools_changed',
      -- The agent tells the last change only, which may not be one of the list that was told last.
      case when instance.mcp_tools_fingerprint <> mcp #>> '{tools_changed,from_fingerprint}' then 'Several changes; the last: ' else '' end
        || private.text_of_tools_changed(mcp -> 'tools_changed'),
      record_tools_changed.request_id, instance.generation
    );
  end if;
  update public.account_tool_instances i
  set mcp_tools_fingerprint = mcp ->> 'tools_fingerprint'
  where i.id = instance_id;
end;
$$;
comment on function private.record_tools_changed is
  'Stores which tools an MCP server lists; another list than before is an event, a few times a minute. The caller holds the lock of the row.';

revoke all on function
  private.text_of_tools_changed, private.kept_mcp_health, private.record_tools_changed
  from public, anon, authenticated, service_role;
