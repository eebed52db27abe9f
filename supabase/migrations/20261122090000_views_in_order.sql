-- Views of one run of the agent are numbered as they are made. They arrive by heartbeats and with answers, so an earlier
-- one may come after a later one: a heartbeat that was on its way when an operation ended would take its end back.
alter table public.account_tool_instances
  add column view_run uuid,
  add column view_number bigint,
  add column view_applied_at timestamptz,
  add constraint views_have_run_number_and_time check (num_nulls(view_run, view_number, view_applied_at) in (0, 3));
comment on column public.account_tool_instances.view_run is 'The run of the agent that made the latest view that was applied; null where it numbers none.';
comment on column public.account_tool_instances.view_number is 'Its number in that run.';
comment on column public.account_tool_instances.view_applied_at is 'When it was applied.';

alter type private.instance_report add attribute view_version jsonb;

create function private.view_number(view_version jsonb) returns bigint
language sql immutable
set search_path = ''
as $$
  -- Beyond what is exact in JSON only a hostile agent counts: that must not raise, and holds nothing back.
  select case
    when (view_version ->> 'number')::numeric between 0 and 9007199254740991 then trunc((view_version ->> 'number')::numeric)::bigint
    when view_version ->> 'number' is not null then 0
  end;
$$;
comment on function private.view_number is 'The number in a ViewVersion of the DTMA API.';

create function private.is_overtaken(instance public.account_tool_instances, view_version jsonb) returns boolean
language sql stable
set search_path = ''
as $$
  -- No view is on its way for minutes. A machine that was taken back to a snapshot of its memory counts anew in the same run,
  -- and is to be believed again.
  select coalesce(
    instance.view_run = (view_version ->> 'run')::uuid and private.view_number(view_version) < instance.view_number
      and instance.view_applied_at > clock_timestamp() - interval '10 minutes',
    false
  );
$$;
comment on function private.is_overtaken is 'A later view of the same run of the agent was applied. Those of different runs, or without a version, are taken as they come.';

create function private.store_view_version(instance_id uuid, view_version jsonb) returns void
language sql
set search_path = ''
as $$
  update public.account_tool_instances i
  set view_run = (view_version ->> 'run')::uuid, view_number = private.view_number(view_version), view_applied_at = clock_timestamp()
  where i.id = instance_id;
$$;
comment on function private.store_view_version is 'Stores which view was applied last.';

