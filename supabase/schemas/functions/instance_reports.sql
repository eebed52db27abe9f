-- What a heartbeat tells of instances, compared with their rows. Nothing is decided here: rows that may have to be changed are
-- answered, and record_tool_instance_states writes what is decided of them. Written here is only what needs no decision: the
-- health of MCP servers, and which view was seen last. The caller holds the lock of the toolbox and has checked its key; every
-- row is looked up within that toolbox.

create type private.instance_report as (
  id uuid, generation bigint, phase text, settled boolean, reason jsonb, container_id text, image_digest text, ports jsonb,
  rolled_back boolean, mcp jsonb, view_version jsonb
);
comment on type private.instance_report is 'InstanceReport of the heartbeat; phase is null when nothing of the instance is left.';

-- A view that brings no news is the last that was applied too: what comes late and is earlier takes nothing back.
create function private.compare_instance_reports(toolbox_id uuid, heartbeat jsonb, request_id text) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  named uuid[];
  unknown uuid[];
  news jsonb;
  missing jsonb;
  other_tools jsonb[];
  confirms boolean;
begin
  if jsonb_array_length(heartbeat -> 'instances') > 200 then
    raise exception 'instances in p.heartbeat may hold 200 at most' using errcode = 'invalid_parameter_value';
  end if;
  with reports as materialized (
    select distinct on (r.id) r.id, r.generation, r.phase, r.settled, r.reason, r.container_id, r.image_digest, r.ports, r.rolled_back,
      r.view_version, r.mcp, private.kept_mcp_health(r.mcp) as health
    from jsonb_array_elements(heartbeat -> 'instances') with ordinality as e (report, n),
      jsonb_populate_record(null::private.instance_report, e.report) r
    order by r.id, e.n desc
  ), seen as materialized (
    select r.id, r.generation, r.view_version, r.mcp, r.health, i.id as known, i.mcp_health is distinct from r.health as is_health_new,
      r.mcp ->> 'tools_fingerprint' is distinct from i.mcp_tools_fingerprint and r.mcp ->> 'tools_fingerprint' is not null as has_other_tools,
      i.view_run as seen_run, i.view_number as seen_number,
      jsonb_typeof(r.view_version) = 'object' and not private.is_overtaken(i, r.view_version)
        and (i.view_run, i.view_number) is distinct from ((r.view_version ->> 'run')::uuid, private.view_number(r.view_version)) as is_view_new,
      -- Neither an older generation counts, nor one that is too high to be real.
      r.generation >= i.generation and private.generation_in_reach(r.generation, i.generation) as counts,
      -- This may select too much: the domain decides.
      case when r.generation >= i.generation and private.generation_in_reach(r.generation, i.generation) and (
        r.generation > i.generation
        or case
          when r.phase = 'error' or r.rolled_back and r.settled then 'error'
          when r.phase in ('pending', 'pulling', 'building', 'creating') then 'deploying'
          else r.phase
        end is distinct from i.status_on_toolbox::text
        or r.settled and (i.container_id, i.image_digest, i.port_mapping_json) is distinct from (r.container_id, r.image_digest, r.ports)
        or (r.phase = 'error' or r.rolled_back) and (i.instance_error_code, i.instance_error_message)
          is distinct from (r.reason ->> 'code', r.reason ->> 'message')
        or exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.state = 'in_progress'
        )
        -- An error that stays says nothing new of an update that may still be rolled back.
        or (r.rolled_back or r.phase is distinct from 'error') and exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.previous_spec is not null
        )
      ) then to_jsonb(i) - 'spec' end as news
    from reports r
    left join public.account_tool_instances i on i.id = r.id and i.account_tool_environment_id = toolbox_id
  ), locked as materialized (
    -- In the order in which record_tool_instance_states takes its locks. An answer may have been recorded since the row was
    -- seen, and is later then.
    select i.id, s.health, s.view_version,
      s.is_view_new and s.news is null and (i.view_run, i.view_number) is not distinct from (s.seen_run, s.seen_number) as is_last_view
    from seen s join public.account_tool_instances i on i.id = s.known
    where s.counts and (s.is_health_new or s.has_other_tools or s.is_view_new and s.news is null) and s.generation >= i.generation
    order by i.id for no key update of i
  ), refreshed as (
    update public.account_tool_instances i
    set mcp_health = l.health, last_observed_at = clock_timestamp(),
      view_run = case when l.is_last_view then (l.view_version ->> 'run')::uuid else i.view_run end,
      view_number = case when l.is_last_view then private.view_number(l.view_version) else i.view_number end,
      view_applied_at = case when l.is_last_view then clock_timestamp() else i.view_applied_at end
    from locked l
    where i.id = l.id
  )
  select array_agg(s.id), array_agg(s.id) filter (where s.known is null), jsonb_agg(s.news order by s.id) filter (where s.news is not null),
    array_agg(jsonb_build_object('id', s.id, 'generation', s.generation, 'mcp', s.mcp) order by s.id) filter (where s.counts and s.has_other_tools),
    coalesce(bool_and(s.counts and s.news is null) filter (where s.known is not null), true)
  into named, unknown, news, other_tools, confirms
  from seen s;

  perform private.record_tools_changed((t ->> 'id')::uuid, (t ->> 'generation')::bigint, t -> 'mcp', request_id)
  from unnest(other_tools) t;
  -- What a full heartbeat does not name is not on the machine: unless Docker could not be asked, or it is too new to have
  -- arrived.
  if (heartbeat ->> 'full')::boolean and (heartbeat ->> 'docker_reachable')::boolean then
    select jsonb_agg(to_jsonb(i) - 'spec' order by i.id) filter (where i.updated_at < clock_timestamp() - interval '30 seconds'),
      confirms and count(*) = 0
    into missing, confirms
    from (
      select i.* from public.account_tool_instances i
      where i.account_tool_environment_id = toolbox_id and i.id <> all (coalesce(named, '{}'))
        and i.desired_status <> 'absent' and i.status_on_toolbox not in ('pending_delete', 'deleting', 'error')
        and not (i.status_on_toolbox = 'stopped' and i.desired_status = 'stopped')
      order by i.id limit 200
    ) i;
  else
    confirms := false;
  end if;
  return jsonb_build_object('unknown', coalesce(unknown, '{}'), 'news', coalesce(news, '[]'), 'missing', coalesce(missing, '[]'),
    'confirms', confirms);
end;
$$;
comment on function private.compare_instance_reports is
  'Stores the health that a heartbeat tells, and answers {unknown}, instances that are not of the toolbox; {news}, the rows that its reports may change; {missing}, those that it should name and does not; and {confirms}, whether all rows are as the agent tells: it names what should be on the machine, each at the generation of its row, and has no news.';

revoke all on function private.compare_instance_reports from public, anon, authenticated, service_role;
