-- A command that certainly did not happen takes back what it wanted: agents carry out what is desired, also later, and
-- must not carry out what its caller was told had failed. An update may still be rolled back after its lease.
alter table public.tool_instance_operations
  add column previous_desired text check (previous_desired in ('running', 'stopped', 'absent')),
  drop constraint finished_operations_keep_no_spec,
  add constraint ended_operations_keep_no_spec check (state in ('in_progress', 'abandoned') or previous_spec is null);
create index tool_instance_operations_with_a_way_back on public.tool_instance_operations (tool_instance_id)
  where previous_spec is not null;
comment on column public.tool_instance_operations.previous_desired is 'What was desired before this operation; null for a first deploy.';
comment on column public.tool_instance_operations.previous_spec is 'The spec an update may go back to; erased when the operation ends, or, for an abandoned one, when its outcome is seen or the next begins. Not readable by users.';
grant select (previous_desired) on public.tool_instance_operations to authenticated;

-- As before, but an abandoned update keeps its way back.
create or replace function private.abandon_expired_operations(instance_id uuid) returns void
language sql
set search_path = ''
as $$
  with abandoned as (
    update public.tool_instance_operations o
    set state = 'abandoned', finished_at = clock_timestamp()
    where o.tool_instance_id = instance_id and o.state = 'in_progress' and o.lease_expires_at <= clock_timestamp()
    returning o.*
  )
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason,
    request_id, operation_id, generation
  )
  select a.tool_instance_id, a.account_tool_environment_id, 'control_plane', 'lease_expired',
    i.status_on_toolbox, i.status_on_toolbox, 'lease_expired',
    format('The %s operation recorded no outcome before its lease ended', a.action),
    a.request_id, a.id, a.generation
  from abandoned a left join public.account_tool_instances i on i.id = a.tool_instance_id;
$$;

create function private.forget_ways_back(instance_id uuid) returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.tool_instance_operations o set previous_spec = null
  where o.tool_instance_id = instance_id and o.state = 'abandoned' and o.previous_spec is not null;
end;
$$;
comment on function private.forget_ways_back is 'Erases the specs that abandoned updates of an instance could still go back to.';
revoke all on function private.forget_ways_back from public, anon, authenticated, service_role;

-- As before, and keeps what was desired; earlier ways back end here.
create or replace function public.begin_tool_instance_operation(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
  owner_id constant uuid := p ->> 'user_id';
  target_id constant uuid := p ->> 'instance_id';
  is_deploy constant boolean := p ->> 'action' = 'deploy';
  lease constant interval := make_interval(secs => (p ->> 'lease_seconds')::double precision);
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  refusal jsonb;
  old_spec jsonb;
  old_desired text;
begin
  perform private.require_keys(
    p, 'toolbox_id', 'user_id', 'action', 'instance_id', 'request_id', 'lease_seconds', 'to_status', 'desired_status'
  );
  if p ->> 'action' not in ('deploy', 'update', 'start', 'stop', 'restart', 'delete') then
    raise exception 'Unknown action in p: "%"', p ->> 'action' using errcode = 'invalid_parameter_value';
  end if;
  if lease not between interval '1 second' and interval '1 hour' then
    raise exception 'lease_seconds in p must be from 1 to 3600' using errcode = 'invalid_parameter_value';
  end if;

  -- Locks are taken from the toolbox down. A deploy holds the toolbox, so that names and counts cannot race;
  -- the other actions only keep it from vanishing and run side by side.
  if is_deploy then
    perform from public.account_tool_environments e where e.id = toolbox_id and e.user_id = owner_id for no key update;
  else
    perform from public.account_tool_environments e where e.id = toolbox_id and e.user_id = owner_id for key share;
  end if;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if p ->> 'idempotency_key' is not null then
    refusal := private.replay_operation(owner_id, p ->> 'idempotency_key', p ->> 'request_fingerprint', p ->> 'action');
    if refusal is not null then
      return refusal;
    end if;
  end if;

  select * into instance from public.account_tool_instances i where i.id = target_id for update;
  if instance.id is null and not is_deploy or instance.account_tool_environment_id <> toolbox_id then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  operation.id := gen_random_uuid();
  perform private.set_event_context('user', owner_id, p ->> 'action', p ->> 'request_id', operation.id);

  if instance.id is null then
    refusal := private.insert_tool_instance(p);
    if refusal is not null then
      return refusal;
    end if;
    select * into instance from public.account_tool_instances i where i.id = target_id;
  else
    perform private.abandon_expired_operations(target_id);
    select jsonb_build_object('outcome', 'in_progress', 'operation', private.operation_json(o)) into refusal
    from public.tool_instance_operations o where o.tool_instance_id = target_id and o.state = 'in_progress';
    if found then
      return refusal;
    end if;
    -- A new spec made from an older one would undo what came between.
    if instance.status_on_toolbox::text <> p ->> 'expected_status'
      or instance.generation <> (p ->> 'expected_generation')::bigint
    then
      return jsonb_build_object('outcome', 'status_changed', 'status', instance.status_on_toolbox);
    end if;
    perform private.forget_ways_back(target_id);
    old_desired := instance.desired_status;
    if p ->> 'action' in ('deploy', 'update') and p ->> 'spec' is not null then
      old_spec := instance.spec;
    end if;
    update public.account_tool_instances i
    set status_on_toolbox = (p ->> 'to_status')::public.account_tool_installation_status_enum,
      desired_status = p ->> 'desired_status',
      generation = i.generation + 1,
      spec = case when old_spec is null then i.spec else p -> 'spec' end,
      container_name = coalesce(p ->> 'container_name', i.container_name),
      instance_error_code = null,
      instance_error_message = null
    where i.id = target_id
    returning * into instance;
  end if;

  insert into public.tool_instance_operations (
    id, tool_instance_id, account_tool_environment_id, user_id, action, request_id, idempotency_key,
    request_fingerprint, generation, previous_spec, previous_desired, started_at, lease_expires_at
  ) values (
    operation.id, target_id, toolbox_id, owner_id, p ->> 'action', p ->> 'request_id', p ->> 'idempotency_key',
    p ->> 'request_fingerprint', instance.generation, old_spec, old_desired, clock_timestamp(), clock_timestamp() + lease
  ) returning * into operation;
  perform private.set_event_context(null, null, null, null, null);
  return jsonb_build_object(
    'outcome', 'started', 'operation', private.operation_json(operation), 'instance', to_jsonb(instance)
  );
end;
$$;

-- As before, and may put back what was desired (restore_previous_desired). What is put back is a new generation.
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
  -- JSON numbers are exact to 2^53; a hostile agent must not push the counter to its end.
  if seen_generation not between 1 and 9007199254740991 then
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
