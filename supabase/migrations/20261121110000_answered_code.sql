-- A reason and a refusal may have the same name: what its caller was answered is kept, so that a replay answers the same.
alter table public.tool_instance_operations
  add column answered_code text check (answered_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  add constraint only_failed_operations_have_an_answered_code check (answered_code is null or state = 'failed');
comment on column public.tool_instance_operations.answered_code is 'Error code its caller was answered when the agent could not be told; null when the end was observed.';
grant select (answered_code) on public.tool_instance_operations to authenticated;

-- As before, with the code that was answered.
create or replace function private.close_operation(operation_id uuid, result jsonb) returns void
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
    previous_spec = null
  where o.id = operation_id and o.state = 'in_progress';
end;
$$;

create or replace function private.operation_json(operation public.tool_instance_operations) returns jsonb
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
