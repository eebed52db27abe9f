-- How MCP servers are used, as agents count it: by instance, tool, client and day. Never what was asked or answered.
create table public.mcp_use (
  account_tool_instance_id uuid not null references public.account_tool_instances (id) on delete cascade,
  day date not null,
  tool text not null check (char_length(tool) between 1 and 128),
  client text not null check (char_length(client) between 1 and 128),
  run bigint not null,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  calls bigint not null check (calls >= 0),
  errors bigint not null check (errors >= 0),
  bytes bigint not null check (bytes >= 0),
  latency bigint[] not null check (cardinality(latency) <= 32 and array_position(latency, null) is null and 0 <= all (latency)),
  primary key (account_tool_instance_id, day, tool, client, run)
);
create index mcp_use_account_tool_environment_id_day_idx on public.mcp_use (account_tool_environment_id, day);
create index mcp_use_day_idx on public.mcp_use (day);

alter table public.mcp_use enable row level security;
create policy "owners read the use of their servers" on public.mcp_use
  for select to authenticated using (exists (
    select from public.account_tool_environments e
    where e.id = account_tool_environment_id and e.user_id = (select auth.uid())
  ));
-- Only heartbeats write.
revoke all on public.mcp_use from public, anon, authenticated, service_role;
grant select on public.mcp_use to authenticated;

comment on table public.mcp_use is 'How MCP servers are used: calls of one tool by one client on one day, as one start of the agent counted them. Their sums are the use.';
comment on column public.mcp_use.account_tool_instance_id is 'The instance.';
comment on column public.mcp_use.day is 'The day, in UTC.';
comment on column public.mcp_use.tool is 'The tool; (other) for those that the server does not list.';
comment on column public.mcp_use.client is 'What the client calls itself, without its version.';
comment on column public.mcp_use.run is 'The start of the agent that counted, in milliseconds since 1970.';
comment on column public.mcp_use.account_tool_environment_id is 'The toolbox.';
comment on column public.mcp_use.calls is 'Calls.';
comment on column public.mcp_use.errors is 'Those of them that failed.';
comment on column public.mcp_use.bytes is 'Bytes of requests and answers.';
comment on column public.mcp_use.latency is 'Calls by the time they took; the bounds are LATENCY_MS of crates/toolbox-api.';

create function private.record_mcp_use(toolbox_id uuid, report jsonb) returns void
language plpgsql
set search_path = ''
as $$
declare
  -- What an agent may add for the days that are taken.
  most constant integer := 30000;
  is_full boolean;
begin
  if jsonb_typeof(report -> 'counts') is distinct from 'array' then
    return;
  end if;
  is_full := most <= (
    select count(*) from public.mcp_use u where u.account_tool_environment_id = toolbox_id and u.day >= current_date - 7
  );
  -- Counts of one start only grow, so what is told twice is written twice and counts once.
  insert into public.mcp_use as u (
    account_tool_instance_id, day, tool, client, run, account_tool_environment_id, calls, errors, bytes, latency
  )
  select distinct on (i.id, c.day, c.tool, c.client)
    i.id, c.day, c.tool, c.client, (report ->> 'run')::bigint, toolbox_id, c.calls, c.errors, c.bytes, c.latency
  from (select count from jsonb_array_elements(report -> 'counts') as count limit 200) as told,
    jsonb_to_record(told.count) as c (
      day date, instance_id uuid, tool text, client text, calls bigint, errors bigint, bytes bigint, latency bigint[]
    ),
    public.account_tool_instances i
  where i.id = c.instance_id and i.account_tool_environment_id = toolbox_id
    and c.day between current_date - 7 and current_date + 1
    -- One count that the table would refuse loses no other, and not the heartbeat.
    and char_length(c.tool) between 1 and 128 and char_length(c.client) between 1 and 128
    and least(c.calls, c.errors, c.bytes) >= 0 and cardinality(c.latency) <= 32
    and array_position(c.latency, null) is null and 0 <= all (c.latency)
    and (not is_full or exists (
      select from public.mcp_use there
      where there.account_tool_instance_id = i.id and there.day = c.day and there.tool = c.tool and there.client = c.client
        and there.run = (report ->> 'run')::bigint
    ))
  order by i.id, c.day, c.tool, c.client, c.calls desc
  on conflict (account_tool_instance_id, day, tool, client, run) do update
  set calls = excluded.calls, errors = excluded.errors, bytes = excluded.bytes, latency = excluded.latency
  where excluded.calls > u.calls;
end;
$$;
comment on function private.record_mcp_use is
  'Stores what an agent has counted of the use of MCP servers of its toolbox; the same twice is once. Of instances of others, and of days long ago or to come, nothing is stored.';

create function public.get_mcp_use(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  instance public.account_tool_instances;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'instance_id');
  select i.* into instance from public.account_tool_instances i
  join public.account_tool_environments e on e.id = i.account_tool_environment_id
  where i.id = (p ->> 'instance_id')::uuid and e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'owner_id')::uuid;
  if instance.id is null then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'found', 'usage', coalesce((
    with mine as (
      select * from public.mcp_use u
      where u.account_tool_instance_id = instance.id and u.day > current_date - coalesce((p ->> 'days')::integer, 30)
    ), sums as (
      select m.day, m.tool, m.client, sum(m.calls) as calls, sum(m.errors) as errors, sum(m.bytes) as bytes
      from mine m group by m.day, m.tool, m.client
      order by m.day desc, m.tool, m.client limit 1000
    ), buckets as (
      select m.day, m.tool, m.client, b.place, sum(b.calls) as calls
      from mine m, unnest(m.latency) with ordinality as b (calls, place)
      group by m.day, m.tool, m.client, b.place
    ), grown as (
      select b.day, b.tool, b.client, b.place, sum(b.calls) over (partition by b.day, b.tool, b.client order by b.place) as until,
        sum(b.calls) over (partition by b.day, b.tool, b.client) as in_all
      from buckets b
    ), quantiles as (
      select g.day, g.tool, g.client, min(g.place) filter (where g.until >= g.in_all * 0.5) as p50,
        min(g.place) filter (where g.until >= g.in_all * 0.95) as p95
      from grown g group by g.day, g.tool, g.client
    )
    select jsonb_agg(jsonb_build_object(
      'day', s.day, 'tool', s.tool, 'client', s.client, 'calls', s.calls, 'errors', s.errors, 'bytes', s.bytes,
      'p50', q.p50 - 1, 'p95', q.p95 - 1
    ) order by s.day desc, s.tool, s.client)
    from sums s join quantiles q using (day, tool, client)
  ), '[]'));
end;
$$;
comment on function public.get_mcp_use is
  'How the server of an instance of the owner''s toolbox was used in the last days (30), by day, tool and client: calls, errors, bytes, and the places among the bounds of time that half of the calls and 95 of 100 kept to. Answers {outcome}: found with usage, 1000 at most, newest first; not_found.';

revoke all on function private.record_mcp_use, public.get_mcp_use from public, anon, authenticated, service_role;
grant execute on function public.get_mcp_use to service_role;
