-- Of what a user wants to be told, and where. Users write their own through PostgREST.
create table public.alert_rules (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  channel_id uuid not null references public.alert_channels (id) on delete cascade,
  account_tool_environment_id uuid references public.account_tool_environments (id) on delete cascade,
  kind text not null check (kind in (
    'toolbox_silent', 'instance_error', 'instance_flapping', 'disk_full', 'certificate_changed', 'tools_changed', 'agent_outdated'
  )),
  disk_percent integer check (disk_percent between 10 and 99),
  is_enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint only_disks_have_a_percentage check (kind = 'disk_full' or disk_percent is null)
);
create index alert_rules_user_id_idx on public.alert_rules (user_id);
create index alert_rules_channel_id_idx on public.alert_rules (channel_id);
create index alert_rules_environment_id_idx on public.alert_rules (account_tool_environment_id);

create function private.guard_alert_rule() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if not exists (select from public.alert_channels c where c.id = new.channel_id and c.user_id = new.user_id)
    or new.account_tool_environment_id is not null and not exists (
      select from public.account_tool_environments e where e.id = new.account_tool_environment_id and e.user_id = new.user_id
    )
  then
    -- As if it did not exist: whose it is is nobody's business.
    raise exception 'A rule needs a channel and a toolbox of its own user' using errcode = 'foreign_key_violation';
  end if;
  if tg_op = 'INSERT' and 100 < (select count(*) from public.alert_rules r where r.user_id = new.user_id) then
    raise exception 'A user may have 100 rules at most' using errcode = 'check_violation';
  end if;
  return null;
end;
$$;
comment on function private.guard_alert_rule() is
  'Refuses channels and toolboxes of others, and the 101st rule of a user.';

create trigger guard after insert or update on public.alert_rules
  for each row execute function private.guard_alert_rule();
create trigger touch_updated_at before update on public.alert_rules
  for each row execute function private.touch_updated_at();

alter table public.alert_rules enable row level security;
create policy "owners read their rules" on public.alert_rules
  for select to authenticated using (user_id = (select auth.uid()));
create policy "owners make their rules" on public.alert_rules
  for insert to authenticated with check (user_id = (select auth.uid()));
create policy "owners change their rules" on public.alert_rules
  for update to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "owners remove their rules" on public.alert_rules
  for delete to authenticated using (user_id = (select auth.uid()));

revoke all on public.alert_rules from public, anon, authenticated, service_role;
grant select, insert (channel_id, account_tool_environment_id, kind, disk_percent, is_enabled),
  update (channel_id, disk_percent, is_enabled), delete on public.alert_rules to authenticated;
revoke all on function private.guard_alert_rule() from public, anon, authenticated, service_role;

comment on table public.alert_rules is 'Of what users want to be told, and where. Changes after the rule was made count. 100 a user at most.';
comment on column public.alert_rules.id is 'Named by alerts.';
comment on column public.alert_rules.user_id is 'The owner; never changes.';
comment on column public.alert_rules.channel_id is 'Where the user is told.';
comment on column public.alert_rules.account_tool_environment_id is 'The toolbox it is about; null for all of the user''s.';
comment on column public.alert_rules.kind is 'toolbox_silent, instance_error, instance_flapping, disk_full, certificate_changed, tools_changed or agent_outdated.';
comment on column public.alert_rules.disk_percent is 'From which use of the disk on; null: 90.';
comment on column public.alert_rules.is_enabled is 'Without it nothing new is told.';
comment on column public.alert_rules.created_at is 'When it was made.';
comment on column public.alert_rules.updated_at is 'Kept by a trigger.';
