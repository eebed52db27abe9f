-- What the heartbeat needs to know of a toolbox: its keys, its certificate, its order of messages, its silence.

-- Only a text that is a certificate's PEM has a fingerprint; no input makes this fail.
create function private.certificate_sha256(pem text) returns text
language sql immutable
set search_path = ''
as $$
  select encode(sha256(decode(body, 'base64')), 'hex')
  from (
    select regexp_replace(
      substring(pem from '^-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$'), '\s', '', 'g'
    )
  ) as text_of_pem (body)
  where body ~ '^([A-Za-z0-9+/]{4})+$' or body ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)$';
$$;
comment on function private.certificate_sha256 is 'SHA-256 in hex of the one certificate (DER) in a PEM text; null when it is none.';

alter table public.account_tool_environments
  add column dtma_certificate_sha256 text,
  add column dtma_key_id text check (dtma_key_id ~ '^[0-9a-f]{8}\.[0-9]{1,9}$'),
  add column dtma_key_epoch integer not null default 0 check (dtma_key_epoch >= 0),
  add column dtma_offered_key_id text check (dtma_offered_key_id ~ '^[0-9a-f]{8}\.[0-9]{1,9}$'),
  add column dtma_previous_token_hash text check (dtma_previous_token_hash ~ '^[0-9a-f]{64}$'),
  add column dtma_previous_token_expires_at timestamptz,
  add column dtma_boot bigint check (dtma_boot > 0),
  add column dtma_sequence bigint check (dtma_sequence > 0),
  add column heartbeat_interval_seconds integer check (heartbeat_interval_seconds between 1 and 300),
  add column unresponsive_since timestamptz,
  add constraint boot_and_sequence_go_together check ((dtma_boot is null) = (dtma_sequence is null));

-- As before, and two columns that follow from others, whoever writes those.
create or replace function private.guard_tool_environment() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    if new.status <> 'pending_provision' then
      raise exception 'A toolbox starts in pending_provision, not in %', new.status using errcode = 'check_violation';
    end if;
    new.dtma_certificate_sha256 := private.certificate_sha256(new.dtma_certificate_pem);
    return new;
  end if;
  if new.id <> old.id or new.user_id <> old.user_id then
    raise exception 'A toolbox keeps its id and its owner' using errcode = 'check_violation';
  end if;
  if new.dtma_certificate_pem is distinct from old.dtma_certificate_pem then
    new.dtma_certificate_sha256 := private.certificate_sha256(new.dtma_certificate_pem);
  end if;
  if new.status <> old.status then
    if not private.tool_environment_transition_allowed(old.status, new.status) then
      raise exception 'Illegal transition of a toolbox: % -> %', old.status, new.status using errcode = 'check_violation';
    end if;
    new.status_changed_at := clock_timestamp();
    new.unresponsive_since := case new.status
      when 'unresponsive' then coalesce(new.unresponsive_since, new.last_heartbeat_at, clock_timestamp())
    end;
  end if;
  return new;
end;
$$;
comment on function private.guard_tool_environment() is
  'Refuses illegal transitions and changes of identity, whoever writes; keeps the certificate''s fingerprint and unresponsive_since.';
update public.account_tool_environments set dtma_certificate_sha256 = private.certificate_sha256(dtma_certificate_pem)
where dtma_certificate_pem is not null;

-- A heartbeat rewrites its row: room on the page keeps that from touching the indexes.
alter table public.account_tool_environments set (fillfactor = 70);

-- The hashes and the order of messages are for the RPCs alone.
grant select (
  dtma_certificate_sha256, dtma_key_id, dtma_key_epoch, heartbeat_interval_seconds, unresponsive_since
) on public.account_tool_environments to authenticated;

comment on column public.account_tool_environments.dtma_certificate_sha256 is 'SHA-256 in hex of the pinned certificate (DER). Kept by a trigger.';
comment on column public.account_tool_environments.dtma_key_id is 'Names the key pair the agent proved last: fingerprint of the root secret, dot, epoch. Null: the current root, epoch 0. No secret.';
comment on column public.account_tool_environments.dtma_key_epoch is 'Epoch of the keys the agent should have; a rotation or an enrolment increments it.';
comment on column public.account_tool_environments.dtma_offered_key_id is 'Names the key pair whose hash is in dtma_token_hash, offered and not used yet. Not readable by users.';
comment on column public.account_tool_environments.dtma_previous_token_hash is 'SHA-256 in hex of the key before the one in dtma_token_hash. Not readable by users.';
comment on column public.account_tool_environments.dtma_previous_token_expires_at is 'Until then the previous key counts; null while the new one was not used. Not readable by users.';
comment on column public.account_tool_environments.dtma_boot is 'Start of the agent that sent the last accepted heartbeat. Not readable by users.';
comment on column public.account_tool_environments.dtma_sequence is 'Number of the last accepted heartbeat within that start. Not readable by users.';
comment on column public.account_tool_environments.heartbeat_interval_seconds is 'Seconds within which the agent promised its next heartbeat.';
comment on column public.account_tool_environments.unresponsive_since is 'When the agent was last heard of, while the toolbox is unresponsive: since then the states of its instances are unknown. Kept by a trigger.';

-- Single-use tokens by which a machine learns its keys. Only their hashes are kept.
create table private.toolbox_enrolments (
  token_hash text primary key check (token_hash ~ '^[0-9a-f]{64}$'),
  toolbox_id uuid not null references public.account_tool_environments (id) on delete cascade,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  used_at timestamptz,
  used_certificate_sha256 text check (used_certificate_sha256 ~ '^[0-9a-f]{64}$'),
  constraint used_with_a_certificate check ((used_at is null) = (used_certificate_sha256 is null))
);
create index toolbox_enrolments_toolbox_id_idx on private.toolbox_enrolments (toolbox_id);
alter table private.toolbox_enrolments enable row level security;
revoke all on private.toolbox_enrolments from public, anon, authenticated, service_role;
revoke all on function private.certificate_sha256 from public, anon, authenticated, service_role;

comment on table private.toolbox_enrolments is 'Enrolment tokens of toolboxes, by hash. Single use, with an end.';
comment on column private.toolbox_enrolments.token_hash is 'SHA-256 in hex of the token.';
comment on column private.toolbox_enrolments.toolbox_id is 'The toolbox it enrols.';
comment on column private.toolbox_enrolments.created_at is 'When it was made.';
comment on column private.toolbox_enrolments.expires_at is 'From then on it is refused.';
comment on column private.toolbox_enrolments.used_at is 'When it was used; null while it is fresh.';
comment on column private.toolbox_enrolments.used_certificate_sha256 is 'The certificate it was used with; the only one it may be used with again.';
