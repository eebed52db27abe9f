-- The one way in which a mutation of a user starts: checks, lock, idempotency and the first status in one transaction.

create function private.replay_operation(
  owner_id uuid, key text, fingerprint text, former_fingerprint text, requested_action text
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  used public.tool_instance_operations;
begin
  -- Two requests with the same key wait for each other here, before either looks.
  perform pg_advisory_xact_lock(hashtextextended(owner_id::text || ':' || key, 0));
  update public.tool_instance_operations o set idempotency_key = null, request_fingerprint = null
  where o.user_id = owner_id and o.idempotency_key = key and o.started_at <= now() - interval '24 hours';
  select * into used from public.tool_instance_operations o where o.user_id = owner_id and o.idempotency_key = key;
  if not found then
    return null;
  end if;
  -- The fingerprint's key is another one since the root secret was replaced.
  if used.action <> requested_action
    or used.request_fingerprint is distinct from fingerprint and (used.request_fingerprint = former_fingerprint) is not true
  then
    return jsonb_build_object('outcome', 'key_reused');
  end if;
  perform private.abandon_expired_operations(used.tool_instance_id);
  select * into used from public.tool_instance_operations o where o.id = used.id;
  return jsonb_build_object(
    'outcome', 'replayed', 'operation', private.operation_json(used), 'instance', private.instance_json(used.tool_instance_id)
  );
end;
$$;
comment on function private.replay_operation is 'The outcome to answer for a key used before; null when the key is free.';

create function private.insert_tool_instance(p jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
  instance_limit constant integer := private.quota((p ->> 'user_id')::uuid, 'max_tools', (p ->> 'max_instances')::integer);
  taken_by uuid;
begin
  perform private.require_keys(p, 'name', 'container_name', 'tool_catalog_id', 'spec');
  select i.id into taken_by from public.account_tool_instances i
  where i.account_tool_environment_id = toolbox_id and i.instance_name_on_toolbox = p ->> 'name';
  if found then
    return jsonb_build_object('outcome', 'name_taken', 'instance_id', taken_by);
  end if;
  if instance_limit <= (
    select count(*) from public.account_tool_instances i where i.account_tool_environment_id = toolbox_id
  ) then
    return jsonb_build_object('outcome', 'quota_exceeded', 'limit', instance_limit);
  end if;
  insert into public.account_tool_instances (
    id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec,
    desired_status, status_on_toolbox, mcp_pin_due_at
  ) values (
    (p ->> 'instance_id')::uuid, toolbox_id, (p ->> 'tool_catalog_id')::uuid, p ->> 'name', p ->> 'container_name', p -> 'spec',
    p ->> 'desired_status', (p ->> 'to_status')::public.account_tool_installation_status_enum,
    case when (p ->> 'pin_tools')::boolean then now() end
  );
  return null;
end;
$$;
comment on function private.insert_tool_instance is
  'First deploy: inserts the row, or returns the outcome that forbids it. The caller holds the lock of the toolbox.';

-- Keeps what was desired before. From here on, no earlier operation can be rolled back.
create function public.begin_tool_instance_operation(p jsonb) returns jsonb
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
    refusal := private.replay_operation(
      owner_id, p ->> 'idempotency_key', p ->> 'request_fingerprint', p ->> 'former_request_fingerprint', p ->> 'action'
    );
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
    from public.tool_instance_operations o
    where o.tool_instance_id = target_id and o.state = 'in_progress' and not coalesce(p -> 'preempts' ? o.action, false);
    if found then
      return refusal;
    end if;
    -- A new spec made from an older one would undo what came between.
    if instance.status_on_toolbox::text <> p ->> 'expected_status'
      or instance.generation <> (p ->> 'expected_generation')::bigint
    then
      return jsonb_build_object('outcome', 'status_changed', 'status', instance.status_on_toolbox);
    end if;
    perform private.supersede_operation(target_id, p ->> 'action');
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
    if p ->> 'restores' is not null then
      perform private.note_restored_version(target_id, (p ->> 'restores')::bigint, false);
    end if;
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
comment on function public.begin_tool_instance_operation is
  'Starts one mutation of an instance for the user who owns the toolbox. Answers {outcome}: started, replayed, in_progress, status_changed, name_taken, key_reused, not_found or quota_exceeded. An operation in progress whose action is in p.preempts gives way and is abandoned. Waits 5 s for locks at most.';

revoke all on function
  private.replay_operation, private.insert_tool_instance, public.begin_tool_instance_operation
  from public, anon, authenticated, service_role;
grant execute on function public.begin_tool_instance_operation to service_role;
