-- Toolboxes: machines that run Docker and DTMA for one account.
create type public.account_tool_environment_status_enum as enum (
  'pending_provision', 'provisioning', 'awaiting_heartbeat', 'active', 'unresponsive',
  'pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_provisioning', 'error_deprovisioning'
);

create table public.account_tool_environments (
  id uuid primary key default gen_random_uuid(),
  -- A row outlives its owner until its droplet is gone.
  user_id uuid references auth.users (id) on delete set null,
  kind text not null default 'byo' check (kind in ('byo', 'droplet')),
  name text not null check (char_length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f]'),
  description text check (char_length(description) <= 2000),
  status public.account_tool_environment_status_enum not null default 'pending_provision',
  status_changed_at timestamptz not null default now(),
  region_slug text,
  size_slug text,
  image_slug text,
  do_droplet_id bigint unique,
  do_droplet_name text,
  public_ip_address inet,
  address_is_told boolean not null default false,
  dtma_port integer not null default 30000 check (dtma_port between 1 and 65535),
  dtma_certificate_pem text check (dtma_certificate_pem like '-----BEGIN CERTIFICATE-----%' and octet_length(dtma_certificate_pem) <= 16384),
  dtma_certificate_sha256 text,
  ssh_host_key text check (ssh_host_key ~ '^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$'),
  ssh_port integer not null default 22 check (ssh_port between 1 and 65535),
  -- The keys of the agent, by name and by hash.
  dtma_key_id text check (dtma_key_id ~ '^[0-9a-f]{8}\.[0-9]{1,9}$'),
  dtma_key_epoch integer not null default 0 check (dtma_key_epoch >= 0),
  dtma_token_hash text check (dtma_token_hash ~ '^[0-9a-f]{64}$'),
  dtma_offered_key_id text check (dtma_offered_key_id ~ '^[0-9a-f]{8}\.[0-9]{1,9}$'),
  dtma_previous_token_hash text check (dtma_previous_token_hash ~ '^[0-9a-f]{64}$'),
  dtma_previous_token_expires_at timestamptz,
  -- What the agent said last, and the order of its messages.
  dtma_last_known_version text,
  dtma_api_version integer check (dtma_api_version > 0),
  dtma_health_details_json jsonb,
  last_heartbeat_at timestamptz,
  instances_confirmed_at timestamptz,
  heartbeat_interval_seconds integer check (heartbeat_interval_seconds between 1 and 300),
  dtma_boot bigint check (dtma_boot > 0),
  dtma_sequence bigint check (dtma_sequence > 0),
  unresponsive_since timestamptz,
  provisioning_error_message text,
  -- What is done with the droplet now, and what it costs.
  provisioning_step text check (provisioning_step in (
    'firewall', 'machine', 'boot', 'agent', 'clean_machine', 'clean_firewall', 'remove_machine', 'remove_firewall',
    'stop', 'resize', 'start', 'reboot'
  )),
  provisioning_step_since timestamptz,
  provisioning_problem text check (provisioning_problem <> ''),
  wanted_size_slug text,
  wanted_price_hourly_usd numeric(12, 5) check (wanted_price_hourly_usd >= 0),
  wanted_price_monthly_usd numeric(12, 2) check (wanted_price_monthly_usd >= 0),
  price_hourly_usd numeric(12, 5) check (price_hourly_usd >= 0),
  price_monthly_usd numeric(12, 2) check (price_monthly_usd >= 0),
  price_since timestamptz,
  cost_before_usd numeric(14, 5) not null default 0 check (cost_before_usd >= 0),
  -- The work of whoever advances it.
  provisioning_tries integer not null default 0 check (provisioning_tries >= 0),
  provisioning_due_at timestamptz,
  provisioning_lease bigint not null default 0,
  provisioning_holder text check (char_length(provisioning_holder) <= 200),
  provisioning_leased_until timestamptz not null default '-infinity',
  machine_asked_at timestamptz,
  do_firewall_id text,
  do_action_id bigint,
  order_key text check (char_length(order_key) between 1 and 200),
  enrolled_from inet,
  looked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint error_has_a_reason check (
    (status in ('error_provisioning', 'error_deprovisioning'))
    = (provisioning_error_message is not null and provisioning_error_message <> '')
  ),
  constraint boot_and_sequence_go_together check ((dtma_boot is null) = (dtma_sequence is null)),
  constraint droplets_are_described check (
    kind = 'byo' or region_slug is not null and size_slug is not null and image_slug is not null
  ),
  constraint steps_are_of_droplets check (kind = 'droplet' or provisioning_step is null),
  constraint steps_have_a_begin check ((provisioning_step is null) = (provisioning_step_since is null)),
  constraint one_toolbox_per_order unique (user_id, order_key)
)
-- A heartbeat rewrites its row: room on the page keeps that from touching the indexes.
with (fillfactor = 70);
create index account_tool_environments_user_id_idx on public.account_tool_environments (user_id);
create index account_tool_environments_status_idx on public.account_tool_environments (status);
create index account_tool_environments_due_idx on public.account_tool_environments (provisioning_due_at)
  where provisioning_due_at is not null;

