-- Writes what was decided of instances: of what agents showed, and of commands that came to nothing. crates/toolbox-domain
-- decides. What is kept here is what a decision cannot know: that the row is still the one it was made of, the order of views,
-- whose operation is under way, and the spec that an update may go back to.

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

-- A lasting view without a version makes the next one count, whatever its number. One that is not lasting is only ordered.
create function private.apply_observation(instance_id uuid, observed jsonb, view_version jsonb) returns void
language sql
set search_path = ''
as $$
  -- A key that is absent keeps the column.
  update public.account_tool_instances i
  set container_id = case when observed ? 'container_id' then observed ->> 'container_id' else i.container_id end,
    image_digest = case when observed ? 'image_digest' then observed ->> 'image_digest' else i.image_digest end,
    port_mapping_json = case
      when jsonb_typeof(observed -> 'ports') = 'array' then observed -> 'ports' else i.port_mapping_json
    end,
    last_observed_at = case when observed is not null then clock_timestamp() else i.last_observed_at end,
    view_run = (view_version ->> 'run')::uuid,
    view_number = private.view_number(view_version),
    view_applied_at = case when view_version is not null then clock_timestamp() end
  where i.id = instance_id and (observed is not null or view_version is not null);
$$;
comment on function private.apply_observation is 'Stores what an agent showed beside the status, and which view it was.';

create function private.record_state(p jsonb, of_toolbox uuid, request_id text) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  target_id constant uuid := p ->> 'instance_id';
  own_operation_id constant uuid := p ->> 'operation_id';
  seen_generation constant bigint := p ->> 'generation';
  view_version constant jsonb := case when jsonb_typeof(p -> 'view_version') = 'object' then p -> 'view_version' end;
  observed constant jsonb := nullif(p -> 'observed', 'null');
  result constant jsonb := nullif(p -> 'operation_result', 'null');
  restores_spec constant boolean := coalesce((p ->> 'restore_previous_spec')::boolean, false);
  steps jsonb := coalesce(nullif(p -> 'steps', 'null'), '[]');
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  is_live boolean;
  is_end boolean;
  is_late boolean;
  restored_spec jsonb;
  restored_desired text;
begin
  perform private.require_keys(p, 'instance_id', 'generation', 'expected_generation', 'expected_status', 'actor_kind', 'settled');
  if seen_generation < 1 or seen_generation < (p ->> 'expected_generation')::bigint then
    raise exception 'generation in p is out of range' using errcode = 'invalid_parameter_value';
  end if;

  select * into instance from public.account_tool_instances i
  where i.id = target_id and i.account_tool_environment_id = coalesce(of_toolbox, i.account_tool_environment_id) for update;
  select * into operation from public.tool_instance_operations o
  where o.tool_instance_id = target_id and o.state = 'in_progress';
  if instance.id is null then
    if operation.id = own_operation_id and result is not null then
      perform private.close_operation(operation.id, result);
    end if;
    return jsonb_build_object('outcome', 'not_found');
  end if;

  is_live := coalesce(operation.lease_expires_at > clock_timestamp(), false);
  is_end := coalesce(result is not null and operation.generation = seen_generation, false);
  -- A view that was overtaken is used only for the end of its own operation.
  is_late := private.is_overtaken(instance, view_version);
  if instance.status_on_toolbox::text <> p ->> 'expected_status'
    or instance.generation <> (p ->> 'expected_generation')::bigint
    or not private.generation_in_reach(seen_generation, instance.generation)
    or is_late and not is_end
    or (case
      -- The writer's operation has ended meanwhile, or was of another generation. It may end late, as long as nobody took over.
      when own_operation_id is not null then
        operation.id is distinct from own_operation_id or operation.generation <> seen_generation
      -- Somebody else's operation runs: only what belongs to it counts.
      when is_live then operation.generation <> seen_generation or coalesce((p ->> 'only_idle')::boolean, false)
      else false
    end)
  then
    return jsonb_build_object('outcome', 'stale', 'instance', to_jsonb(instance) - 'spec');
  end if;

  -- An update whose lease is over may still go on, as its agent shows, and end.
  if own_operation_id is null and operation.id is not null and not is_live
    and (operation.generation <> seen_generation or (p ->> 'settled')::boolean and not is_end)
  then
    perform private.abandon_expired_operations(target_id);
    operation := null;
  end if;
  if operation.id is null and result is not null then
    -- The abandoned update whose outcome arrives now.
    select * into operation from public.tool_instance_operations o
    where o.tool_instance_id = target_id and o.previous_spec is not null and o.generation = seen_generation;
  end if;
  restored_spec := case when restores_spec then operation.previous_spec end;
  restored_desired := case when (p ->> 'restore_previous_desired')::boolean then operation.previous_desired end;
  if restores_spec and observed is not null and restored_spec is null then
    -- What runs is not what the row says, and nobody knows any more what it was.
    perform private.require_keys(coalesce(result, '{}'), 'error_code', 'error_message');
    steps := jsonb_build_array(jsonb_build_object(
      'status', 'error', 'reason_code', result ->> 'error_code', 'reason', result ->> 'error_message'
    ));
  end if;

  perform private.set_event_context(
    p ->> 'actor_kind',
    case p ->> 'actor_kind' when 'agent' then instance.account_tool_environment_id when 'user' then operation.user_id end,
    coalesce(operation.action, 'observe'), coalesce(operation.request_id, record_state.request_id), operation.id
  );
  if not is_late then
    perform private.apply_steps(target_id, steps);
    perform private.apply_observation(target_id, observed, view_version);
    if observed is not null and not restores_spec and (p ->> 'settled')::boolean and seen_generation = instance.generation
      and exists (select from public.account_tool_instances i where i.id = target_id and i.status_on_toolbox = 'running')
    then
      perform private.note_version_that_runs(target_id, observed);
    end if;
  end if;
  -- A generation names one desired state for ever, so what is put back is a new one: agents may have seen the one that is taken
  -- back. An agent that is ahead has seen a database that was restored from a backup since: what is desired now must be newer
  -- there too, or every later command is stale.
  if seen_generation > instance.generation or restored_spec is not null or restored_desired is not null then
    update public.account_tool_instances i
    set spec = coalesce(restored_spec, i.spec), desired_status = coalesce(restored_desired, i.desired_status),
      generation = seen_generation + 1
    where i.id = target_id;
    if restored_spec is not null then
      perform private.note_restored_version(target_id, (
        select max(v.generation) from public.account_tool_instance_versions v
        where v.tool_instance_id = target_id and v.generation < operation.generation
      ), true);
    end if;
  end if;
  if operation.id is not null and result is not null then
    perform private.close_operation(operation.id, result);
    -- An error may pass, and the update be rolled back after all.
    if restored_spec is not null
      or exists (select from public.account_tool_instances i where i.id = target_id and i.status_on_toolbox <> 'error')
    then
      perform private.forget_ways_back(target_id);
    end if;
  end if;
  if (p ->> 'remove_row')::boolean then
    delete from public.account_tool_instances i where i.id = target_id;
  end if;
  perform private.set_event_context(null, null, null, null, null);
  return jsonb_build_object('outcome', 'recorded', 'instance', private.instance_json(target_id) - 'spec');
