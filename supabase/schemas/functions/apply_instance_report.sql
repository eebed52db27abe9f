-- What a heartbeat tells of one instance, written to its row.

create type private.instance_report as (
  id uuid, generation bigint, phase text, settled boolean, reason jsonb, container_id text, image_digest text, ports jsonb,
  rolled_back boolean, mcp jsonb, view_version jsonb
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
comment on function private.operation_of_report is
  'The operation in progress on an instance; else the update that ended without a verdict, whose outcome is being told.';

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
    last_observed_at = clock_timestamp(),
    view_run = (report.view_version ->> 'run')::uuid,
    view_number = private.view_number(report.view_version),
    view_applied_at = case when jsonb_typeof(report.view_version) = 'object' then clock_timestamp() end
  where i.id = instance_id;
end;
$$;
comment on function private.store_report is 'Stores what a settled report tells beside the status.';

-- A report that was overtaken by a later view tells no more than the health of the server.
create function private.apply_instance_report(toolbox_id uuid, report private.instance_report, request_id text) returns void
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
comment on function private.apply_instance_report is
  'Writes what an agent shows of one instance: status by status, what it runs, its health, the end of the operation that wanted it, the end of the row.';

revoke all on function
  private.report_reason, private.operation_of_report, private.store_report, private.apply_instance_report
  from public, anon, authenticated, service_role;
