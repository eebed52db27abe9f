-- What an operator may set. Without a row, and before the first, the defaults of the functions below hold.
create table private.settings (
  only_row boolean primary key default true check (only_row),
  -- Not less than a day: that long an idempotency key must be remembered.
  retention_days integer not null default 90 check (retention_days between 1 and 36500),
  agent_version text check (agent_version ~ '^[0-9][0-9A-Za-z.+-]{0,63}$')
);

alter table private.settings enable row level security;
revoke all on private.settings from public, anon, authenticated, service_role;

comment on table private.settings is 'Settings of the operator, one row at most.';
comment on column private.settings.only_row is 'Always true: there is one row.';
comment on column private.settings.retention_days is 'Days that events and ended operations are kept.';
comment on column private.settings.agent_version is 'Version that agents should have: to which they are redeployed unless another is given, and older ones are outdated. Null: none is.';

create function private.retention() returns interval
language sql stable
set search_path = ''
as $$
  select make_interval(days => coalesce((select s.retention_days from private.settings s), 90));
$$;
comment on function private.retention is 'How long events and ended operations are kept: 90 days unless private.settings says otherwise.';

create function public.get_agent_version(p jsonb) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object('outcome', 'found', 'version', (select s.agent_version from private.settings s));
$$;
comment on function public.get_agent_version is 'The version that agents should have. Answers {outcome: found, version}: null where the operator wants none.';

revoke all on function private.retention, public.get_agent_version from public, anon, authenticated, service_role;
grant execute on function public.get_agent_version to service_role;
