-- Where a user is told of alerts. Users write their own through PostgREST; the secret of a webhook is written and never read.
create table public.alert_channels (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f]'),
  kind text not null check (kind in ('webhook', 'email')),
  -- The address is checked before each call.
  webhook_url text check (webhook_url ~ '^https://[^\s@#\\]+$' and char_length(webhook_url) <= 2000),
  -- Standard Webhooks: 24 to 64 random bytes. Users write it in plain text, and a job of the clock seals it.
  webhook_secret text,
  webhook_secret_key_id text check (webhook_secret_key_id ~ '^[0-9a-f]{8}$'),
  is_enabled boolean not null default true,
  quiet_from time,
  quiet_until time,
  time_zone text not null default 'UTC' check (char_length(time_zone) between 1 and 64),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint webhook_secret_is_standard_or_sealed check (
    case when webhook_secret_key_id is null
      then webhook_secret ~ '^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
      else webhook_secret ~ '^[A-Za-z0-9+/]{40,255}$'
    end
  ),
  -- Mail goes to the user's own confirmed address: nobody can have mail sent to others.
  constraint only_webhooks_have_a_target check (
    (kind = 'webhook') = (webhook_url is not null) and (kind = 'webhook') = (webhook_secret is not null)
  ),
  constraint quiet_hours_have_a_beginning_and_an_end check (
    (quiet_from is null) = (quiet_until is null) and quiet_from is distinct from quiet_until or quiet_from is null and quiet_until is null
  )
);
create index alert_channels_user_id_idx on public.alert_channels (user_id);

-- For the job that seals.
create index alert_channels_webhook_secret_key_idx on public.alert_channels (coalesce(webhook_secret_key_id, 'plain'))
  where webhook_secret is not null;

create function private.is_time_zone(name text) returns boolean
language plpgsql stable
set search_path = ''
as $$
begin
  perform now() at time zone name;
  return true;
exception when invalid_parameter_value then
  return false;
end;
$$;
comment on function private.is_time_zone is 'Whether Postgres knows the time zone.';

create function private.guard_alert_channel() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if not private.is_time_zone(new.time_zone) then
    raise exception 'Unknown time zone "%"; use a name such as Europe/Berlin', new.time_zone using errcode = 'check_violation';
  end if;
  if tg_op = 'INSERT' and 20 < (select count(*) from public.alert_channels c where c.user_id = new.user_id) then
    raise exception 'A user may have 20 channels at most' using errcode = 'check_violation';
  end if;
  return null;
end;
$$;
comment on function private.guard_alert_channel() is 'Refuses unknown time zones and the 21st channel of a user.';

create function private.forget_key_of_secret() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- Who seals writes both; users write the secret alone.
  if new.webhook_secret is distinct from old.webhook_secret and new.webhook_secret_key_id is not distinct from old.webhook_secret_key_id then
    new.webhook_secret_key_id := null;
  end if;
  return new;
end;
$$;
comment on function private.forget_key_of_secret() is 'A secret that a user writes is not sealed.';

create trigger forget_key_of_secret before update on public.alert_channels
  for each row execute function private.forget_key_of_secret();
create trigger guard after insert or update on public.alert_channels
  for each row execute function private.guard_alert_channel();
create trigger touch_updated_at before update on public.alert_channels
  for each row execute function private.touch_updated_at();

create function private.is_quiet(channel public.alert_channels) returns boolean
language plpgsql stable
set search_path = ''
as $$
declare
  -- A zone that Postgres has forgotten since must not hold up every other channel.
  local_time constant time := now() at time zone case when private.is_time_zone(channel.time_zone) then channel.time_zone else 'UTC' end;
begin
  return case
    when channel.quiet_from is null then false
    when channel.quiet_from < channel.quiet_until then local_time >= channel.quiet_from and local_time < channel.quiet_until
    else local_time >= channel.quiet_from or local_time < channel.quiet_until
  end;
end;
$$;
comment on function private.is_quiet is 'Whether it is one of the channel''s quiet hours, which may lie across midnight.';

alter table public.alert_channels enable row level security;
create policy "owners read their channels" on public.alert_channels
  for select to authenticated using (user_id = (select auth.uid()));
create policy "owners make their channels" on public.alert_channels
  for insert to authenticated with check (user_id = (select auth.uid()));
create policy "owners change their channels" on public.alert_channels
  for update to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "owners remove their channels" on public.alert_channels
  for delete to authenticated using (user_id = (select auth.uid()));

revoke all on public.alert_channels from public, anon, authenticated, service_role;
grant select (
  id, user_id, name, kind, webhook_url, is_enabled, quiet_from, quiet_until, time_zone, created_at, updated_at
), insert (name, kind, webhook_url, webhook_secret, is_enabled, quiet_from, quiet_until, time_zone),
  update (name, webhook_url, webhook_secret, is_enabled, quiet_from, quiet_until, time_zone),
  delete on public.alert_channels to authenticated;
revoke all on function private.is_time_zone, private.guard_alert_channel(), private.forget_key_of_secret(), private.is_quiet
  from public, anon, authenticated, service_role;

comment on table public.alert_channels is 'Where users are told of alerts: webhooks, and mail to their own address. 20 a user at most.';
comment on column public.alert_channels.id is 'Named by rules.';
comment on column public.alert_channels.user_id is 'The owner; never changes.';
comment on column public.alert_channels.name is 'Display name, written by the owner.';
comment on column public.alert_channels.kind is 'webhook, or email: to the confirmed address of the user''s account.';
comment on column public.alert_channels.webhook_url is 'Where the webhook is sent; null for mail.';
comment on column public.alert_channels.webhook_secret is 'whsec_ and the base64 of 24 to 64 bytes, with which messages are signed. Written by the owner, readable by nobody. Sealed within a minute.';
comment on column public.alert_channels.webhook_secret_key_id is 'Names the key that webhook_secret is sealed with; null: it is not yet. No secret. Not readable by users.';
comment on column public.alert_channels.is_enabled is 'Without it the channel is told of no alert; messages that wait are sent when it comes back. A test is sent all the same.';
comment on column public.alert_channels.quiet_from is 'From then on, in its time zone, messages wait.';
comment on column public.alert_channels.quiet_until is 'Until then.';
comment on column public.alert_channels.time_zone is 'Name of the time zone of the quiet hours, such as Europe/Berlin.';
comment on column public.alert_channels.created_at is 'When it was made.';
comment on column public.alert_channels.updated_at is 'Kept by a trigger.';
