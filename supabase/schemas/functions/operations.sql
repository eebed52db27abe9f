-- Operations: what callers may know of them, and how they end.

create function private.operation_json(operation public.tool_instance_operations) returns jsonb
language sql immutable
set search_path = ''
as $$
  -- Named one by one: neither the specs nor the idempotency key leave the database.
  select jsonb_build_object(
    'id', operation.id, 'tool_instance_id', operation.tool_instance_id, 'action', operation.action,
    'state', operation.state, 'request_id', operation.request_id, 'generation', operation.generation,
    'error_code', operation.error_code, 'error_message', operation.error_message,
    'answered_code', operation.answered_code,
    'started_at', operation.started_at, 'lease_expires_at', operation.lease_expires_at,
    'finished_at', operation.finished_at
  );
$$;
comment on function private.operation_json is 'What callers may know of an operation.';

create function private.instance_json(instance_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select to_jsonb(i) from public.account_tool_instances i where i.id = instance_id;
$$;
comment on function private.instance_json is 'All columns of an instance, spec included; null when it is gone.';

-- An abandoned update keeps the spec that its agent may still go back to.
create function private.abandon_expired_operations(instance_id uuid) returns void
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
comment on function private.abandon_expired_operations is 'Ends operations whose lease ran out, with an event each.';

create function private.supersede_operation(instance_id uuid, by_action text) returns void
language sql
set search_path = ''
as $$
  with superseded as (
    update public.tool_instance_operations o
    set state = 'abandoned', finished_at = clock_timestamp()
    where o.tool_instance_id = instance_id and o.state = 'in_progress'
    returning o.*
  )
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason,
    request_id, operation_id, generation
  )
  select s.tool_instance_id, s.account_tool_environment_id, 'control_plane', 'superseded',
    i.status_on_toolbox, i.status_on_toolbox, 'superseded',
    format('A %s took the place of the %s operation before its end was observed', by_action, s.action),
    s.request_id, s.id, s.generation
  from superseded s left join public.account_tool_instances i on i.id = s.tool_instance_id;
$$;
comment on function private.supersede_operation is 'Ends the operation in progress, with an event, because another takes its place.';

create function private.forget_ways_back(instance_id uuid) returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.tool_instance_operations o set previous_spec = null
  where o.tool_instance_id = instance_id and o.state <> 'in_progress' and o.previous_spec is not null;
end;
$$;
comment on function private.forget_ways_back is
  'Erases the specs that updates of an instance that have ended could still go back to.';

create function private.close_operation(operation_id uuid, result jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.require_keys(result, 'state');
  if result ->> 'state' not in ('succeeded', 'failed') then
    raise exception 'operation_result.state in p must be succeeded or failed, not "%"', result ->> 'state'
      using errcode = 'invalid_parameter_value';
  end if;
  if result ->> 'state' = 'failed' then
    perform private.require_keys(result, 'error_code', 'error_message');
  end if;
  update public.tool_instance_operations o
  set state = result ->> 'state',
    error_code = case when result ->> 'state' = 'failed' then result ->> 'error_code' end,
    error_message = case when result ->> 'state' = 'failed' then left(result ->> 'error_message', 4000) end,
    answered_code = case when result ->> 'state' = 'failed' then result ->> 'answered_code' end,
    finished_at = clock_timestamp(),
    previous_spec = case when result ->> 'state' = 'failed' then o.previous_spec end
  where o.id = operation_id and o.state = 'in_progress';
end;
$$;
comment on function private.close_operation is
  'Records the outcome of an operation in progress; a success erases the spec it kept.';

revoke all on function
  private.operation_json, private.instance_json, private.abandon_expired_operations, private.supersede_operation,
  private.forget_ways_back,
  private.close_operation
  from public, anon, authenticated, service_role;