end;
$$;
comment on function private.record_state is
  'Writes one decision; the caller holds the locks. Answers {outcome, instance}: recorded, stale with the row as it is, or not_found.';

create function public.record_tool_instance_states(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_toolbox constant uuid := p ->> 'toolbox_id';
  is_superseded boolean := false;
  ids uuid[];
  item jsonb;
  result jsonb;
  results jsonb := '[]';
begin
  perform private.require_keys(p, 'items');
  if jsonb_array_length(p -> 'items') > 1000 then
    raise exception 'items in p may hold 1000 at most' using errcode = 'invalid_parameter_value';
  end if;
  select array_agg((e ->> 'instance_id')::uuid) into ids from jsonb_array_elements(p -> 'items') e;
  -- Same order of locks as begin_tool_instance_operation: toolbox, then instances, these by their ids.
  if p ->> 'boot' is not null then
    -- A report without a version cannot be put in order by itself. The next heartbeat waits for this lock, and then sees what is
    -- written here.
    perform from public.account_tool_environments e
    where e.id = of_toolbox and (e.dtma_boot, e.dtma_sequence) = ((p ->> 'boot')::bigint, (p ->> 'sequence')::bigint)
    for share;
    is_superseded := not found;
  end if;
  perform from public.account_tool_environments e
  where e.id in (select i.account_tool_environment_id from public.account_tool_instances i where i.id = any (ids))
  order by e.id for key share;
  perform from public.account_tool_instances i where i.id = any (ids) order by i.id for update;
  -- Each item takes tokens of the kind of its own events. Calls for other instances of the toolbox take the same ones.
  perform from private.event_buckets b
  where b.account_tool_environment_id in (select i.account_tool_environment_id from public.account_tool_instances i where i.id = any (ids))
  order by b.account_tool_environment_id, b.kind for no key update;
  for item in select e from jsonb_array_elements(p -> 'items') with ordinality as s (e, n) order by n loop
    if is_superseded then
      result := jsonb_build_object('outcome', 'superseded');
    else
      -- What cannot be written of one instance must not keep the others from being written.
      begin
        result := private.record_state(item, of_toolbox, p ->> 'request_id');
      exception when data_exception or integrity_constraint_violation then
        raise warning 'The record of instance % was refused: %', item ->> 'instance_id', sqlerrm;
        result := jsonb_build_object('outcome', 'refused', 'instance_id', item -> 'instance_id', 'code', sqlstate);
      end;
    end if;
    results := results || jsonb_build_array(result);
  end loop;
  return jsonb_build_object('results', results)
    || case when of_toolbox is null then '{}' else jsonb_build_object('desired_digest', private.desired_digest(of_toolbox)) end;
end;
$$;
comment on function public.record_tool_instance_states is
  'Writes what was decided of instances, each onto the row it was decided of. Answers {results}, one {outcome, instance} per item in their order: recorded, stale, not_found, or refused with instance_id and the SQLSTATE as code; and {desired_digest} of the toolbox that p may name, to which all items must belong then. p may also name the heartbeat (boot, sequence) that told of them: the outcome of all is superseded once a later one of the toolbox was recorded. Waits 5 s for locks at most.';

revoke all on function
  private.apply_steps, private.apply_observation, private.record_state, public.record_tool_instance_states
  from public, anon, authenticated, service_role;
grant execute on function public.record_tool_instance_states to service_role;
