-- From what an agent shows of an instance to the statuses to write: `observe` of crates/toolbox-domain, in SQL, so that a
-- heartbeat takes one round trip. tests/db compares both over all inputs.

create function private.observe_tool_instance(
  from_status public.account_tool_installation_status_enum,
  observed text,
  desired text,
  out steps public.account_tool_installation_status_enum[],
  out row_gone boolean
)
language plpgsql immutable
set search_path = ''
as $$
declare
  is_leaving constant boolean := from_status in ('pending_delete', 'deleting') or desired = 'absent';
  never_arrived constant boolean := from_status in ('pending_deploy', 'deploying');
  target public.account_tool_installation_status_enum;
  reached public.account_tool_installation_status_enum := from_status;
  next_status public.account_tool_installation_status_enum;
begin
  steps := '{}';
  row_gone := is_leaving and observed = 'absent';
  target := case
    when observed = 'failed' then 'error'
    when is_leaving then case when observed in ('absent', 'removing') then 'deleting' end
    when observed = 'absent' then case
      when from_status = 'error' then null
      when desired = 'stopped' and not never_arrived then 'stopped'
      else 'error'
    end
    when observed = 'stopped' then 'stopped'
    -- While a stop is under way, a container that still runs is no news.
    when from_status = 'stopping' and desired = 'stopped' then null
    when observed = 'preparing' then 'deploying'
    when observed in ('starting', 'running', 'stopping') then observed
  end::public.account_tool_installation_status_enum;
  -- In error the first reason stays until the state is left; every other status leads there in one step.
  while reached <> target loop
    next_status := case
      when target = 'error' then target
      when reached = 'pending_deploy' and target in ('starting', 'running', 'stopped') then 'deploying'
      when reached in ('deploying', 'stopping', 'stopped') and target = 'running' then 'starting'
      when reached <> 'pending_delete' and target = 'deleting' then 'pending_delete'
      else target
    end;
    if not private.tool_instance_transition_allowed(reached, next_status) then
      steps := '{}';
      return;
    end if;
    steps := steps || next_status;
    reached := next_status;
  end loop;
end;
$$;
comment on function private.observe_tool_instance is
  'The legal statuses to write one after another for what was observed (preparing, starting, running, stopping, stopped, removing, absent, failed), and whether the row goes after them.';

create function private.observed_of_phase(phase text) returns text
language sql immutable
set search_path = ''
as $$
  select case
    when phase is null then 'absent'
    when phase in ('pending', 'pulling', 'building', 'creating') then 'preparing'
    when phase = 'error' then 'failed'
    when phase in ('starting', 'running', 'stopping', 'stopped', 'removing') then phase
  end;
$$;
comment on function private.observed_of_phase is
  'What a phase of the DTMA API means for observe_tool_instance; absent without a phase, null for one that is unknown.';

revoke all on function
  private.observe_tool_instance, private.observed_of_phase
  from public, anon, authenticated, service_role;
