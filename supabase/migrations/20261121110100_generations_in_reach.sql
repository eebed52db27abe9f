-- An agent may be ahead of a database that was restored from a backup, and the database catches up. It must not get to
-- the end of the counter by that: the last generation JSON numbers hold exactly could be neither observed nor deleted.
create function private.generation_in_reach(seen bigint, held bigint) returns boolean
language sql immutable
set search_path = ''
as $$
  select seen - held <= 1000000 and seen <= 9007199254740991 - 1000000;
$$;
comment on function private.generation_in_reach is 'Whether an agent may be at a generation when the database is at another: a backup is not a million commands old.';
revoke all on function private.generation_in_reach from public, anon, authenticated, service_role;

-- As before, within reach.
create or replace function public.record_tool_instance_state(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  target_id constant uuid := p ->> 'instance_id';
  seen_generation constant bigint := p ->> 'generation';
  steps constant jsonb := coalesce(nullif(p -> 'steps', 'null'), '[]');
  result constant jsonb := nullif(p -> 'operation_result', 'null');
  removes constant boolean := coalesce((p ->> 'remove_row')::boolean, false);
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  is_stale boolean;
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
  perform private.apply_steps(target_id, steps);
  if p ->> 'observed' is not null then
    perform private.apply_observation(target_id, p -> 'observed');
  end if;
  if seen_generation > instance.generation then
    -- The agent is ahead: the database was restored from a backup. Catch up, or every later command is stale there.
    update public.account_tool_instances i set generation = seen_generation where i.id = target_id;
  end if;
  restored_spec := case when (p ->> 'restore_previous_spec')::boolean then operation.previous_spec end;
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
  if removes then
    delete from public.account_tool_instances i where i.id = target_id;
  end if;
  perform private.set_event_context(null, null, null, null, null);
  return jsonb_build_object('outcome', 'recorded', 'instance', private.instance_json(target_id));
end;
$$;

-- As before, within reach.
create or replace function private.apply_instance_report(toolbox_id uuid, report private.instance_report, request_id text) returns void
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
  -- About a state the user has left behind, or about one that nobody can have asked for.
  if instance.id is null or report.generation < instance.generation
    or not private.generation_in_reach(report.generation, instance.generation)
  then
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
