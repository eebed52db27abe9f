-- Records the outcome of a command, and what an answer of the agent showed.

create function private.apply_steps(instance_id uuid, steps jsonb) returns void
language plpgsql
set search_path = ''
as $$
declare
  step jsonb;
  reached public.account_tool_installation_status_enum;
begin
  if jsonb_array_length(steps) > 20 then
    raise exception 'steps in p may hold 20 at most' using errcode = 'invalid_parameter_value';
  end if;
  for step in select s from jsonb_array_elements(steps) s loop
    perform private.require_keys(step, 'status');
    reached := step ->> 'status';
    if reached = 'error' then
      perform private.require_keys(step, 'reason_code', 'reason');
    end if;
    update public.account_tool_instances i
    set status_on_toolbox = reached,
      instance_error_code = case when reached = 'error' then step ->> 'reason_code' end,
      instance_error_message = case when reached = 'error' then left(step ->> 'reason', 4000) end
    where i.id = instance_id;
  end loop;
end;
$$;
comment on function private.apply_steps is
  'Walks an instance through statuses one by one, each with its event; the guard refuses an illegal one.';

create function private.apply_observation(instance_id uuid, observed jsonb) returns void
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
comment on function private.apply_observation is 'Stores what DTMA reported beside the status.';

create function private.find_operation_to_record(p jsonb, instance_id uuid) returns public.tool_instance_operations
language plpgsql
set search_path = ''
as $$
declare
  operation public.tool_instance_operations;
begin
  select * into operation from public.tool_instance_operations o
  where o.tool_instance_id = instance_id and o.state = 'in_progress';
  if p ->> 'operation_id' is not null then
    -- Its owner may still record after the lease, as long as nobody took over.
    return case when operation.id = (p ->> 'operation_id')::uuid then operation end;
  end if;
  if operation.lease_expires_at <= clock_timestamp()
    and not (p ->> 'operation_result' is not null and operation.generation = (p ->> 'generation')::bigint)
  then
    perform private.abandon_expired_operations(instance_id);
    return null;
  end if;
  return operation;
end;
$$;
comment on function private.find_operation_to_record is
  'The operation in progress that a record belongs to or collides with; null without one.';

-- Of a view that is earlier than the last, only the end of the operation is recorded.
create function public.record_tool_instance_state(p jsonb) returns jsonb
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
comment on function public.record_tool_instance_state is
  'Records what an agent or the control plane saw of an instance. Answers {outcome}: recorded, stale or not_found. Waits 5 s for locks at most.';

revoke all on function
  private.apply_steps, private.apply_observation, private.find_operation_to_record,
  public.record_tool_instance_state
  from public, anon, authenticated, service_role;
grant execute on function public.record_tool_instance_state to service_role;
