-- An operation whose outcome nobody recorded does not stay in progress for ever. Its lease only decides when the next
-- operation may begin: a heartbeat may still bring the outcome, and agents build for up to an hour.

create function private.end_expired_leases() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  target uuid;
  ended integer := 0;
begin
  -- Who records an outcome locks the toolbox, then the instance. What is locked is being dealt with, so nothing is
  -- waited for here.
  for target in
    select o.tool_instance_id
    from public.tool_instance_operations o
    join public.account_tool_environments e on e.id = o.account_tool_environment_id
    where o.state = 'in_progress' and o.lease_expires_at < clock_timestamp() - interval '1 hour'
    order by o.lease_expires_at
    limit 200
    for update of o skip locked
    for key share of e skip locked
  loop
    perform from public.account_tool_instances i where i.id = target for update skip locked;
    if not found and exists (select from public.account_tool_instances i where i.id = target) then
      continue;
    end if;
    perform private.abandon_expired_operations(target);
    ended := ended + 1;
  end loop;
  return ended;
end;
$$;
comment on function private.end_expired_leases is
  'Abandons operations that recorded no outcome within an hour after their lease, with an event each; 200 a call; returns how many.';

revoke all on function private.end_expired_leases from public, anon, authenticated, service_role;