-- The same edges as EnvironmentStatus::exits of crates/toolbox-domain; tests/db compares them.
create function private.tool_environment_transition_allowed(
  from_status public.account_tool_environment_status_enum,
  to_status public.account_tool_environment_status_enum
) returns boolean
language sql immutable
set search_path = ''
as $$
  select case from_status
    when 'pending_provision' then to_status in ('provisioning', 'error_provisioning', 'pending_deprovision')
    when 'provisioning' then to_status in ('awaiting_heartbeat', 'error_provisioning', 'pending_deprovision')
    when 'awaiting_heartbeat' then to_status in ('active', 'error_provisioning', 'pending_deprovision')
    when 'active' then to_status in ('unresponsive', 'error_provisioning', 'pending_deprovision')
    when 'unresponsive' then to_status in ('active', 'error_provisioning', 'pending_deprovision')
    when 'pending_deprovision' then to_status in ('deprovisioning', 'error_deprovisioning')
    when 'deprovisioning' then to_status in ('deprovisioned', 'error_deprovisioning')
    when 'error_provisioning' then to_status in ('provisioning', 'active', 'pending_deprovision')
    when 'error_deprovisioning' then to_status in ('deprovisioning', 'pending_deprovision')
    when 'deprovisioned' then false
  end;
$$;
comment on function private.tool_environment_transition_allowed is 'Whether a toolbox may go from one status to another; staying is no transition.';

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

create function private.guard_tool_environment() returns trigger
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
  if new.id <> old.id or new.kind <> old.kind or new.user_id is distinct from old.user_id and (
    -- It loses its owner only when there is no such user any more; the foreign key does that.
    new.user_id is not null or exists (select from auth.users u where u.id = old.user_id)
  ) then
    raise exception 'A toolbox keeps its id, its kind and its owner' using errcode = 'check_violation';
  end if;
  if new.user_id is null and new.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning') then
    new.status := 'pending_deprovision';
    new.provisioning_error_message := null;
  end if;
  if new.dtma_certificate_pem is distinct from old.dtma_certificate_pem then
    new.dtma_certificate_sha256 := private.certificate_sha256(new.dtma_certificate_pem);
  end if;
  if new.status = 'deprovisioned' and new.kind = 'droplet' and new.do_droplet_id is not null then
    raise exception 'The droplet of toolbox % is not known to be gone', new.id using errcode = 'check_violation';
  end if;
  if new.name <> old.name then
    -- Its droplet gets the name too, at the next look.
    new.provisioning_due_at := least(new.provisioning_due_at, case when new.provisioning_due_at is not null then clock_timestamp() end);
  end if;
  if new.status <> old.status then
    if not private.tool_environment_transition_allowed(old.status, new.status) then
      raise exception 'Illegal transition of a toolbox: % -> %', old.status, new.status using errcode = 'check_violation';
    end if;
    new.status_changed_at := clock_timestamp();
    new.unresponsive_since := case
      when new.status = 'unresponsive' or new.status = 'error_provisioning' and old.status in ('active', 'unresponsive')
        then coalesce(old.unresponsive_since, new.last_heartbeat_at, clock_timestamp())
      -- A machine that replaces one that is gone has not reported yet.
      when new.status in ('provisioning', 'awaiting_heartbeat', 'error_provisioning') then old.unresponsive_since
    end;
    if new.kind = 'droplet' then
      if new.status = 'pending_deprovision' then
        -- Whoever asks for the end, and however: the machine goes first.
        new.provisioning_step := 'remove_machine';
        new.provisioning_due_at := clock_timestamp();
        new.provisioning_problem := null;
        new.provisioning_tries := 0;
        new.wanted_size_slug := null;
        new.do_action_id := null;
        new.order_key := null;
      end if;
    end if;
  end if;
  if new.status = 'active' and new.provisioning_step = 'agent' then
    -- It reports: nothing is waited for any more. From now on somebody sees now and then whether the droplet is there.
    new.provisioning_step := null;
    new.provisioning_problem := null;
    new.provisioning_tries := 0;
    new.provisioning_due_at := clock_timestamp() + interval '6 hours';
  end if;
  if new.provisioning_step is distinct from old.provisioning_step then
    new.provisioning_step_since := case when new.provisioning_step is not null then clock_timestamp() end;
  end if;
  return new;