-- As before, and the version of the view.
create or replace function private.apply_observation(instance_id uuid, observed jsonb) returns void
language sql
set search_path = ''
as $$
  -- A key that is absent keeps the column; a clock that runs ahead cannot claim the future.
  update public.account_tool_instances i
  set container_id = case when observed ? 'container_id' then observed ->> 'container_id' else i.container_id end,
    image_digest = case when observed ? 'image_digest' then observed ->> 'image_digest' else i.image_digest end,
    port_mapping_json = case
      when jsonb_typeof(observed -> 'ports') = 'array' then observed -> 'ports' else i.port_mapping_json
    end,
    last_observed_at = least(coalesce((observed ->> 'observed_at')::timestamptz, clock_timestamp()), clock_timestamp()),
    view_run = (observed #>> '{view_version,run}')::uuid,
    view_number = private.view_number(observed -> 'view_version'),
    view_applied_at = case when jsonb_typeof(observed -> 'view_version') = 'object' then clock_timestamp() end
  where i.id = instance_id;
$$;

-- As before, and the version of the view.
create or replace function private.store_report(
  instance_id uuid, report private.instance_report, restored_spec jsonb
) returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.account_tool_instances i
  set container_id = case when report.phase is null then i.container_id else report.container_id end,
    image_digest = case when report.phase is null then i.image_digest else report.image_digest end,
    port_mapping_json = case when jsonb_typeof(report.ports) = 'array' then report.ports else i.port_mapping_json end,
    spec = coalesce(restored_spec, i.spec),
    -- A generation names one desired state for ever, so what is put back is a new one. An agent that is ahead has seen
    -- a database that was restored from a backup since: what is desired now must be newer there too.
    generation = case
      when report.generation > i.generation then report.generation + 1
      when restored_spec is not null then i.generation + 1
      else i.generation
    end,
    last_observed_at = clock_timestamp(),
    view_run = (report.view_version ->> 'run')::uuid,
    view_number = private.view_number(report.view_version),
    view_applied_at = case when jsonb_typeof(report.view_version) = 'object' then clock_timestamp() end
  where i.id = instance_id;
end;
$$;

-- As before. Of an earlier view than the last nothing is recorded but how the operation ended.
create or replace function public.record_tool_instance_state(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  target_id constant uuid := p ->> 'instance_id';
  seen_generation constant bigint := p ->> 'generation';
  steps jsonb := coalesce(nullif(p -> 'steps', 'null'), '[]');
  result constant jsonb := nullif(p -> 'operation_result', 'null');
  rolls_back constant boolean := coalesce((p ->> 'restore_previous_spec')::boolean, false);
  removes constant boolean := coalesce((p ->> 'remove_row')::boolean, false);
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  is_stale boolean;
  is_overtaken boolean;
  restored_spec jsonb;
  restored_desired text;
begin
  perform private.require_keys(p, 'instance_id', 'generation', 'actor_kind');
  if removes or jsonb_array_length(steps) > 0 then
    perform private.require_keys(p, 'expected_status');
  end if;
  if seen_generation < 1 then
    raise exception 'generation in p is out of range' using errcode = 'invalid_parameter_value';
  end if;

  -- Same order of locks as begin_tool_instance_operation: toolbox, then instance.
  perform from public.account_tool_environments e
  where e.id = (select i.account_tool_environment_id from public.account_tool_instances i where i.id = target_id)
  for key share;
  select * into instance from public.account_tool_instances i where i.id = target_id for update;
  operation := private.find_operation_to_record(p, target_id);
  if instance.id is null then
    if operation.id is not null and p ->> 'operation_id' is not null and result is not null then
      perform private.close_operation(operation.id, result);
    end if;
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if not private.generation_in_reach(seen_generation, instance.generation) then
    raise exception 'generation in p is out of range' using errcode = 'invalid_parameter_value';
  end if;

  is_stale := case
    when seen_generation < instance.generation or instance.status_on_toolbox::text <> p ->> 'expected_status' then true
    -- The writer's operation has ended meanwhile, or was of another generation.
    when p ->> 'operation_id' is not null then operation.id is null or operation.generation <> seen_generation
    -- Somebody else's operation runs: only its own outcome may be recorded.
    when operation.id is not null then result is null or operation.generation <> seen_generation
    else false
  end;
  is_overtaken := private.is_overtaken(instance, p #> '{observed,view_version}');
  -- How an operation ended was seen, whatever came after; there is nothing else to an earlier view.
  is_stale := is_stale or is_overtaken and (operation.id is null or result is null);
  if is_stale then
    return jsonb_build_object('outcome', 'stale', 'instance', to_jsonb(instance));
  end if;

  perform private.set_event_context(
    p ->> 'actor_kind',
    case p ->> 'actor_kind' when 'agent' then instance.account_tool_environment_id when 'user' then operation.user_id end,
    coalesce(p ->> 'action', operation.action, 'observe'),
    coalesce(p ->> 'request_id', operation.request_id),
    operation.id
  );
  if rolls_back and p ->> 'observed' is not null and operation.previous_spec is null then
    perform private.require_keys(result, 'error_code', 'error_message');
    steps := jsonb_build_array(jsonb_build_object(
      'status', 'error', 'reason_code', result ->> 'error_code', 'reason', result ->> 'error_message'
    ));
  end if;
  if not is_overtaken then
    perform private.apply_steps(target_id, steps);
    if p ->> 'observed' is not null then
      perform private.apply_observation(target_id, p -> 'observed');
    end if;
  end if;
  if seen_generation > instance.generation then
    -- The agent is ahead: the database was restored from a backup. Catch up, or every later command is stale there.
    update public.account_tool_instances i set generation = seen_generation where i.id = target_id;
  end if;
  restored_spec := case when rolls_back then operation.previous_spec end;
  restored_desired := case when (p ->> 'restore_previous_desired')::boolean then operation.previous_desired end;
  if restored_spec is not null or restored_desired is not null then
    -- A generation names one desired state for ever: agents may have seen the one that is taken back.
    update public.account_tool_instances i
    set spec = coalesce(restored_spec, i.spec), desired_status = coalesce(restored_desired, i.desired_status),
      generation = i.generation + 1
    where i.id = target_id;
  end if;
  if operation.id is not null and result is not null then
    perform private.close_operation(operation.id, result);
  end if;
  if restored_spec is not null then
    perform private.forget_ways_back(target_id);
  end if;
  if removes then
    delete from public.account_tool_instances i where i.id = target_id;
  end if;
  perform private.set_event_context(null, null, null, null, null);
  return jsonb_build_object('outcome', 'recorded', 'instance', private.instance_json(target_id));
end;
$$;

-- As before. A report that was overtaken tells no more than the server's health.
create or replace function private.apply_instance_report(toolbox_id uuid, report private.instance_report, request_id text) returns void
language plpgsql
set search_path = ''
as $$
declare
  observed text := private.observed_of_phase(report.phase);
  is_settled constant boolean := coalesce(report.settled, false);
  is_omission constant boolean := report.settled is null;
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  is_live boolean;
  tells_end boolean;
  way_back jsonb;
  steps public.account_tool_installation_status_enum[];
  is_gone boolean;
  reason record;
begin
  select * into instance from public.account_tool_instances i
  where i.id = report.id and i.account_tool_environment_id = toolbox_id for update;
  -- About a state the user has left behind, or about one that nobody can have asked for.
  if instance.id is null or report.generation < instance.generation
    or not private.generation_in_reach(report.generation, instance.generation)
  then
    return;
  end if;
  if private.is_overtaken(instance, report.view_version) then
    -- Health does not come from the view, and heartbeats are in order.
    if private.kept_mcp_health(report.mcp) is distinct from instance.mcp_health then
      perform private.record_mcp_health(instance.id, report.mcp, request_id);
    end if;
    return;
  end if;
  operation := private.operation_of_report(report);
  is_live := coalesce(operation.state = 'in_progress' and operation.lease_expires_at > clock_timestamp(), false);
  -- A deletion ends with the instance, not with one that still is something.
  tells_end := coalesce(
    is_settled and operation.generation = report.generation and (operation.action <> 'delete' or observed in ('absent', 'failed')), false
  );
  -- While somebody's operation runs, only its own news count: not that the machine has nothing of it yet, and not a
  -- failure the agent has not given up on.
  if is_live and (
    operation.generation <> report.generation
    or observed = 'absent' and instance.desired_status <> 'absent'
    or observed = 'failed' and not is_settled
  ) then
    return;
  end if;
  if operation.id is not null and (is_settled or is_omission) and not is_live and not tells_end then
    perform private.abandon_expired_operations(instance.id);
    operation := null;
  end if;
  if report.rolled_back and is_settled then
    way_back := case when tells_end then operation.previous_spec end;
    -- What runs is not what the row says, and nobody knows any more what it was.
    observed := case when way_back is null then 'failed' else observed end;
  end if;

  select o.steps, o.row_gone into steps, is_gone
  from private.observe_tool_instance(instance.status_on_toolbox, observed, instance.desired_status) o;
  select * into reason from private.report_reason(report);
  -- `observe` keeps the first reason of an error; what the machine says now is nearer to the truth.
  if instance.status_on_toolbox = 'error' and observed = 'failed'
    and (instance.instance_error_code, instance.instance_error_message) <> (reason.code, reason.message)
  then
    steps := '{error}';
  end if;
  perform private.set_event_context(
    'agent', toolbox_id, coalesce(operation.action, 'observe'), coalesce(operation.request_id, request_id), operation.id
  );
  perform private.apply_steps(instance.id, (
    select jsonb_agg(jsonb_build_object('status', s.step, 'reason_code', reason.code, 'reason', reason.message) order by s.n)
    from unnest(steps) with ordinality as s (step, n)
  ));
  if report.phase is not null and is_settled or report.generation > instance.generation then
    perform private.store_report(instance.id, report, way_back);
  elsif jsonb_typeof(report.view_version) = 'object' then
    perform private.store_view_version(instance.id, report.view_version);
  end if;
  if tells_end then
    perform private.close_operation(operation.id, case
      -- A reason without a failure: what was deployed again under the same spec was given up for what ran before.
      when observed = 'failed' or report.rolled_back or report.reason is not null or 'error' = any (steps)
        then jsonb_build_object('state', 'failed', 'error_code', reason.code, 'error_message', reason.message)
      else '{"state": "succeeded"}'
    end);
    if way_back is not null or observed <> 'failed' then
      perform private.forget_ways_back(instance.id);
    end if;
  end if;
  if private.kept_mcp_health(report.mcp) is distinct from instance.mcp_health then
    perform private.record_mcp_health(instance.id, report.mcp, request_id);
  end if;
  if is_gone then
    delete from public.account_tool_instances i where i.id = instance.id;
  end if;
  perform private.set_event_context(null, null, null, null, null);
end;
$$;

-- As before. A view that brings no news is the last that was applied too: what comes late and is earlier takes nothing back.
create or replace function private.apply_instance_reports(toolbox_id uuid, heartbeat jsonb, request_id text) returns uuid[]
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

revoke all on function private.view_number, private.is_overtaken, private.store_view_version
  from public, anon, authenticated, service_role;
