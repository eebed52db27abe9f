-- What a rule found, and the messages that tell it: the outbox. Triggers write both in the transaction of the change; the job
-- deliver_alerts of clock/tick sends.
create table public.alerts (
  id uuid primary key default gen_random_uuid(),
  rule_id uuid not null references public.alert_rules (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  kind text not null,
  -- The instance, which may be gone since, or the toolbox.
  subject_id uuid not null,
  subject_name text not null,
  detail jsonb not null check (jsonb_typeof(detail) = 'object' and octet_length(detail::text) <= 8192),
  opened_at timestamptz not null default clock_timestamp(),
  times integer not null default 1,
  last_at timestamptz not null default clock_timestamp(),
  recovering_since timestamptz,
  closed_at timestamptz
);
-- One alert per rule and subject while it lasts.
create unique index alerts_open_idx on public.alerts (subject_id, rule_id) where closed_at is null;
create index alerts_rule_id_idx on public.alerts (rule_id, subject_id, last_at);
create index alerts_user_id_idx on public.alerts (user_id, opened_at);
create index alerts_environment_id_idx on public.alerts (account_tool_environment_id, kind, opened_at);
create index alerts_recovering_idx on public.alerts (recovering_since) where closed_at is null;
create index alerts_closed_at_idx on public.alerts (closed_at);

create table public.alert_messages (
  id uuid primary key default gen_random_uuid(),
  number bigint generated always as identity unique,
  -- Null in a test.
  alert_id uuid references public.alerts (id) on delete cascade,
  channel_id uuid not null references public.alert_channels (id) on delete cascade,
  event text not null default 'test' check (event in ('opened', 'recovered', 'test')),
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed', 'skipped')),
  attempts integer not null default 0,
  due_at timestamptz not null default clock_timestamp(),
  last_status integer,
  last_code text check (last_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint only_tests_have_no_alert check ((event = 'test') = (alert_id is null)),
  constraint finished_messages_have_a_time check ((state = 'pending') = (finished_at is null))
);
create index alert_messages_alert_id_idx on public.alert_messages (alert_id, number);
create index alert_messages_channel_id_idx on public.alert_messages (channel_id);
create index alert_messages_tests_idx on public.alert_messages (finished_at) where alert_id is null;
create index alert_messages_due_idx on public.alert_messages (due_at) where state = 'pending';

alter table public.alerts enable row level security;
create policy "owners read their alerts" on public.alerts
  for select to authenticated using (user_id = (select auth.uid()));
alter table public.alert_messages enable row level security;
create policy "owners read their messages" on public.alert_messages
  for select to authenticated using (
    channel_id in (select c.id from public.alert_channels c where c.user_id = (select auth.uid()))
  );
create policy "owners test their channels" on public.alert_messages
  for insert to authenticated with check (
    event = 'test' and channel_id in (select c.id from public.alert_channels c where c.user_id = (select auth.uid()))
  );

create function private.guard_alert_test() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if 1 < (
    select count(*) from public.alert_messages m
    where m.channel_id = new.channel_id and m.event = 'test' and m.created_at > clock_timestamp() - interval '10 seconds'
  ) then
    raise exception 'A channel is tested once in ten seconds' using errcode = 'check_violation';
  end if;
  return null;
end;
$$;
comment on function private.guard_alert_test() is 'Refuses a second test of a channel within ten seconds.';

create trigger guard_test after insert on public.alert_messages
  for each row when (new.event = 'test') execute function private.guard_alert_test();

revoke all on public.alerts, public.alert_messages from public, anon, authenticated, service_role;
grant select on public.alerts, public.alert_messages to authenticated, service_role;
grant insert (channel_id) on public.alert_messages to authenticated;
revoke all on function private.guard_alert_test() from public, anon, authenticated, service_role;
revoke all on sequence public.alert_messages_number_seq from public, anon, authenticated, service_role;

comment on table public.alerts is 'What rules found. Closed ones are kept as long as private.retention() says.';
comment on column public.alerts.id is 'Named by messages.';
comment on column public.alerts.rule_id is 'The rule.';
comment on column public.alerts.user_id is 'Whose it is; decides who may read.';
comment on column public.alerts.account_tool_environment_id is 'The toolbox.';
comment on column public.alerts.kind is 'The kind of the rule.';
comment on column public.alerts.subject_id is 'What it is about: an instance, which may be gone since, or the toolbox.';
comment on column public.alerts.subject_name is 'Its display name when the alert was opened.';
comment on column public.alerts.detail is 'What was seen, by kind: reason, percentage, versions.';
comment on column public.alerts.opened_at is 'When it began.';
comment on column public.alerts.times is 'How often it was seen: what comes back at once, or happens again within ten minutes, is the same alert.';
comment on column public.alerts.last_at is 'When it was seen last.';
comment on column public.alerts.recovering_since is 'Since when it is no longer so; after a minute of that it is closed.';
comment on column public.alerts.closed_at is 'When it ended; at once for what does not last.';
comment on table public.alert_messages is 'The outbox: what channels are told of alerts, and what became of it.';
comment on column public.alert_messages.id is 'Identity of the message, the same in each attempt.';
comment on column public.alert_messages.number is 'Order of messages.';
comment on column public.alert_messages.alert_id is 'The alert; null in a test.';
comment on column public.alert_messages.channel_id is 'Where it is told; decides who may read.';
comment on column public.alert_messages.event is 'opened, recovered, or test: what a user inserts.';
comment on column public.alert_messages.state is 'pending, delivered, failed after the last attempt (of a test: the first), or skipped because the end was told instead.';
comment on column public.alert_messages.attempts is 'How often delivery was begun.';
comment on column public.alert_messages.due_at is 'When it is tried, or tried again; while it is being sent, when it is given up on and tried again.';
comment on column public.alert_messages.last_status is 'HTTP status of the last answer; null without one.';
comment on column public.alert_messages.last_code is 'Stable code of what went wrong last.';
comment on column public.alert_messages.created_at is 'When it was written.';
comment on column public.alert_messages.finished_at is 'When it was delivered or given up.';