end;
$$;
comment on function private.guard_tool_environment() is
  'Refuses illegal transitions and changes of identity, whoever writes; keeps the certificate''s fingerprint and unresponsive_since; a droplet whose toolbox shall end, or whose owner is gone, is due for removal.';

create function private.keep_machines_seen() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if old.kind = 'droplet' and old.status <> 'deprovisioned' then
    raise exception 'The droplet of toolbox % may still run and be paid for; deprovision it instead', old.id
      using errcode = 'check_violation';
  end if;
  return old;
end;
$$;
comment on function private.keep_machines_seen() is 'Refuses to delete the row of a toolbox whose droplet may live, whoever deletes.';

create function private.remove_ownerless_byo() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  delete from public.account_tool_environments e where e.id = new.id;
  return null;
end;
$$;
comment on function private.remove_ownerless_byo() is 'Removes the row of a machine that its user brought when the user is gone: there is no droplet to wait for.';

create trigger guard before insert or update on public.account_tool_environments
  for each row execute function private.guard_tool_environment();
create trigger keep_machines_seen before delete on public.account_tool_environments
  for each row execute function private.keep_machines_seen();
create trigger remove_ownerless_byo after update of user_id on public.account_tool_environments
  for each row when (new.user_id is null and new.kind = 'byo') execute function private.remove_ownerless_byo();
create trigger touch_updated_at before update on public.account_tool_environments
  for each row execute function private.touch_updated_at();

alter table public.account_tool_environments enable row level security;
create policy "owners read their toolboxes" on public.account_tool_environments
  for select to authenticated using (user_id = (select auth.uid()));
create policy "owners rename their toolboxes" on public.account_tool_environments
  for update to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

-- Per column: a browser never writes a status or an address, and never reads a token, not even hashed. The RPCs alone write
-- hashes and the order of messages. They alone write the certificate, the epoch and the id too, which say whose key a machine
-- gets: the service role does not. So the holder of the secret key cannot put another certificate beside a key that is in use.
revoke all on public.account_tool_environments from public, anon, authenticated, service_role;
grant select (
  id, user_id, kind, name, description, status, status_changed_at, region_slug, size_slug, image_slug, do_droplet_id,
  do_droplet_name, public_ip_address, address_is_told, dtma_port, dtma_certificate_pem, dtma_certificate_sha256, ssh_host_key,
  ssh_port, dtma_key_id, dtma_key_epoch, dtma_last_known_version, dtma_api_version, dtma_health_details_json, last_heartbeat_at,
  instances_confirmed_at, heartbeat_interval_seconds, unresponsive_since, provisioning_error_message, provisioning_step,
  provisioning_step_since, provisioning_problem, wanted_size_slug, wanted_price_hourly_usd, wanted_price_monthly_usd,
  price_hourly_usd, price_monthly_usd, price_since, cost_before_usd, created_at, updated_at
), update (name, description) on public.account_tool_environments to authenticated;
grant select, delete on public.account_tool_environments to service_role;
grant insert (
  user_id, name, description, status, region_slug, size_slug, image_slug, do_droplet_id, do_droplet_name, public_ip_address,
  dtma_port, ssh_port
), update (
  name, description, status, region_slug, size_slug, image_slug, do_droplet_id, do_droplet_name, public_ip_address,
  dtma_port, ssh_port, provisioning_error_message
) on public.account_tool_environments to service_role;
revoke all on function
  private.tool_environment_transition_allowed, private.certificate_sha256, private.guard_tool_environment(),
  private.keep_machines_seen(), private.remove_ownerless_byo()
  from public, anon, authenticated, service_role;

