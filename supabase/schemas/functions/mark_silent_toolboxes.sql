-- A toolbox that does not report is not shown as if it did.

create function private.mark_silent_toolboxes(counting_from timestamptz default pg_postmaster_start_time()) returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  marked uuid[];
begin
  with silent as (
    -- A row that is locked belongs to a toolbox whose heartbeat is being recorded.
    select e.id from public.account_tool_environments e
    where e.status = 'active'
      and greatest(coalesce(e.last_heartbeat_at, e.status_changed_at), counting_from)
        < clock_timestamp() - make_interval(secs => 3 * coalesce(e.heartbeat_interval_seconds, 60))
    limit 100
    for no key update skip locked
  ), marking as (
    update public.account_tool_environments e set status = 'unresponsive'
    from silent s where e.id = s.id
    returning e.id
  )
  select coalesce(array_agg(m.id), '{}') into marked from marking m;
  -- Waits for commands that are being written, so that the event starts from the state they leave.
  perform from public.account_tool_instances i where i.account_tool_environment_id = any (marked) order by i.id for no key update;
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason, generation
  )
  select i.id, e.id, 'control_plane', 'unknown_since', i.status_on_toolbox, i.status_on_toolbox, 'toolbox_unresponsive',
    format('The machine was last heard of at %s', to_char(e.unresponsive_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
    i.generation
  from public.account_tool_environments e join public.account_tool_instances i on i.account_tool_environment_id = e.id
  where e.id = any (marked)
  order by i.id;
  return cardinality(marked);
end;
$$;
comment on function private.mark_silent_toolboxes is
  'Marks active toolboxes that were silent for three of their intervals as unresponsive, with an event for each of their instances; 100 a call; returns how many. While the database was down nobody could report: silence counts from its start.';

revoke all on function private.mark_silent_toolboxes from public, anon, authenticated, service_role;
