-- Which toolbox is an agent's.
create function public.set_agent_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  agent public.agents;
begin
  perform private.require_keys(p, 'agent_id', 'toolbox_id');
  update public.agents a
  set account_tool_environment_id = (p ->> 'toolbox_id')::uuid
  where a.id = (p ->> 'agent_id')::uuid
    and a.account_tool_environment_id is not distinct from (p ->> 'expected')::uuid
    -- Never somebody else's.
    and exists (select from public.account_tool_environments e where e.id = (p ->> 'toolbox_id')::uuid and e.user_id = a.user_id)
  returning * into agent;
  return jsonb_build_object('outcome', case when agent.id is not null then 'set' else 'changed' end);
end;
$$;
comment on function public.set_agent_toolbox is
  'Says which toolbox an agent has, if it still has the expected one (none when absent) and both belong to one user. Answers {outcome}: set or changed.';

revoke all on function public.set_agent_toolbox from public, anon, authenticated, service_role;
grant execute on function public.set_agent_toolbox to service_role;
