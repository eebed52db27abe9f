-- What is older than private.retention() goes, but for what still explains an instance that is there.

create function private.delete_old_events() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select e.id from public.tool_instance_events e
    where e.occurred_at < now() - private.retention()
      -- Of an instance that is there, the last event and the last change of status stay: why it is as it is.
      and not (
        exists (select from public.account_tool_instances i where i.id = e.tool_instance_id)
        and not exists (
          select from public.tool_instance_events later
          where later.tool_instance_id = e.tool_instance_id and later.id > e.id
            and (e.from_status is not distinct from e.to_status or later.from_status is distinct from later.to_status)
        )
      )
    order by e.occurred_at
    limit 1000
    for update skip locked
  )
  delete from public.tool_instance_events e using old where e.id = old.id;
  get diagnostics deleted = row_count;
  return deleted;
end;
$$;
comment on function private.delete_old_events is
  'Deletes events older than private.retention(), but for the last event and the last change of status of each instance that is there; 1000 a call; returns how many.';

create function private.delete_old_toolbox_events() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select e.id from public.toolbox_events e
    where e.occurred_at < now() - private.retention()
    order by e.occurred_at
    limit 1000
    for update skip locked
  )
  delete from public.toolbox_events e using old where e.id = old.id;
  get diagnostics deleted = row_count;
  delete from public.rollouts r where r.id in (
    select ended.id from public.rollouts ended
    where ended.ended_at < now() - private.retention() and not ended.is_due
    order by ended.ended_at limit 1000
    for update skip locked
  );
  delete from public.mcp_use u where u.ctid = any (array(
    select old.ctid from public.mcp_use old
    where old.day < current_date - private.retention() order by old.day limit 1000
  ));
  delete from private.operator_events o where o.id in (
    select old.id from private.operator_events old
    where old.occurred_at < now() - private.retention() order by old.occurred_at limit 1000
  );
  return deleted;
end;
$$;
comment on function private.delete_old_toolbox_events is
  'Deletes events of toolboxes, what operators changed, and the use of MCP servers older than private.retention(), and rollouts that ended longer ago; 1000 of each a call; returns how many events.';

create function private.delete_old_alerts() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select a.id from public.alerts a
    where a.closed_at < now() - private.retention()
    order by a.closed_at
    limit 1000
    for update skip locked
  )
  delete from public.alerts a using old where a.id = old.id;
  get diagnostics deleted = row_count;
  delete from public.alert_messages m where m.id in (
    select test.id from public.alert_messages test
    where test.alert_id is null and test.finished_at < now() - private.retention() order by test.finished_at limit 1000
  );
  return deleted;
end;
$$;
comment on function private.delete_old_alerts is
  'Deletes alerts, with their messages, that ended longer ago than private.retention(); 1000 a call; returns how many.';

create function private.delete_old_operations() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select o.id from public.tool_instance_operations o
    where o.finished_at < now() - private.retention() and o.is_sealed
      -- Of an instance that is there, the last operation stays, by which agents know what its generation is; and the
      -- spec that an update may still go back to.
      and not (
        exists (select from public.account_tool_instances i where i.id = o.tool_instance_id)
        and (o.previous_spec is not null or not exists (
          select from public.tool_instance_operations later
          where later.tool_instance_id = o.tool_instance_id and later.started_at > o.started_at
        ))
      )
    order by o.finished_at
    limit 1000
    for update skip locked
  )
  delete from public.tool_instance_operations o using old where o.id = old.id;
  get diagnostics deleted = row_count;
  return deleted;
end;
$$;
comment on function private.delete_old_operations is
  'Deletes operations that ended longer ago than private.retention() and have a receipt, but for the last of each instance that is there and those that may still be rolled back; 1000 a call; returns how many.';

revoke all on function private.delete_old_events, private.delete_old_toolbox_events, private.delete_old_alerts, private.delete_old_operations
  from public, anon, authenticated, service_role;
