-- What a heartbeat tells of instances, written to their rows. The caller holds the lock of the toolbox and has checked
-- its key; every row is looked up within that toolbox.
-- As before, with a plan that is kept: heartbeats call it for every row they change.
create or replace function private.set_event_context(
  actor_kind text, actor_id uuid, action text, request_id text, operation_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform set_config('toolbox.actor_kind', coalesce(actor_kind, ''), true),
    set_config('toolbox.actor_id', coalesce(actor_id::text, ''), true),
    set_config('toolbox.action', coalesce(action, ''), true),
    set_config('toolbox.request_id', coalesce(request_id, ''), true),
    set_config('toolbox.operation_id', coalesce(operation_id::text, ''), true);
end;
$$;

create type private.instance_report as (
  id uuid, generation bigint, phase text, settled boolean, reason jsonb, container_id text, image_digest text, ports jsonb,
  rolled_back boolean, mcp jsonb
);
comment on type private.instance_report is 'InstanceReport of the heartbeat; phase is null when nothing of the instance is left.';

create function private.report_reason(report private.instance_report, out code text, out message text)
language plpgsql immutable
set search_path = ''
as $$
begin
  code := report.reason ->> 'code';
  message := left(report.reason ->> 'message', 4000);
  if report.phase is null then
    code := 'container_missing';
    message := 'The container is gone from the machine; start the tool to re-create it';
  elsif code is null or code !~ '^[a-z][a-z0-9_]{0,63}$' or message is null or message !~ '\S' then
    code := 'unspecified';
    message := 'The machine reported a failure without a reason';
  end if;
end;
$$;
comment on function private.report_reason is 'Why an instance is not as desired, in the form the database keeps.';

create function private.operation_of_report(report private.instance_report) returns public.tool_instance_operations
language plpgsql stable
set search_path = ''
as $$
declare
  operation public.tool_instance_operations;
begin
  select * into operation from public.tool_instance_operations o
  where o.tool_instance_id = report.id and o.state = 'in_progress';
  if not found then
    select * into operation from public.tool_instance_operations o
    where o.tool_instance_id = report.id and o.previous_spec is not null and o.generation = report.generation;
  end if;
  return operation;
end;
$$;
comment on function private.operation_of_report is 'The operation in progress on an instance; else the abandoned update whose outcome is being told.';

create function private.store_report(
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
    last_observed_at = clock_timestamp()
  where i.id = instance_id;
end;
$$;
comment on function private.store_report is 'Stores what a settled report tells beside the status.';

create function private.apply_instance_report(toolbox_id uuid, report private.instance_report, request_id text) returns void
language plpgsql
set search_path = ''
as $$
declare
  observed constant text := private.observed_of_phase(report.phase);
  is_settled constant boolean := report.phase is null or report.settled;
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  is_live boolean;
  tells_end boolean;
  steps public.account_tool_installation_status_enum[];
  is_gone boolean;
  reason record;
begin
  select * into instance from public.account_tool_instances i
  where i.id = report.id and i.account_tool_environment_id = toolbox_id for update;
  -- About a state the user has left behind; JSON numbers are exact to 2^53.
  if instance.id is null or report.generation < instance.generation or report.generation >= 9007199254740991 then
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
  if operation.id is not null and is_settled and not is_live and not tells_end then
    perform private.abandon_expired_operations(instance.id);
    operation := null;
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
    perform private.store_report(
      instance.id, report, case when report.rolled_back and tells_end then operation.previous_spec end
    );
  end if;
  if tells_end then
    perform private.close_operation(operation.id, case
      when observed = 'failed' or report.rolled_back or 'error' = any (steps)
        then jsonb_build_object('state', 'failed', 'error_code', reason.code, 'error_message', reason.message)
      else '{"state": "succeeded"}'
    end);
    if operation.state = 'abandoned' then
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
comment on function private.apply_instance_report is
  'Writes what an agent shows of one instance: status by status, what it runs, its health, the end of the operation that wanted it, the end of the row.';

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
  -- Most rows have no news: they are found without a lock, and only their health and its age are written.
  with reports as materialized (
    select distinct on (r.id) r::private.instance_report as report, r.id, r.generation, r.phase, r.settled, r.reason, r.container_id, r.image_digest,
      r.ports, private.kept_mcp_health(r.mcp) as mcp
    from jsonb_array_elements(heartbeat -> 'instances') with ordinality as e (report, n),
      jsonb_populate_record(null::private.instance_report, e.report) r
    order by r.id, e.n desc
  ), seen as materialized (
    select r.*, i.id as known, i.mcp_health is distinct from r.mcp as is_health_new,
      r.generation >= i.generation and (
        r.generation > i.generation
        or private.observed_of_phase(r.phase) is distinct from case i.status_on_toolbox
          when 'deploying' then 'preparing' when 'error' then 'failed' else i.status_on_toolbox::text end
        or r.settled and (i.container_id, i.image_digest, i.port_mapping_json) is distinct from (r.container_id, r.image_digest, r.ports)
        or r.mcp ->> 'tools_fingerprint' is distinct from i.mcp_tools_fingerprint and r.mcp ->> 'tools_fingerprint' is not null
        or r.phase = 'error' and (i.instance_error_code, i.instance_error_message)
          is distinct from (r.reason ->> 'code', r.reason ->> 'message')
        or exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.state = 'in_progress'
        )
        or exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.previous_spec is not null
        )
      ) as is_news
    from reports r
    left join public.account_tool_instances i on i.id = r.id and i.account_tool_environment_id = toolbox_id
  ), refreshed as (
    update public.account_tool_instances i set mcp_health = s.mcp, last_observed_at = clock_timestamp()
    from seen s
    where i.id = s.known and not s.is_news and s.is_health_new and s.generation >= i.generation
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
comment on function private.apply_instance_reports is 'Writes what a heartbeat tells of instances; returns those that are not of the toolbox.';

revoke all on function
  private.report_reason, private.operation_of_report, private.store_report, private.apply_instance_report,
  private.apply_instance_reports
  from public, anon, authenticated, service_role;
