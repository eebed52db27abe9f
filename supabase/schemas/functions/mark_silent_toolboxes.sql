-- A toolbox that does not report is not shown as if it did.

create function private.mark_silent_toolboxes(counting_from timestamptz default pg_postmaster_start_time()) returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  marked integer;
begin
  with silent as (
    -- Whoever holds the row is being heard right now.
    select e.id from public.account_tool_environments e
    where e.status = 'active'
      and greatest(coalesce(e.last_heartbeat_at, e.status_changed_at), counting_from)
        < clock_timestamp() - make_interval(secs => 3 * coalesce(e.heartbeat_interval_seconds, 60))
    for no key update skip locked
  ), marking as (
    update public.account_tool_environments e set status = 'unresponsive'
    from silent s where e.id = s.id
    returning e.id, e.unresponsive_since
  ), told as (
    insert into public.tool_instance_events (
      tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason, generation
    )
    select i.id, m.id, 'control_plane', 'unknown_since', i.status_on_toolbox, i.status_on_toolbox, 'toolbox_unresponsive',
      format('The machine was last heard of at %s', to_char(m.unresponsive_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
      i.generation
    from marking m join public.account_tool_instances i on i.account_tool_environment_id = m.id
    order by i.id
  )
  select count(*) into marked from marking;
  return marked;
end;
$$;
comment on function private.mark_silent_toolboxes is
  'Marks active toolboxes that were silent for three of their intervals as unresponsive, with an event for each of their instances; returns how many. While the database was down nobody could report: silence counts from its start.';

revoke all on function private.mark_silent_toolboxes from public, anon, authenticated, service_role;

-- Where pg_cron is not to be had, somebody else must call the function; the local stack does.
do $$
declare
  call constant text := 'select private.mark_silent_toolboxes()';
begin
  if exists (select from pg_available_extensions where name = 'pg_cron') then
    create extension if not exists pg_cron with schema pg_catalog;
    begin
      perform cron.schedule('mark-silent-toolboxes', '30 seconds', call);
    exception when invalid_parameter_value or raise_exception or internal_error then
      -- Before version 1.5 it counts in minutes.
      perform cron.schedule('mark-silent-toolboxes', '* * * * *', call);
    end;
  end if;
exception when others then
  raise warning 'pg_cron is there and cannot be used (%); have private.mark_silent_toolboxes() called every 30 seconds', sqlerrm;
end;
$$;
