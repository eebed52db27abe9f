-- What a heartbeat tells of all instances. The caller holds the lock of the toolbox and has checked its key; every row is
-- looked up within that toolbox.

-- A view that brings no news is the last that was applied too: what comes late and is earlier takes nothing back.
create function private.apply_instance_reports(toolbox_id uuid, heartbeat jsonb, request_id text) returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  named uuid[];
  unknown uuid[];
  news private.instance_report[];
  report private.instance_report;
begin
  if jsonb_array_length(heartbeat -> 'instances') > 200 then
    raise exception 'instances in p.heartbeat may hold 200 at most' using errcode = 'invalid_parameter_value';
  end if;
  -- Most rows have no news: they are found without a lock, and only their health, its age and the version of the view are written.
  with reports as materialized (
    select distinct on (r.id) r::private.instance_report as report, r.id, r.generation, r.phase, r.settled, r.reason, r.container_id, r.image_digest,
      r.ports, r.rolled_back, r.view_version, private.kept_mcp_health(r.mcp) as mcp
    from jsonb_array_elements(heartbeat -> 'instances') with ordinality as e (report, n),
      jsonb_populate_record(null::private.instance_report, e.report) r
    order by r.id, e.n desc
  ), seen as materialized (
    select r.*, i.id as known, i.mcp_health is distinct from r.mcp as is_health_new,
      i.view_run as seen_run, i.view_number as seen_number,
      jsonb_typeof(r.view_version) = 'object' and not private.is_overtaken(i, r.view_version)
        and (i.view_run, i.view_number) is distinct from ((r.view_version ->> 'run')::uuid, private.view_number(r.view_version)) as is_view_new,
      r.generation >= i.generation and (
        r.generation > i.generation
        or private.observed_of_phase(case when r.rolled_back and r.settled then 'error' else r.phase end) is distinct from case i.status_on_toolbox
          when 'deploying' then 'preparing' when 'error' then 'failed' else i.status_on_toolbox::text end
        or r.settled and (i.container_id, i.image_digest, i.port_mapping_json) is distinct from (r.container_id, r.image_digest, r.ports)
        or r.mcp ->> 'tools_fingerprint' is distinct from i.mcp_tools_fingerprint and r.mcp ->> 'tools_fingerprint' is not null
        or (r.phase = 'error' or r.rolled_back) and (i.instance_error_code, i.instance_error_message)
          is distinct from (r.reason ->> 'code', r.reason ->> 'message')
        or exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.state = 'in_progress'
        )
        -- An error that stays says nothing new of an update that may still be rolled back.
        or (r.rolled_back or r.phase is distinct from 'error') and exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.previous_spec is not null
        )
      ) as is_news
    from reports r
    left join public.account_tool_instances i on i.id = r.id and i.account_tool_environment_id = toolbox_id
  ), refreshed as (
    update public.account_tool_instances i
    -- An answer may have been recorded since the row was seen, and is later news then.
    set mcp_health = s.mcp, last_observed_at = clock_timestamp(),
      view_run = case when s.is_view_new and (i.view_run, i.view_number) is not distinct from (s.seen_run, s.seen_number) then (s.view_version ->> 'run')::uuid else i.view_run end,
      view_number = case when s.is_view_new and (i.view_run, i.view_number) is not distinct from (s.seen_run, s.seen_number) then private.view_number(s.view_version) else i.view_number end,
      view_applied_at = case when s.is_view_new and (i.view_run, i.view_number) is not distinct from (s.seen_run, s.seen_number) then clock_timestamp() else i.view_applied_at end
    from seen s
    where i.id = s.known and not s.is_news and (s.is_health_new or s.is_view_new) and s.generation >= i.generation
  )
  select array_agg(s.id), array_agg(s.id) filter (where s.known is null), array_agg(s.report order by s.id) filter (where s.is_news)
  into named, unknown, news
  from seen s;

  foreach report in array coalesce(news, '{}') loop
    perform private.apply_instance_report(toolbox_id, report, request_id);
  end loop;
  -- What a full heartbeat does not name is not on the machine: unless Docker could not be asked, or it is too new to
  -- have arrived. That never ends a deletion: a deploy still on its way would make a container without a row. An agent
  -- that has nothing of it and will refuse such a deploy says so by name.
  if (heartbeat ->> 'full')::boolean and (heartbeat ->> 'docker_reachable')::boolean then
    for report in
      select r.*
      from public.account_tool_instances i,
        jsonb_populate_record(null::private.instance_report, jsonb_build_object('id', i.id, 'generation', i.generation)) r
      where i.account_tool_environment_id = toolbox_id and i.id <> all (coalesce(named, '{}'))
        and i.updated_at < clock_timestamp() - interval '30 seconds'
        and i.desired_status <> 'absent' and i.status_on_toolbox not in ('pending_delete', 'deleting', 'error')
        and not (i.status_on_toolbox = 'stopped' and i.desired_status = 'stopped')
      order by i.id
    loop
      perform private.apply_instance_report(toolbox_id, report, request_id);
    end loop;
  end if;
  return coalesce(unknown, '{}');
end;
$$;
comment on function private.apply_instance_reports is
  'Writes what a heartbeat tells of instances; returns those that are not of the toolbox.';

revoke all on function private.apply_instance_reports from public, anon, authenticated, service_role;
