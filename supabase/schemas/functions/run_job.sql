-- The jobs of the route clock/tick that are the database's. Each takes rows that nobody holds and skips the others, so
-- two ticks at once share the work; what belongs to a row it has taken is waited for, a second at most. Each does a bounded
-- part; the next tick goes on.

create function public.run_job(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  count integer;
begin
  perform private.require_keys(p, 'job');
  count := case p ->> 'job'
    when 'mark_silent_toolboxes' then private.mark_silent_toolboxes()
    when 'end_expired_leases' then private.end_expired_leases()
    when 'delete_old_events' then private.delete_old_events()
    when 'delete_old_toolbox_events' then private.delete_old_toolbox_events()
    when 'settle_alerts' then private.settle_alerts()
    when 'delete_old_alerts' then private.delete_old_alerts()
    when 'delete_old_operations' then private.delete_old_operations()
  end;
  if count is null then
    raise exception 'Unknown job in p: "%"', p ->> 'job' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object('outcome', 'done', 'count', count);
end;
$$;
comment on function public.run_job is
  'Does a bounded part of one job: mark_silent_toolboxes, end_expired_leases, delete_old_events, delete_old_toolbox_events, settle_alerts, delete_old_alerts or delete_old_operations. Answers {outcome: done, count}.';

revoke all on function public.run_job from public, anon, authenticated, service_role;
grant execute on function public.run_job to service_role;
