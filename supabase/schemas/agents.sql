-- Agents of users that work with tools; each may have a toolbox of its own.
create table public.agents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f]'),
  account_tool_environment_id uuid references public.account_tool_environments (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index agents_user_id_idx on public.agents (user_id);
create index agents_account_tool_environment_id_idx on public.agents (account_tool_environment_id);

create function private.guard_agent() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if 100 < (select count(*) from public.agents a where a.user_id = new.user_id) then
    raise exception 'A user may have 100 agents at most' using errcode = 'check_violation';
  end if;
  return null;
end;
$$;
comment on function private.guard_agent() is 'Refuses the 101st agent of a user.';

create trigger guard after insert on public.agents
  for each row execute function private.guard_agent();
create trigger touch_updated_at before update on public.agents
  for each row execute function private.touch_updated_at();

alter table public.agents enable row level security;
create policy "owners read their agents" on public.agents
  for select to authenticated using (user_id = (select auth.uid()));
create policy "owners make agents" on public.agents
  for insert to authenticated with check (user_id = (select auth.uid()));
create policy "owners rename their agents" on public.agents
  for update to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "owners remove their agents" on public.agents
  for delete to authenticated using (user_id = (select auth.uid()));

-- Which toolbox is an agent's, the control plane alone writes: it may be one that is paid for.
revoke all on public.agents from public, anon, authenticated, service_role;
grant select, insert (name), update (name), delete on public.agents to authenticated;
grant select on public.agents to service_role;

revoke all on function private.guard_agent() from public, anon, authenticated, service_role;

comment on table public.agents is 'Agents of users. An agent''s tool environment is a toolbox of the same user.';
comment on column public.agents.id is 'The agent id.';
comment on column public.agents.user_id is 'The owner; never changes.';
comment on column public.agents.name is 'Display name, written by the owner.';
comment on column public.agents.account_tool_environment_id is 'The toolbox that was made for the agent; null while it has none. Written by set_agent_toolbox.';
comment on column public.agents.created_at is 'When it was made.';
comment on column public.agents.updated_at is 'Kept by a trigger.';
