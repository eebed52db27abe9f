-- Whether the SSH server of a machine greets: checked at most once a minute, whoever asks and in how many functions.
create table private.ssh_checks (
  account_tool_environment_id uuid primary key references public.account_tool_environments (id) on delete cascade,
  begun_at timestamptz not null default clock_timestamp(),
  seen jsonb check (jsonb_typeof(seen) = 'object' and octet_length(seen::text) <= 4096)
);
comment on table private.ssh_checks is 'The last check of each machine''s SSH server.';
comment on column private.ssh_checks.account_tool_environment_id is 'The toolbox.';
comment on column private.ssh_checks.begun_at is 'When the check began; the next may begin a minute later.';
comment on column private.ssh_checks.seen is 'What it saw, as toolbox-dtma-console answers it; null while it goes on.';

create function public.begin_ssh_check(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
begin
  perform private.require_keys(p, 'toolbox_id');
  perform from public.account_tool_environments e where e.id = toolbox_id for key share;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  insert into private.ssh_checks as c (account_tool_environment_id) values (toolbox_id)
    on conflict (account_tool_environment_id) do update set begun_at = excluded.begun_at, seen = null
    where c.begun_at <= excluded.begun_at - interval '1 minute';
  if found then
    return jsonb_build_object('outcome', 'due');
  end if;
  return jsonb_build_object(
    'outcome', 'recent',
    'seen', (select c.seen from private.ssh_checks c where c.account_tool_environment_id = toolbox_id)
  );
end;
$$;
comment on function public.begin_ssh_check is
  'Asks to check the SSH server of a machine. Answers {outcome}: due, once a minute; recent with what the last check saw; or not_found.';

create function public.record_ssh_check(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'seen');
  update private.ssh_checks c set seen = p -> 'seen'
    where c.account_tool_environment_id = (p ->> 'toolbox_id')::uuid;
  return jsonb_build_object('outcome', case when found then 'recorded' else 'not_found' end);
end;
$$;
comment on function public.record_ssh_check is 'Keeps what a check saw. Answers {outcome}: recorded or not_found.';

alter table private.ssh_checks enable row level security;
revoke all on private.ssh_checks from public, anon, authenticated, service_role;
revoke all on function public.begin_ssh_check from public, anon, authenticated, service_role;
revoke all on function public.record_ssh_check from public, anon, authenticated, service_role;
grant execute on function public.begin_ssh_check to service_role;
grant execute on function public.record_ssh_check to service_role;