comment on table public.account_tool_environments is 'Toolboxes: machines (a droplet, or one the user brings) that run Docker and DTMA for one account.';
comment on column public.account_tool_environments.id is 'The toolbox id; the keys of its DTMA are derived from it.';
comment on column public.account_tool_environments.user_id is 'The owner; never changes. Null when the user was deleted, until the droplet is gone.';
comment on column public.account_tool_environments.kind is 'droplet: bought and removed by the control plane; byo: a machine that the user brings.';
comment on column public.account_tool_environments.name is 'Display name, written by the owner.';
comment on column public.account_tool_environments.description is 'Free text, written by the owner.';
comment on column public.account_tool_environments.status is 'Lifecycle; a trigger refuses illegal transitions.';
comment on column public.account_tool_environments.status_changed_at is 'Kept by a trigger.';
comment on column public.account_tool_environments.region_slug is 'DigitalOcean region; null for a machine the user brings.';
comment on column public.account_tool_environments.size_slug is 'DigitalOcean size; null for a machine the user brings.';
comment on column public.account_tool_environments.image_slug is 'DigitalOcean image; null for a machine the user brings.';
comment on column public.account_tool_environments.do_droplet_id is 'DigitalOcean id of the droplet.';
comment on column public.account_tool_environments.do_droplet_name is 'Name of the droplet at DigitalOcean.';
comment on column public.account_tool_environments.public_ip_address is 'Where DTMA answers.';
comment on column public.account_tool_environments.address_is_told is 'Whether that address is the one that an enrolment came from: the next enrolment then tells it anew. One that somebody gave stays.';
comment on column public.account_tool_environments.dtma_port is 'Port of DTMA on that address.';
comment on column public.account_tool_environments.dtma_certificate_pem is 'The certificate the control plane pins; public by nature. Written by an enrolment, or by the first heartbeat where there is none.';
comment on column public.account_tool_environments.dtma_certificate_sha256 is 'SHA-256 in hex of the pinned certificate (DER). Kept by a trigger.';
comment on column public.account_tool_environments.ssh_host_key is 'The ed25519 host key of the machine''s sshd that the control plane pins; public by nature. Null: the machine is not reached by SSH. Written by an enrolment only.';
comment on column public.account_tool_environments.ssh_port is 'Port of sshd on the machine''s address.';
comment on column public.account_tool_environments.dtma_key_id is 'Names the key pair the agent proved last: fingerprint of the root secret, dot, epoch. Null: the current root, epoch 0. No secret.';
comment on column public.account_tool_environments.dtma_key_epoch is 'Epoch of the keys the agent should have; a rotation or an enrolment increments it.';
comment on column public.account_tool_environments.dtma_token_hash is 'SHA-256 in hex of the key DTMA calls the control plane with.';
comment on column public.account_tool_environments.dtma_offered_key_id is 'Names the key pair whose hash is in dtma_token_hash, offered and not used yet. Not readable by users.';
comment on column public.account_tool_environments.dtma_previous_token_hash is 'SHA-256 in hex of the key before the one in dtma_token_hash. Not readable by users.';
comment on column public.account_tool_environments.dtma_previous_token_expires_at is 'Until then the previous key counts; null while the new one was not used. Not readable by users.';
comment on column public.account_tool_environments.dtma_last_known_version is 'Version DTMA last reported.';
comment on column public.account_tool_environments.dtma_api_version is 'API version DTMA last reported.';
comment on column public.account_tool_environments.dtma_health_details_json is 'Host metrics DTMA last reported.';
comment on column public.account_tool_environments.last_heartbeat_at is 'When DTMA last reported.';
comment on column public.account_tool_environments.instances_confirmed_at is 'When a full heartbeat last told nothing of the instances that their rows did not say already.';
comment on column public.account_tool_environments.heartbeat_interval_seconds is 'Seconds within which the agent promised its next heartbeat.';
comment on column public.account_tool_environments.dtma_boot is 'Start of the agent that sent the last accepted heartbeat. Not readable by users.';
comment on column public.account_tool_environments.dtma_sequence is 'Number of the last accepted heartbeat within that start. Not readable by users.';
comment on column public.account_tool_environments.unresponsive_since is 'When the agent was last heard of, while the toolbox is unresponsive or its machine is gone: since then the states of its instances are unknown. Kept by a trigger.';
comment on column public.account_tool_environments.provisioning_error_message is 'Why; set exactly in the two error statuses.';
comment on column public.account_tool_environments.provisioning_step is 'What is done with the droplet now: a step of crates/toolbox-domain/src/provisioning.rs. Null: nothing.';
comment on column public.account_tool_environments.provisioning_step_since is 'When that step began. Kept by a trigger.';
comment on column public.account_tool_environments.provisioning_problem is 'What went wrong last, in words: why the step is tried again, why the machine is removed, or why the last change failed. Null: nothing.';
comment on column public.account_tool_environments.wanted_size_slug is 'DigitalOcean size that the machine is being given.';
comment on column public.account_tool_environments.wanted_price_hourly_usd is 'What DigitalOcean takes an hour for that size, in US dollars.';
comment on column public.account_tool_environments.wanted_price_monthly_usd is 'What it takes a month at most for that size, in US dollars.';
comment on column public.account_tool_environments.price_hourly_usd is 'What DigitalOcean takes an hour for this size, in US dollars.';
comment on column public.account_tool_environments.price_monthly_usd is 'What it takes a month at most, in US dollars.';
comment on column public.account_tool_environments.price_since is 'Since when the droplet is paid for at this price; null while there is none.';
comment on column public.account_tool_environments.cost_before_usd is 'What earlier droplets and sizes of this toolbox cost until then, in US dollars.';
comment on column public.account_tool_environments.provisioning_tries is 'How often the step failed in a row. Not readable by users.';
comment on column public.account_tool_environments.provisioning_due_at is 'When it is looked at next; null: never by itself. Not readable by users.';
comment on column public.account_tool_environments.provisioning_lease is 'Grows with every lease: whoever has an older one writes nothing. Not readable by users.';
comment on column public.account_tool_environments.provisioning_holder is 'Who leased it last, for operators. Not readable by users.';
comment on column public.account_tool_environments.provisioning_leased_until is 'Until then nobody else works on it. Not readable by users.';
comment on column public.account_tool_environments.machine_asked_at is 'When a droplet was last asked for whose creation is not known to have failed. Not readable by users.';
comment on column public.account_tool_environments.do_firewall_id is 'DigitalOcean id of the firewall. Not readable by users.';
comment on column public.account_tool_environments.do_action_id is 'The change of the droplet that DigitalOcean works on. Not readable by users.';
comment on column public.account_tool_environments.order_key is 'Names the order: ordering again with the same key makes no second toolbox. Not readable by users.';
comment on column public.account_tool_environments.enrolled_from is 'The address that the enrolment came from: of two droplets of one order, it says which has the keys. Not readable by users.';
comment on column public.account_tool_environments.looked_at is 'When somebody last asked to look at the droplet now. Not readable by users.';
comment on column public.account_tool_environments.created_at is 'When the toolbox was asked for.';
comment on column public.account_tool_environments.updated_at is 'Kept by a trigger.';
