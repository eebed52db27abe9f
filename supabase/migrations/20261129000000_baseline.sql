-- Made by scripts/make-baseline from supabase/schemas. Change those files, not this one.

-- supabase/schemas/private.sql
-- Internals live in a schema that PostgREST does not serve and no API role may use.
create schema private;
revoke all on schema private from public;
comment on schema private is 'Internals of Toolbox: trigger functions and helpers. Never exposed through the API.';

create function private.touch_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$$;
comment on function private.touch_updated_at() is 'BEFORE UPDATE trigger: keeps updated_at true whoever writes the row.';

create function private.require_keys(p jsonb, variadic keys text[]) returns void
language plpgsql immutable
set search_path = ''
as $$
declare
  missing text;
begin
  select string_agg(k, ', ') into missing from unnest(keys) k where p ->> k is null;
  if missing is not null then
    raise exception 'Missing in the argument p: %', missing using errcode = 'invalid_parameter_value';
  end if;
end;
$$;
comment on function private.require_keys is 'Raises invalid_parameter_value naming the keys that p lacks.';

revoke all on function private.touch_updated_at(), private.require_keys from public, anon, authenticated, service_role;

-- supabase/schemas/settings.sql
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

-- supabase/schemas/operators.sql
-- What operators set for single users, and what they did. Who is an operator is a claim of their token, which the function operators
-- checks; the functions of the database that it calls are in functions/operators.sql.
create table private.quotas (
  user_id uuid primary key references auth.users (id) on delete cascade,
  max_toolboxes integer check (max_toolboxes between 0 and 10000),
  max_monthly_usd integer check (max_monthly_usd between 0 and 1000000),
  max_tools integer check (max_tools between 0 and 10000),
  constraint a_quota_says_something check (num_nonnulls(max_toolboxes, max_monthly_usd, max_tools) > 0)
);

alter table private.quotas enable row level security;
revoke all on private.quotas from public, anon, authenticated, service_role;

comment on table private.quotas is 'What single users may have, where that is not what the variables of the functions say.';
comment on column private.quotas.user_id is 'The user.';
comment on column private.quotas.max_toolboxes is 'So many toolboxes. Null: as TOOLBOX_MAX_TOOLBOXES.';
comment on column private.quotas.max_monthly_usd is 'All machines may cost so many US dollars a month. Null: as TOOLBOX_MAX_USER_PRICE.';
comment on column private.quotas.max_tools is 'So many tools in one toolbox. Null: as TOOLBOX_MAX_INSTANCES.';

create function private.quota(of_user uuid, kind text, otherwise integer) returns integer
language sql stable
set search_path = ''
as $$
  select case when otherwise is not null then
    coalesce((select (to_jsonb(q) ->> kind)::integer from private.quotas q where q.user_id = of_user), otherwise)
  end;
$$;
comment on function private.quota is 'How much of a kind (a column of private.quotas) a user may have: what an operator set for them, or else the default that the caller knows; null where the caller asks for no limit.';

create table private.operator_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_id uuid not null,
  kind text not null check (kind ~ '^[a-z][a-z0-9_]{0,63}$'),
  detail jsonb not null check (jsonb_typeof(detail) = 'object'),
  request_id text check (char_length(request_id) between 1 and 200)
);
create index operator_events_occurred_at_idx on private.operator_events (occurred_at);

alter table private.operator_events enable row level security;
revoke all on private.operator_events from public, anon, authenticated, service_role;
revoke all on sequence private.operator_events_id_seq from public, anon, authenticated, service_role;

comment on table private.operator_events is 'What operators changed. No role of the API touches it; kept as long as private.retention() says.';
comment on column private.operator_events.id is 'Order of events.';
comment on column private.operator_events.occurred_at is 'When.';
comment on column private.operator_events.actor_id is 'The operator''s user id. No foreign key: the event outlives the user.';
comment on column private.operator_events.kind is 'What was done: agent_version_set, rollout_begun, rollout_stopped, entry_put, entry_deleted or quota_set.';
comment on column private.operator_events.detail is 'What it was done to, and how it is since.';
comment on column private.operator_events.request_id is 'The request.';

create function private.record_operator_event(actor uuid, kind text, detail jsonb, request text) returns void
language sql
set search_path = ''
as $$
  insert into private.operator_events (actor_id, kind, detail, request_id) values (actor, kind, detail, request);
$$;
comment on function private.record_operator_event is 'Writes what an operator changed.';

revoke all on function private.quota, private.record_operator_event from public, anon, authenticated, service_role;

-- supabase/schemas/tool_catalog.sql
-- What can be deployed. Read by every signed-in user, written by migrations and, through functions/operators.sql, by operators.
create type public.catalog_tool_status_enum as enum ('available', 'beta', 'experimental', 'deprecated', 'archived');
create type public.tool_packaging_type_enum as enum ('docker_image', 'git_source');

create table public.tool_catalog (
  id uuid primary key default gen_random_uuid(),
  name text not null unique check (char_length(name) between 1 and 255),
  tool_name text not null check (tool_name ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  description text not null default '',
  category text not null default 'mcp',
  provider text,
  documentation_url text check (documentation_url ~ '^https://'),
  icon_url text check (icon_url ~ '^https://'),
  packaging_type public.tool_packaging_type_enum not null default 'docker_image',
  default_spec jsonb not null default '{}' check (jsonb_typeof(default_spec) = 'object')
  constraint default_values_are_in_envelopes check (
    not jsonb_path_exists(default_spec, '$.env.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  required_config_schema jsonb not null default '{"type": "object"}' check (jsonb_typeof(required_config_schema) = 'object'),
  required_secrets_schema jsonb not null default '{"type": "object"}' check (jsonb_typeof(required_secrets_schema) = 'object'),
  -- Generated, so that what is shown to a user is what DTMA gets.
  docker_image_url text generated always as (default_spec ->> 'image') stored check (docker_image_url <> ''),
  resource_requirements jsonb generated always as (default_spec -> 'resources') stored,
  status public.catalog_tool_status_enum not null default 'available',
  is_public boolean not null default true,
  version text not null default '1.0.0',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create trigger touch_updated_at before update on public.tool_catalog
  for each row execute function private.touch_updated_at();

alter table public.tool_catalog enable row level security;
create policy "signed-in users read public entries" on public.tool_catalog
  for select to authenticated using (is_public and status <> 'archived');

revoke all on public.tool_catalog from public, anon, authenticated, service_role;
grant select on public.tool_catalog to authenticated, service_role;

comment on table public.tool_catalog is 'What can be deployed: image or source, ports, config schema, secrets schema, limits.';
comment on column public.tool_catalog.id is 'Fixed in migrations, so that callers may hard-code an entry.';
comment on column public.tool_catalog.name is 'Display name, unique.';
comment on column public.tool_catalog.tool_name is 'Machine name: lower-case words joined by a hyphen.';
comment on column public.tool_catalog.description is 'One or two sentences for the user.';
comment on column public.tool_catalog.category is 'Group in the console, such as mcp.';
comment on column public.tool_catalog.provider is 'Who publishes the image.';
comment on column public.tool_catalog.documentation_url is 'Where the publisher documents the tool.';
comment on column public.tool_catalog.icon_url is 'Square icon.';
comment on column public.tool_catalog.packaging_type is 'docker_image is pulled, git_source is built on the machine.';
comment on column public.tool_catalog.default_spec is 'ToolSpec of the DTMA API: image, command, ports, transport, mcp_path, resources, confinement, env defaults.';
comment on column public.tool_catalog.required_config_schema is 'JSON Schema of the environment variables a user sets; its "required" ones must be given.';
comment on column public.tool_catalog.required_secrets_schema is 'JSON Schema of the environment variables that are secrets; its "required" ones must be given.';
comment on column public.tool_catalog.docker_image_url is 'default_spec.image; null means the caller must name one.';
comment on column public.tool_catalog.resource_requirements is 'default_spec.resources: memory_bytes, cpus, pids.';
comment on column public.tool_catalog.status is 'archived entries are hidden; deprecated ones are shown as such.';
comment on column public.tool_catalog.is_public is 'False hides the entry from users.';
comment on column public.tool_catalog.version is 'Version of this entry, not of the image.';
comment on column public.tool_catalog.created_at is 'When the entry was added.';
comment on column public.tool_catalog.updated_at is 'Kept by a trigger.';

-- supabase/schemas/account_tool_environments.sql
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

-- supabase/schemas/toolbox_enrolments.sql
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

comment on table private.toolbox_enrolments is 'Enrolment tokens of toolboxes, by hash. Single use, with an end.';
comment on column private.toolbox_enrolments.token_hash is 'SHA-256 in hex of the token.';
comment on column private.toolbox_enrolments.toolbox_id is 'The toolbox it enrols.';
comment on column private.toolbox_enrolments.created_at is 'When it was made.';
comment on column private.toolbox_enrolments.expires_at is 'From then on it is refused.';
comment on column private.toolbox_enrolments.used_at is 'When it was used; null while it is fresh.';
comment on column private.toolbox_enrolments.used_certificate_sha256 is 'The certificate it was used with; the only one it may be used with again.';

-- supabase/schemas/agents.sql
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

-- supabase/schemas/account_tool_instances.sql
-- Tool instances: one container each. Users read their own; only the RPCs write.
create type public.account_tool_installation_status_enum as enum (
  'pending_deploy', 'deploying', 'starting', 'running', 'stopping', 'stopped', 'pending_delete', 'deleting', 'error'
);

create function private.secret_keys(spec jsonb) returns text[]
language sql immutable strict
set search_path = ''
as $$
  select coalesce(array_agg(distinct coalesce(secret ->> 'key_id', 'plain')), '{}')
  from (select jsonb_path_query(spec, '$.env.*') union all select jsonb_path_query(spec, '$.mcp_headers.*')) s (secret);
$$;
comment on function private.secret_keys is 'The keys that the secrets of a spec are sealed with; plain for those that are not sealed.';

create table public.account_tool_instances (
  id uuid primary key default gen_random_uuid(),
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  tool_catalog_id uuid not null references public.tool_catalog (id) on delete restrict,
  instance_name_on_toolbox text not null
    check (char_length(instance_name_on_toolbox) between 1 and 255 and instance_name_on_toolbox !~ '[\x01-\x1f\x7f]'),
  container_name text not null check (container_name ~ '^[a-z0-9][a-z0-9-]{0,127}$'),
  spec jsonb not null check (
    jsonb_typeof(spec) = 'object' and jsonb_typeof(spec -> 'image') = 'string' and spec ->> 'image' <> ''
    and octet_length(spec::text) <= 262144
  )
  -- Values may be secrets: each is in an envelope that names the key it is sealed with, or null.
  constraint values_of_the_environment_are_in_envelopes check (
    not jsonb_path_exists(spec, '$.env.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  constraint values_of_headers_are_in_envelopes check (
    not jsonb_path_exists(spec, '$.mcp_headers.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  -- Generated: what a user sees of the spec cannot differ from what DTMA gets.
  docker_image_url text generated always as (spec ->> 'image') stored,
  mcp_transport_type text generated always as (spec ->> 'transport') stored
    check (mcp_transport_type in ('stdio', 'streamable-http', 'sse', 'websocket')),
  mcp_endpoint_path text generated always as (spec ->> 'mcp_path') stored,
  version text generated always as (
    case when spec ->> 'image' !~ '^https?://'
      then substring(split_part(spec ->> 'image', '@', 1) from ':([A-Za-z0-9_][A-Za-z0-9_.-]*)$')
    end
  ) stored,
  generation bigint not null default 1 check (generation > 0),
  desired_status text not null default 'running' check (desired_status in ('running', 'stopped', 'absent')),
  status_on_toolbox public.account_tool_installation_status_enum not null default 'pending_deploy',
  status_changed_at timestamptz not null default now(),
  instance_error_code text check (instance_error_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  instance_error_message text check (char_length(instance_error_message) between 1 and 4000),
  container_id text,
  image_digest text,
  port_mapping_json jsonb not null default '[]' check (jsonb_typeof(port_mapping_json) = 'array'),
  last_observed_at timestamptz,
  -- The latest view of the agent that was applied. Views of one run of the agent are numbered as they are made. They
  -- arrive by heartbeats and with answers, so an earlier one may come after a later one: a heartbeat that was on its way
  -- when an operation ended would take its end back.
  view_run uuid,
  view_number bigint,
  view_applied_at timestamptz,
  mcp_health jsonb check (jsonb_typeof(mcp_health) = 'object' and octet_length(mcp_health::text) <= 32768),
  mcp_tools_fingerprint text check (mcp_tools_fingerprint ~ '^[0-9a-f]{64}$'),
  mcp_pinned_fingerprint text check (mcp_pinned_fingerprint ~ '^[0-9a-f]{64}$'),
  mcp_pin_due_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint instance_name_is_unique_in_its_toolbox unique (account_tool_environment_id, instance_name_on_toolbox),
  constraint error_has_a_reason check (
    (status_on_toolbox = 'error') = (instance_error_message is not null)
    and (status_on_toolbox = 'error') = (instance_error_code is not null)
  ),
  constraint views_have_run_number_and_time check (num_nulls(view_run, view_number, view_applied_at) in (0, 3)),
  constraint a_pin_is_written_once check (num_nonnulls(mcp_pinned_fingerprint, mcp_pin_due_at) < 2)
)
-- Reports rewrite rows: room on the page keeps that from touching the indexes.
with (fillfactor = 70);
-- The unique constraint above also serves the policy and the cascade from the toolbox.
create index account_tool_instances_tool_catalog_id_idx on public.account_tool_instances (tool_catalog_id);
-- For the job that pins what was listed first.
create index account_tool_instances_mcp_pin_due_at_idx on public.account_tool_instances (mcp_pin_due_at) where mcp_pin_due_at is not null;
-- For the job that seals: each minute it asks which rows have secrets under certain keys.
create index account_tool_instances_secret_keys_idx on public.account_tool_instances using gin (private.secret_keys(spec));

-- The same edges as InstanceStatus::exits of crates/toolbox-domain; tests/db compares them.
create function private.tool_instance_transition_allowed(
  from_status public.account_tool_installation_status_enum,
  to_status public.account_tool_installation_status_enum
) returns boolean
language sql immutable
set search_path = ''
as $$
  select case from_status
    when 'pending_deploy' then to_status in ('deploying', 'pending_delete', 'error')
    when 'deploying' then to_status in ('starting', 'running', 'stopping', 'stopped', 'error', 'pending_delete')
    when 'starting' then to_status in ('running', 'stopped', 'stopping', 'error', 'pending_delete', 'deploying')
    when 'running' then to_status in ('stopping', 'stopped', 'starting', 'deploying', 'error', 'pending_delete')
    when 'stopping' then to_status in ('stopped', 'starting', 'running', 'error', 'pending_delete')
    when 'stopped' then to_status in ('starting', 'running', 'deploying', 'error', 'pending_delete')
    when 'pending_delete' then to_status in ('deleting', 'error')
    when 'deleting' then to_status in ('error')
    when 'error' then to_status in ('deploying', 'starting', 'running', 'stopping', 'stopped', 'pending_delete')
  end;
$$;
comment on function private.tool_instance_transition_allowed is 'Whether an instance may go from one status to another; staying is no transition.';

create function private.guard_tool_instance() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    if new.status_on_toolbox not in ('pending_deploy', 'deploying') then
      raise exception 'An instance starts in pending_deploy or deploying, not in %', new.status_on_toolbox
        using errcode = 'check_violation';
    end if;
    return new;
  end if;
  if tg_op = 'DELETE' then
    -- The row goes last, after DTMA said that the container is gone; or with its toolbox.
    if old.status_on_toolbox <> 'deleting' and exists (
      select from public.account_tool_environments e where e.id = old.account_tool_environment_id
    ) then
      raise exception 'An instance in % cannot be removed, only one in deleting', old.status_on_toolbox
        using errcode = 'check_violation';
    end if;
    return old;
  end if;
  if new.id <> old.id or new.account_tool_environment_id <> old.account_tool_environment_id then
    raise exception 'An instance keeps its id and its toolbox' using errcode = 'check_violation';
  end if;
  if new.generation < old.generation then
    raise exception 'The generation of an instance never goes back' using errcode = 'check_violation';
  end if;
  if new.status_on_toolbox <> old.status_on_toolbox then
    if not private.tool_instance_transition_allowed(old.status_on_toolbox, new.status_on_toolbox) then
      raise exception 'Illegal transition of an instance: % -> %', old.status_on_toolbox, new.status_on_toolbox
        using errcode = 'check_violation';
    end if;
    new.status_changed_at := clock_timestamp();
  end if;
  return new;
end;
$$;
comment on function private.guard_tool_instance() is 'Refuses illegal transitions, early removal and changes of identity, whoever writes.';

-- The history is written by a trigger, in the transaction of the change: no path can forget it.
create function private.log_tool_instance_event() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  was public.account_tool_instances := old;
  becomes public.account_tool_instances := new;
  instance public.account_tool_instances := case when tg_op = 'DELETE' then old else new end;
  actor_kind constant text := coalesce(nullif(current_setting('toolbox.actor_kind', true), ''), 'database');
  action constant text := coalesce(nullif(current_setting('toolbox.action', true), ''), lower(tg_op));
begin
  if tg_op = 'UPDATE'
    and (was.status_on_toolbox, was.generation, was.desired_status) = (becomes.status_on_toolbox, becomes.generation, becomes.desired_status)
    and was.instance_error_code is not distinct from becomes.instance_error_code
    and was.instance_error_message is not distinct from becomes.instance_error_message
  then
    return null;
  end if;
  -- Removed together with its toolbox: the history goes too.
  if tg_op = 'DELETE' and not exists (
    select from public.account_tool_environments e where e.id = old.account_tool_environment_id
  ) then
    return null;
  end if;
  -- An end is always kept: there are no more of them than beginnings.
  if tg_op <> 'DELETE' and actor_kind = 'agent'
    and not private.take_event_token(instance.account_tool_environment_id, action)
  then
    if not private.count_dropped_event(instance.account_tool_environment_id, action) then
      return null;
    end if;
    becomes.instance_error_code := 'events_limited';
    becomes.instance_error_message := 'The machine reports more changes than are kept; those that follow are counted and left out';
  end if;
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, actor_id, action, from_status, to_status,
    reason_code, reason, request_id, operation_id, generation
  ) values (
    instance.id, instance.account_tool_environment_id, actor_kind,
    nullif(current_setting('toolbox.actor_id', true), '')::uuid, action,
    was.status_on_toolbox, becomes.status_on_toolbox, becomes.instance_error_code,
    -- The row keeps the whole text.
    left(becomes.instance_error_message, 1000),
    nullif(current_setting('toolbox.request_id', true), ''),
    nullif(current_setting('toolbox.operation_id', true), '')::uuid,
    instance.generation
  );
  return null;
end;
$$;
comment on function private.log_tool_instance_event() is 'Writes one event per change of status, reason, desired status or generation.';

create trigger guard before insert or update or delete on public.account_tool_instances
  for each row execute function private.guard_tool_instance();
create trigger touch_updated_at before update on public.account_tool_instances
  for each row execute function private.touch_updated_at();
create trigger log_event after insert or update or delete on public.account_tool_instances
  for each row execute function private.log_tool_instance_event();

alter table public.account_tool_instances enable row level security;
create policy "owners read their instances" on public.account_tool_instances
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

-- spec holds the environment variables, secrets among them: it is for the service role alone.
revoke all on public.account_tool_instances from public, anon, authenticated, service_role;
grant select (
  id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, docker_image_url,
  mcp_transport_type, mcp_endpoint_path, version, generation, desired_status, status_on_toolbox, status_changed_at,
  instance_error_code, instance_error_message, container_id, image_digest, port_mapping_json, last_observed_at,
  mcp_health, mcp_tools_fingerprint, mcp_pinned_fingerprint, mcp_pin_due_at, created_at, updated_at
) on public.account_tool_instances to authenticated;
grant select on public.account_tool_instances to service_role;
revoke all on function
  private.secret_keys, private.tool_instance_transition_allowed, private.guard_tool_instance(), private.log_tool_instance_event()
  from public, anon, authenticated, service_role;

comment on table public.account_tool_instances is 'Tool instances: one container in a toolbox each. Desired state and last observed state.';
comment on column public.account_tool_instances.id is 'Identity everywhere: URLs, container labels, locks.';
comment on column public.account_tool_instances.account_tool_environment_id is 'The toolbox; never changes.';
comment on column public.account_tool_instances.tool_catalog_id is 'What it was deployed from; several instances may share one entry.';
comment on column public.account_tool_instances.instance_name_on_toolbox is 'Display name, kept byte for byte, unique in its toolbox.';
comment on column public.account_tool_instances.container_name is 'Legal Docker name derived once from name and id.';
comment on column public.account_tool_instances.spec is 'ToolSpec of the DTMA API, environment variables included ({NAME: {key_id, value}}), which are sealed with the key that key_id names; never readable by users.';
comment on column public.account_tool_instances.docker_image_url is 'spec.image.';
comment on column public.account_tool_instances.mcp_transport_type is 'spec.transport; null for a tool that is no MCP server.';
comment on column public.account_tool_instances.mcp_endpoint_path is 'spec.mcp_path.';
comment on column public.account_tool_instances.version is 'Tag of spec.image; null without one.';
comment on column public.account_tool_instances.generation is 'Grows with every accepted operation; DTMA refuses a lower one.';
comment on column public.account_tool_instances.desired_status is 'What the user asked for: running, stopped or absent.';
comment on column public.account_tool_instances.status_on_toolbox is 'Lifecycle; a trigger refuses illegal transitions.';
comment on column public.account_tool_instances.status_changed_at is 'Kept by a trigger.';
comment on column public.account_tool_instances.instance_error_code is 'Stable reason code; set exactly in status error.';
comment on column public.account_tool_instances.instance_error_message is 'Sentence for the user; set exactly in status error.';
comment on column public.account_tool_instances.container_id is 'Docker id last observed.';
comment on column public.account_tool_instances.image_digest is 'Digest of the image last observed.';
comment on column public.account_tool_instances.port_mapping_json is 'Published ports last observed: [{container_port, protocol, host_ip, host_port}].';
comment on column public.account_tool_instances.last_observed_at is 'When DTMA last told of it.';
comment on column public.account_tool_instances.view_run is 'The run of the agent that made the latest view that was applied; null where it numbers none.';
comment on column public.account_tool_instances.view_number is 'Its number in that run.';
comment on column public.account_tool_instances.view_applied_at is 'When it was applied.';
comment on column public.account_tool_instances.mcp_health is 'McpHealth of the DTMA API, with evidence and age; null when it is no MCP server or does not run.';
comment on column public.account_tool_instances.mcp_tools_fingerprint is 'Fingerprint of the tools the server listed last; kept while it does not run, so that a change is seen.';
comment on column public.account_tool_instances.mcp_pinned_fingerprint is 'Fingerprint of the tools that the owner accepted: clients that come through the function mcp are held back while the server lists others. Null: its tools are not pinned.';
comment on column public.account_tool_instances.mcp_pin_due_at is 'Set while the tools that the server lists first are still to be pinned, as its deployment asked: when the job pin_first_tools next asks the agent. Clients get in only while the server lists what the agent heard first.';
comment on column public.account_tool_instances.created_at is 'When it was asked for.';
comment on column public.account_tool_instances.updated_at is 'Kept by a trigger.';

-- supabase/schemas/account_tool_instance_versions.sql
-- What instances ran before, so that a user can go back to it. A trigger of account_tool_instances writes it.
create table public.account_tool_instance_versions (
  tool_instance_id uuid not null references public.account_tool_instances (id) on delete cascade,
  generation bigint not null check (generation > 0),
  spec jsonb not null check (jsonb_typeof(spec) = 'object' and octet_length(spec::text) <= 262144)
  -- As in account_tool_instances.
  constraint values_of_the_environment_are_in_envelopes check (
    not jsonb_path_exists(spec, '$.env.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  constraint values_of_headers_are_in_envelopes check (
    not jsonb_path_exists(spec, '$.mcp_headers.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  image text generated always as (spec ->> 'image') stored,
  image_digest text,
  registry_digest text check (registry_digest ~ '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$'),
  ran_at timestamptz,
  restores bigint check (restores > 0),
  actor_kind text not null check (actor_kind in ('user', 'agent', 'control_plane', 'database')),
  actor_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tool_instance_id, generation)
);
-- For the job that seals.
create index account_tool_instance_versions_secret_keys_idx
  on public.account_tool_instance_versions using gin (private.secret_keys(spec));

-- The newest version is what the row holds, whoever writes the row.
create function private.keep_tool_instance_version() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant integer := 10;
begin
  if tg_op = 'UPDATE' and new.spec is not distinct from old.spec
    and (new.generation = old.generation or coalesce(current_setting('toolbox.action', true), '') <> 'update')
  then
    return null;
  end if;
  if tg_op = 'UPDATE' and new.generation = old.generation then
    -- The same in another form, as when its secrets are sealed anew.
    update public.account_tool_instance_versions v set spec = new.spec
    where v.tool_instance_id = new.id and v.generation = (
      select max(newest.generation) from public.account_tool_instance_versions newest where newest.tool_instance_id = new.id
    );
    return null;
  end if;
  insert into public.account_tool_instance_versions (tool_instance_id, generation, spec, actor_kind, actor_id)
  values (
    new.id, new.generation, new.spec,
    coalesce(nullif(current_setting('toolbox.actor_kind', true), ''), 'database'),
    nullif(current_setting('toolbox.actor_id', true), '')::uuid
  );
  delete from public.account_tool_instance_versions v
  where v.tool_instance_id = new.id and v.generation in (
    select older.generation from public.account_tool_instance_versions older
    where older.tool_instance_id = new.id order by older.generation desc offset most
  );
  return null;
end;
$$;
comment on function private.keep_tool_instance_version() is
  'Keeps what an instance is asked to run, with each deploy and update, as a version of it; the newest 10.';

create trigger keep_first_version after insert on public.account_tool_instances
  for each row execute function private.keep_tool_instance_version();
-- An update to the same may bring another image: its tag is looked up anew.
create trigger keep_version after update of spec, generation on public.account_tool_instances
  for each row execute function private.keep_tool_instance_version();

create function private.note_restored_version(instance_id uuid, of_generation bigint, ran_on boolean) returns void
language sql
set search_path = ''
as $$
  update public.account_tool_instance_versions v
  set restores = of_generation,
    ran_at = case when ran_on then was.ran_at end,
    image_digest = case when ran_on then was.image_digest end,
    registry_digest = case when ran_on then was.registry_digest end
  from public.account_tool_instances i, (select 1) one left join public.account_tool_instance_versions was
    on was.tool_instance_id = instance_id and was.generation = of_generation
  where i.id = instance_id and v.tool_instance_id = i.id and v.generation = i.generation;
$$;
comment on function private.note_restored_version is
  'Says of the version that an instance has just got which earlier one it is; ran_on: what ran of that one was never replaced.';

create function private.note_version_that_runs(instance_id uuid, observed jsonb) returns void
language sql
set search_path = ''
as $$
  update public.account_tool_instance_versions v
  set ran_at = coalesce(v.ran_at, clock_timestamp()), image_digest = seen.image_digest,
    registry_digest = case
      when seen.registry_digest ~ '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$' then seen.registry_digest
      -- Not every view says it.
      when seen.image_digest = v.image_digest then v.registry_digest
    end
  from (select observed ->> 'image_digest' as image_digest, observed ->> 'registry_digest' as registry_digest) seen
  where v.tool_instance_id = instance_id and v.generation = (
    select max(newest.generation) from public.account_tool_instance_versions newest where newest.tool_instance_id = instance_id
  ) and (
    v.ran_at is null or v.image_digest is distinct from seen.image_digest
    or seen.registry_digest is not null and v.registry_digest is distinct from seen.registry_digest
  );
$$;
comment on function private.note_version_that_runs is
  'Stores with the newest version of an instance that it was seen running, and of which image.';

alter table public.account_tool_instance_versions enable row level security;
create policy "owners read the versions of their instances" on public.account_tool_instance_versions
  for select to authenticated using (
    tool_instance_id in (
      select i.id from public.account_tool_instances i join public.account_tool_environments e on e.id = i.account_tool_environment_id
      where e.user_id = (select auth.uid())
    )
  );

-- As of account_tool_instances, spec is for the service role alone.
revoke all on public.account_tool_instance_versions from public, anon, authenticated, service_role;
grant select (
  tool_instance_id, generation, image, image_digest, registry_digest, ran_at, restores, actor_kind, actor_id, created_at
) on public.account_tool_instance_versions to authenticated;
grant select on public.account_tool_instance_versions to service_role;
revoke all on function
  private.keep_tool_instance_version(), private.note_restored_version, private.note_version_that_runs
  from public, anon, authenticated, service_role;

comment on table public.account_tool_instance_versions is 'What an instance was asked to run, the newest 10 of each. The newest is what it is asked to run now.';
comment on column public.account_tool_instance_versions.tool_instance_id is 'The instance; its versions go with it.';
comment on column public.account_tool_instance_versions.generation is 'Generation of the instance that brought it.';
comment on column public.account_tool_instance_versions.spec is 'ToolSpec of the DTMA API, sealed as in account_tool_instances; never readable by users.';
comment on column public.account_tool_instance_versions.image is 'spec.image.';
comment on column public.account_tool_instance_versions.image_digest is 'Digest of the image that it was last seen running.';
comment on column public.account_tool_instance_versions.registry_digest is 'Digest by which its registry has that image; null where it came from no registry, or the agent does not say.';
comment on column public.account_tool_instance_versions.ran_at is 'When it was first seen running; null: never.';
comment on column public.account_tool_instance_versions.restores is 'Generation of the version that it brings back; null when it is a new one.';
comment on column public.account_tool_instance_versions.actor_kind is 'Who brought it: user, agent (an update failed there), control_plane, or database (a write outside the RPCs).';
comment on column public.account_tool_instance_versions.actor_id is 'User id, or toolbox id of the agent.';
comment on column public.account_tool_instance_versions.created_at is 'When it was asked for.';

-- supabase/schemas/tool_instance_operations.sql
-- One row per accepted mutation: the lock (at most one in progress), the idempotency record, the spec before an update.
create table public.tool_instance_operations (
  id uuid primary key default gen_random_uuid(),
  -- No foreign key: the operation that deletes an instance outlives it.
  tool_instance_id uuid not null,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  action text not null check (action in ('deploy', 'update', 'start', 'stop', 'restart', 'delete')),
  request_id text not null check (char_length(request_id) between 1 and 200),
  idempotency_key text check (char_length(idempotency_key) between 1 and 255),
  request_fingerprint text check (char_length(request_fingerprint) <= 255),
  state text not null default 'in_progress' check (state in ('in_progress', 'succeeded', 'failed', 'abandoned')),
  generation bigint not null check (generation > 0),
  -- An agent carries out what is desired, also later. A command that certainly did not happen takes back what it wanted,
  -- so that the agent does not carry out what the caller was told had failed.
  previous_desired text check (previous_desired in ('running', 'stopped', 'absent')),
  -- An update that failed or was abandoned may still be rolled back: its agent may have been without Docker for a while.
  previous_spec jsonb,
  error_code text check (error_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  error_message text check (char_length(error_message) between 1 and 4000),
  -- A reason and a refusal may have the same name. A replay answers what the caller was answered first.
  answered_code text check (answered_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  started_at timestamptz not null default now(),
  lease_expires_at timestamptz not null,
  finished_at timestamptz,
  -- What the instance ran when the operation ended.
  instance_name text,
  image text,
  image_digest text,
  is_sealed boolean not null default false,
  constraint tool_instance_operations_user_id_idempotency_key_key unique (user_id, idempotency_key),
  constraint finished_operations_have_a_time check ((state = 'in_progress') = (finished_at is null)),
  constraint failed_operations_have_a_reason check (
    (state = 'failed') = (error_code is not null) and (state = 'failed') = (error_message is not null)
  ),
  constraint only_failed_operations_have_an_answered_code check (answered_code is null or state = 'failed'),
  constraint succeeded_operations_keep_no_spec check (state <> 'succeeded' or previous_spec is null)
);
create unique index tool_instance_operations_one_in_progress on public.tool_instance_operations (tool_instance_id)
  where state = 'in_progress';
create index tool_instance_operations_tool_instance_id_idx on public.tool_instance_operations (tool_instance_id, started_at desc);
create index tool_instance_operations_environment_id_idx on public.tool_instance_operations (account_tool_environment_id);
create index tool_instance_operations_finished_at_idx on public.tool_instance_operations (finished_at)
  where finished_at is not null;
create index tool_instance_operations_unsealed_idx
  on public.tool_instance_operations (account_tool_environment_id, finished_at, id) where finished_at is not null and not is_sealed;
create index tool_instance_operations_with_a_way_back on public.tool_instance_operations (tool_instance_id)
  where previous_spec is not null;

alter table public.tool_instance_operations enable row level security;
create policy "owners read their operations" on public.tool_instance_operations
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

revoke all on public.tool_instance_operations from public, anon, authenticated, service_role;
grant select (
  id, tool_instance_id, account_tool_environment_id, user_id, action, request_id, state, generation, previous_desired,
  error_code, error_message, answered_code, started_at, lease_expires_at, finished_at, instance_name, image, image_digest, is_sealed
) on public.tool_instance_operations to authenticated;
grant select on public.tool_instance_operations to service_role;

comment on table public.tool_instance_operations is 'Accepted mutations of instances: lock, idempotency record and outcome. Kept as long as private.retention() says.';
comment on column public.tool_instance_operations.id is 'Named to a caller that meets a running operation.';
comment on column public.tool_instance_operations.tool_instance_id is 'The instance, which may be gone since.';
comment on column public.tool_instance_operations.account_tool_environment_id is 'Its toolbox; decides who may read.';
comment on column public.tool_instance_operations.user_id is 'Who asked; idempotency keys are theirs.';
comment on column public.tool_instance_operations.action is 'What was asked for.';
comment on column public.tool_instance_operations.request_id is 'Request that started it.';
comment on column public.tool_instance_operations.idempotency_key is 'Key of the caller, freed after 24 hours. Not readable by users.';
comment on column public.tool_instance_operations.request_fingerprint is 'HMAC of the request the key was used for, with a key of the root secret: the request may hold secrets. Not readable by users.';
comment on column public.tool_instance_operations.state is 'in_progress until an outcome is recorded; abandoned when the lease ran out first, or a stop or delete took its place.';
comment on column public.tool_instance_operations.generation is 'Generation of the instance this operation made.';
comment on column public.tool_instance_operations.previous_desired is 'What was desired before this operation; null for a first deploy.';
comment on column public.tool_instance_operations.previous_spec is 'The spec an update may go back to; erased when it succeeds, when it was put back, or when the next operation begins. Not readable by users.';
comment on column public.tool_instance_operations.error_code is 'Stable reason code; set exactly when failed.';
comment on column public.tool_instance_operations.error_message is 'Sentence for the user; set exactly when failed.';
comment on column public.tool_instance_operations.answered_code is 'Error code its caller was answered when the agent could not be told; null when the end was observed.';
comment on column public.tool_instance_operations.started_at is 'When it was accepted.';
comment on column public.tool_instance_operations.lease_expires_at is 'Until then no other operation may start, except a stop or delete that takes its place.';
comment on column public.tool_instance_operations.finished_at is 'When its outcome was recorded.';
comment on column public.tool_instance_operations.instance_name is 'Display name of the instance when it ended. Kept by a trigger.';
comment on column public.tool_instance_operations.image is 'Image of the instance when it ended. Kept by a trigger.';
comment on column public.tool_instance_operations.image_digest is 'Digest of the image last observed when it ended. Kept by a trigger.';
comment on column public.tool_instance_operations.is_sealed is 'Whether its receipt was written.';

-- supabase/schemas/tool_instance_events.sql
-- Who did what to an instance. A trigger of account_tool_instances writes it.
create table public.tool_instance_events (
  id bigint generated always as identity primary key,
  -- No foreign key: the history of an instance outlives it.
  tool_instance_id uuid not null,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_kind text not null check (actor_kind in ('user', 'agent', 'control_plane', 'database')),
  actor_id uuid,
  action text not null,
  from_status public.account_tool_installation_status_enum,
  to_status public.account_tool_installation_status_enum,
  reason_code text,
  reason text,
  request_id text,
  operation_id uuid,
  generation bigint not null
);
create index tool_instance_events_tool_instance_id_idx on public.tool_instance_events (tool_instance_id, id);
create index tool_instance_events_environment_id_idx on public.tool_instance_events (account_tool_environment_id, id);
create index tool_instance_events_occurred_at_idx on public.tool_instance_events (occurred_at);

-- The RPCs say who acts through settings that end with the transaction. A write without them is the database's own.

create function private.set_event_context(
  actor_kind text, actor_id uuid, action text, request_id text, operation_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform set_config('toolbox.actor_kind', coalesce(actor_kind, ''), true),
    set_config('toolbox.actor_id', coalesce(actor_id::text, ''), true),
    set_config('toolbox.action', coalesce(action, ''), true),
    set_config('toolbox.request_id', coalesce(request_id, ''), true),
    set_config('toolbox.operation_id', coalesce(operation_id::text, ''), true);
end;
$$;
comment on function private.set_event_context is 'Names the actor of the following writes in this transaction; all nulls clear it.';

create function private.keep_events() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- Two ways out: the time of the event is over, or the toolbox itself is gone and takes its history along. A truncate
  -- has no row to ask.
  if tg_op = 'DELETE' and (
    old.occurred_at < now() - private.retention()
    or not exists (select from public.account_tool_environments e where e.id = old.account_tool_environment_id)
  ) then
    return old;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end;
$$;
comment on function private.keep_events() is 'Refuses every change of a history, to every role, until the time of an event is over.';

create trigger append_only before update or delete on public.tool_instance_events
  for each row execute function private.keep_events();
create trigger append_only_truncate before truncate on public.tool_instance_events
  for each statement execute function private.keep_events();

-- A machine says as much as it likes. What it says becomes history only while there is a token for it, per toolbox and kind.
create table private.event_buckets (
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  kind text not null,
  tokens double precision not null,
  filled_at timestamptz not null,
  dropped bigint not null default 0,
  last_dropped_at timestamptz,
  primary key (account_tool_environment_id, kind)
);
alter table private.event_buckets enable row level security;
revoke all on private.event_buckets from public, anon, authenticated, service_role;

comment on table private.event_buckets is 'How many events of each kind the agent of a toolbox may still cause, and how many were not kept.';
comment on column private.event_buckets.account_tool_environment_id is 'The toolbox.';
comment on column private.event_buckets.kind is 'The action of the events.';
comment on column private.event_buckets.tokens is 'Events that may be kept at once, as of filled_at.';
comment on column private.event_buckets.filled_at is 'When tokens was counted.';
comment on column private.event_buckets.dropped is 'Events that were not kept, ever.';
comment on column private.event_buckets.last_dropped_at is 'When the last one was not kept.';

create function private.take_event_token(toolbox_id uuid, event_kind text) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  -- All instances of a full toolbox may start, stop and start at once; after that, two events a minute.
  burst constant double precision := 600;
  per_second constant double precision := 2 / 60.0;
  filled double precision;
begin
  insert into private.event_buckets (account_tool_environment_id, kind, tokens, filled_at)
  values (toolbox_id, event_kind, burst, clock_timestamp())
  on conflict do nothing;
  select least(burst, b.tokens + per_second * greatest(0, extract(epoch from clock_timestamp() - b.filled_at))) into filled
  from private.event_buckets b
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind for no key update;
  update private.event_buckets b
  set tokens = case when filled >= 1 then filled - 1 else filled end, filled_at = clock_timestamp()
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind;
  return filled >= 1;
end;
$$;
comment on function private.take_event_token is
  'Whether one more event of this kind may be kept. The caller holds the locks of the instances it writes events of.';

-- True for the first that is not kept in ten minutes: that one is worth telling.
create function private.count_dropped_event(toolbox_id uuid, event_kind text) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  last_time timestamptz;
begin
  select b.last_dropped_at into last_time from private.event_buckets b
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind;
  update private.event_buckets b set dropped = b.dropped + 1, last_dropped_at = clock_timestamp()
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind;
  return last_time is null or last_time < clock_timestamp() - interval '10 minutes';
end;
$$;
comment on function private.count_dropped_event is 'Counts an event that is not kept; whether it is the first in ten minutes.';

alter table public.tool_instance_events enable row level security;
create policy "owners read their history" on public.tool_instance_events
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

revoke all on public.tool_instance_events from public, anon, authenticated, service_role;
grant select on public.tool_instance_events to authenticated, service_role;
revoke all on sequence public.tool_instance_events_id_seq from public, anon, authenticated, service_role;
revoke all on function
  private.set_event_context, private.keep_events(), private.take_event_token, private.count_dropped_event
  from public, anon, authenticated, service_role;

comment on table public.tool_instance_events is 'Append-only history of instances: who, what, from, to, why, for which request. Kept as long as private.retention() says.';
comment on column public.tool_instance_events.id is 'Order of events.';
comment on column public.tool_instance_events.tool_instance_id is 'The instance, which may be gone since.';
comment on column public.tool_instance_events.account_tool_environment_id is 'Its toolbox; decides who may read.';
comment on column public.tool_instance_events.occurred_at is 'Clock time, so that steps of one transaction differ.';
comment on column public.tool_instance_events.actor_kind is 'user, agent (DTMA reported it), control_plane, or database (a write outside the RPCs).';
comment on column public.tool_instance_events.actor_id is 'User id, or toolbox id of the agent.';
comment on column public.tool_instance_events.action is 'Operation, observe, lease_expired, superseded, tools_pinned, tools_accepted, tools_unpinned, or the SQL command of a write outside the RPCs.';
comment on column public.tool_instance_events.from_status is 'Null when the instance was created.';
comment on column public.tool_instance_events.to_status is 'Null when the row was removed.';
comment on column public.tool_instance_events.reason_code is 'Stable code when there is a reason.';
comment on column public.tool_instance_events.reason is 'Sentence when there is a reason.';
comment on column public.tool_instance_events.request_id is 'Request that caused it.';
comment on column public.tool_instance_events.operation_id is 'Operation it belongs to.';
comment on column public.tool_instance_events.generation is 'Generation of the instance after the change.';

-- supabase/schemas/toolbox_events.sql
-- Who did what to a toolbox itself: its agent restarted, replaced, reached by SSH. The functions write it.
create table public.toolbox_events (
  id bigint generated always as identity primary key,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_kind text not null check (actor_kind in ('user', 'operator', 'agent', 'control_plane')),
  actor_id uuid,
  kind text not null check (kind ~ '^[a-z][a-z0-9_]{0,63}$'),
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object' and octet_length(detail::text) <= 4096),
  result text not null check (result ~ '^[a-z][a-z0-9_]{0,63}$'),
  request_id text check (char_length(request_id) between 1 and 200),
  constraint users_have_an_id check (actor_kind not in ('user', 'operator') or actor_id is not null)
);
create index toolbox_events_environment_id_idx on public.toolbox_events (account_tool_environment_id, id);
create index toolbox_events_occurred_at_idx on public.toolbox_events (occurred_at);

create trigger append_only before delete on public.toolbox_events
  for each row execute function private.keep_events();
-- What begun events were is kept; how they ended is added once.
create trigger ends_once before update on public.toolbox_events
  for each row when (
    old.result <> 'begun' or new.result = 'begun' or not new.detail @> old.detail
    or (new.id, new.account_tool_environment_id, new.occurred_at, new.actor_kind, new.actor_id, new.kind, new.request_id)
      is distinct from (old.id, old.account_tool_environment_id, old.occurred_at, old.actor_kind, old.actor_id, old.kind, old.request_id)
  ) execute function private.keep_events();
create trigger append_only_truncate before truncate on public.toolbox_events
  for each statement execute function private.keep_events();

create function public.record_toolbox_event(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
  actor constant text := p ->> 'actor_kind';
  kind constant text := p ->> 'kind';
  -- Instances have buckets of their own, named by their actions.
  bucket constant text := 'toolbox_' || kind;
  is_told boolean := false;
  event_id bigint;
begin
  perform private.require_keys(p, 'toolbox_id', 'actor_kind', 'kind', 'result');
  perform from public.account_tool_environments e where e.id = toolbox_id for key share;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  -- What a machine says becomes history only while there is a token for it. What users do is always kept.
  if actor = 'agent' and not private.take_event_token(toolbox_id, bucket) then
    is_told := private.count_dropped_event(toolbox_id, bucket);
    if not is_told then
      return jsonb_build_object('outcome', 'limited');
    end if;
  end if;
  insert into public.toolbox_events (account_tool_environment_id, actor_kind, actor_id, kind, detail, result, request_id)
  values (
    toolbox_id, actor, (p ->> 'actor_id')::uuid, kind,
    case when is_told then '{}' else coalesce(nullif(p -> 'detail', 'null'), '{}') end,
    case when is_told then 'events_limited' else p ->> 'result' end,
    p ->> 'request_id'
  ) returning id into event_id;
  return jsonb_build_object('outcome', case when is_told then 'limited' else 'recorded' end, 'id', event_id);
end;
$$;
comment on function public.record_toolbox_event is
  'Adds one event to the history of a toolbox, with the result begun where its end is not known yet. Answers {outcome, id}: recorded; limited when the agent of the toolbox causes more events than are kept; or not_found. detail is an object of 4096 bytes at most, without secrets: the owner reads it.';

create function public.end_toolbox_event(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'id', 'result');
  update public.toolbox_events e
    set result = p ->> 'result', detail = e.detail || coalesce(nullif(p -> 'detail', 'null'), '{}')
    where e.id = (p ->> 'id')::bigint and e.result = 'begun';
  return jsonb_build_object('outcome', case when found then 'recorded' else 'not_begun' end);
end;
$$;
comment on function public.end_toolbox_event is
  'Says how an event that was recorded as begun ended, and adds to its detail. The first end holds. Answers {outcome}: recorded or not_begun.';

alter table public.toolbox_events enable row level security;
create policy "owners read the history of their toolboxes" on public.toolbox_events
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

revoke all on public.toolbox_events from public, anon, authenticated, service_role;
grant select on public.toolbox_events to authenticated, service_role;
revoke all on sequence public.toolbox_events_id_seq from public, anon, authenticated, service_role;
revoke all on function public.record_toolbox_event, public.end_toolbox_event from public, anon, authenticated, service_role;
grant execute on function public.record_toolbox_event, public.end_toolbox_event to service_role;

comment on table public.toolbox_events is 'Append-only history of toolboxes: each restart, redeployment, rollback and use of SSH, written before it is done. Kept as long as private.retention() says.';
comment on column public.toolbox_events.id is 'Order of events.';
comment on column public.toolbox_events.account_tool_environment_id is 'The toolbox; decides who may read.';
comment on column public.toolbox_events.occurred_at is 'When it was recorded.';
comment on column public.toolbox_events.actor_kind is 'user, operator (of all toolboxes), agent (the machine reported it), or control_plane.';
comment on column public.toolbox_events.actor_id is 'User id, also of an operator; or toolbox id of the agent.';
comment on column public.toolbox_events.kind is 'What was done, as a stable code.';
comment on column public.toolbox_events.detail is 'What belongs to it, by kind: operation, exit code, duration, versions. Never a secret.';
comment on column public.toolbox_events.result is 'begun until the end is recorded, and for good where the function ended before that; then succeeded or accepted, or the stable code of what went wrong; events_limited where later ones are left out.';
comment on column public.toolbox_events.request_id is 'Request that caused it.';

-- supabase/schemas/operation_receipts.sql
-- Who had what done, and how it ended: one receipt per ended operation, in an order per toolbox, each authenticated together with
-- the one before it by a key that the database does not have. The job seal_receipts of clock/tick writes them, because
-- operations also end in the database alone.
create table public.operation_receipts (
  -- No foreign key: receipts outlive the toolbox.
  toolbox_id uuid not null,
  number bigint not null check (number > 0),
  user_id uuid not null references auth.users (id) on delete cascade,
  operation_id uuid unique,
  -- The very bytes that are authenticated.
  content text not null check (octet_length(content) <= 8192),
  key_id text not null check (key_id ~ '^[0-9a-f]{16}$'),
  mac text not null check (mac ~ '^[0-9a-f]{64}$'),
  sealed_at timestamptz not null default clock_timestamp(),
  primary key (toolbox_id, number)
);
create index operation_receipts_user_id_idx on public.operation_receipts (user_id);
create index operation_receipts_sealed_at_idx on public.operation_receipts (sealed_at);

create function private.keep_receipts() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- Out go those whose time is over, from the oldest on; and all with their user.
  if tg_op = 'DELETE' and (
    old.sealed_at < now() - private.retention() or not exists (select from auth.users u where u.id = old.user_id)
  ) then
    return old;
  end if;
  raise exception 'operation_receipts is append-only' using errcode = 'insufficient_privilege';
end;
$$;
comment on function private.keep_receipts() is 'Refuses every change of receipts, to every role, until their time is over.';

create trigger append_only before update or delete on public.operation_receipts
  for each row execute function private.keep_receipts();
create trigger append_only_truncate before truncate on public.operation_receipts
  for each statement execute function private.keep_receipts();

alter table public.operation_receipts enable row level security;
create policy "owners read their receipts" on public.operation_receipts
  for select to authenticated using (user_id = (select auth.uid()));

revoke all on public.operation_receipts from public, anon, authenticated, service_role;
grant select on public.operation_receipts to authenticated, service_role;
revoke all on function private.keep_receipts() from public, anon, authenticated, service_role;

comment on table public.operation_receipts is 'Receipts of ended operations, chained per toolbox and authenticated. scripts/receipts verifies them. Kept as long as private.retention() says, that of the last operation for ever.';
comment on column public.operation_receipts.toolbox_id is 'The chain: the toolbox, which may be gone since.';
comment on column public.operation_receipts.number is 'Place in the chain, without gaps.';
comment on column public.operation_receipts.user_id is 'The owner of the toolbox; decides who may read.';
comment on column public.operation_receipts.operation_id is 'The operation; null in a checkpoint, which says from which receipt on the chain was kept.';
comment on column public.operation_receipts.content is 'The receipt, as JSON: who, what, image, result, and the mac of the receipt before.';
comment on column public.operation_receipts.key_id is 'Fingerprint of the key.';
comment on column public.operation_receipts.mac is 'HMAC-SHA256 of content, in hex.';
comment on column public.operation_receipts.sealed_at is 'When it was written.';

-- supabase/schemas/functions/receipts.sql
-- How ended operations get their receipts. The key is not here: what is to be sealed is given out, and comes back authenticated.

create function private.keep_outcome() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- What ran when the operation ended; a later one may change it before the receipt is written.
  select i.instance_name_on_toolbox, i.docker_image_url, i.image_digest into new.instance_name, new.image, new.image_digest
  from public.account_tool_instances i where i.id = new.tool_instance_id;
  return new;
end;
$$;
comment on function private.keep_outcome() is 'Keeps with an operation that ends what its instance ran.';

create trigger keep_outcome before update on public.tool_instance_operations
  for each row when (old.state = 'in_progress' and new.state <> 'in_progress')
  execute function private.keep_outcome();

create function public.get_unsealed_operations(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  chains jsonb;
begin
  with chosen as (
    (select distinct o.account_tool_environment_id as id from public.tool_instance_operations o
     where o.finished_at is not null and not o.is_sealed limit 20)
    union
    (select distinct r.toolbox_id from public.operation_receipts r
     -- Receipts of operations only: a checkpoint goes with those before it, and is no reason for another.
     where r.sealed_at < now() - private.retention() and r.operation_id is not null and exists (
       select from public.operation_receipts later
       where later.toolbox_id = r.toolbox_id and later.number > r.number and later.operation_id is not null
     )
     limit 20)
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'toolbox_id', c.id,
    'user_id', coalesce(e.user_id, head.user_id),
    'head', case when head.number is not null then jsonb_build_object('number', head.number, 'mac', head.mac) end,
    'expired', (
      select jsonb_build_object('number', old.number, 'mac', old.mac) from (
        select r.number, r.mac, r.sealed_at, r.operation_id from public.operation_receipts r
        where r.toolbox_id = c.id order by r.number limit 1000
      ) old
      where old.sealed_at < now() - private.retention() and old.operation_id is not null and old.number < (
        select max(r.number) from public.operation_receipts r where r.toolbox_id = c.id and r.operation_id is not null
      )
      order by old.number desc limit 1
    ),
    'operations', coalesce((
      select jsonb_agg(jsonb_build_object(
        'operation_id', o.id, 'user_id', o.user_id, 'instance_id', o.tool_instance_id, 'instance_name', o.instance_name,
        'action', o.action, 'generation', o.generation, 'request_id', o.request_id, 'image', left(o.image, 1000),
        'image_digest', left(o.image_digest, 200), 'result', o.state, 'error_code', o.error_code,
        'started_at', o.started_at, 'finished_at', o.finished_at
      ) order by o.finished_at, o.id)
      from (
        select * from public.tool_instance_operations ended
        where ended.account_tool_environment_id = c.id and ended.finished_at is not null and not ended.is_sealed
        order by ended.finished_at, ended.id limit 50
      ) o
    ), '[]')
  )), '[]') into chains
  from chosen c
  left join public.account_tool_environments e on e.id = c.id
  left join lateral (
    select r.number, r.mac, r.user_id from public.operation_receipts r where r.toolbox_id = c.id order by r.number desc limit 1
  ) head on true;
  return jsonb_build_object('outcome', 'found', 'chains', chains);
end;
$$;
comment on function public.get_unsealed_operations is
  'Chains with ended operations that have no receipt yet, or with receipts of operations whose time is over; 20 of each and 50 operations a chain at most. Answers {outcome: found, chains}.';

create function public.seal_operations(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  of_toolbox constant uuid := p ->> 'toolbox_id';
  expected constant bigint := coalesce((p ->> 'head_number')::bigint, 0);
  head record;
  receipt jsonb;
  place bigint := expected;
begin
  perform private.require_keys(p, 'toolbox_id', 'user_id', 'receipts');
  -- Two ticks at once: one of them seals.
  if not pg_try_advisory_xact_lock(hashtextextended('receipts of ' || of_toolbox::text, 0)) then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  select r.number, r.mac into head from public.operation_receipts r where r.toolbox_id = of_toolbox order by r.number desc limit 1;
  if coalesce(head.number, 0) <> expected or head.mac is distinct from p ->> 'head_mac' then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  for receipt in select r from jsonb_array_elements(p -> 'receipts') with ordinality as s (r, n) order by n loop
    place := place + 1;
    insert into public.operation_receipts (toolbox_id, number, user_id, operation_id, content, key_id, mac)
    values (
      of_toolbox, place, (p ->> 'user_id')::uuid, (receipt ->> 'operation_id')::uuid,
      receipt ->> 'content', receipt ->> 'key_id', receipt ->> 'mac'
    );
    update public.tool_instance_operations o set is_sealed = true where o.id = (receipt ->> 'operation_id')::uuid;
  end loop;
  delete from public.operation_receipts r where r.toolbox_id = of_toolbox and r.number <= (p ->> 'delete_through')::bigint;
  return jsonb_build_object('outcome', 'sealed', 'count', place - expected);
end;
$$;
comment on function public.seal_operations is
  'Appends receipts to the chain of a toolbox whose head is still (head_number, head_mac), and deletes those up to delete_through, whose time must be over. Answers {outcome}: sealed with a count, or superseded.';

revoke all on function private.keep_outcome(), public.get_unsealed_operations, public.seal_operations
  from public, anon, authenticated, service_role;
grant execute on function public.get_unsealed_operations, public.seal_operations to service_role;

-- supabase/schemas/alert_channels.sql
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

-- supabase/schemas/alert_rules.sql
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

-- supabase/schemas/alerts.sql
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

-- supabase/schemas/functions/raise_alerts.sql
-- How changes of state become alerts. Triggers do it in the transaction of the change: no path can forget it. Rules and
-- channels that are being removed are passed by, so that what a user does never holds up a heartbeat or the clock's job.

create function private.open_alerts(
  of_kind text, toolbox public.account_tool_environments, subject_id uuid, subject_name text, detail jsonb, lasts boolean,
  disk_percent numeric default null
) returns void
language plpgsql
set search_path = ''
as $$
declare
  rule record;
  known uuid;
  most_an_hour constant bigint := 60;
begin
  for rule in
    select r.id, r.channel_id
    from public.alert_rules r join public.alert_channels c on c.id = r.channel_id
    where r.user_id = toolbox.user_id and r.kind = of_kind and r.is_enabled and c.is_enabled
      and coalesce(r.account_tool_environment_id, toolbox.id) = toolbox.id
      and (open_alerts.disk_percent is null or open_alerts.disk_percent >= coalesce(r.disk_percent, 90))
    order by r.id
    for key share skip locked
  loop
    -- It lasts, or it came back at once: the same alert.
    update public.alerts a
    set recovering_since = null, last_at = clock_timestamp(), times = a.times + 1
    where a.rule_id = rule.id and a.subject_id = open_alerts.subject_id and a.closed_at is null and a.recovering_since is not null;
    -- What does not last is told once in ten minutes.
    update public.alerts a
    set last_at = clock_timestamp(), times = a.times + 1
    where not lasts and a.id = (
      select earlier.id from public.alerts earlier
      where earlier.rule_id = rule.id and earlier.subject_id = open_alerts.subject_id
        and earlier.last_at > clock_timestamp() - interval '10 minutes'
      order by earlier.last_at desc limit 1
    );
    if found or exists (
      select from public.alerts a
      where a.rule_id = rule.id and a.subject_id = open_alerts.subject_id and a.closed_at is null
    ) then
      continue;
    end if;
    -- A machine that reports without end neither fills the table nor sends mail without end; nor does one kind keep another
    -- from being told.
    if most_an_hour <= (
      select count(*) from public.alerts a
      where a.account_tool_environment_id = toolbox.id and a.kind = of_kind and a.opened_at > clock_timestamp() - interval '1 hour'
    ) then
      continue;
    end if;
    insert into public.alerts (rule_id, user_id, account_tool_environment_id, kind, subject_id, subject_name, detail, closed_at)
    values (
      rule.id, toolbox.user_id, toolbox.id, of_kind, open_alerts.subject_id, open_alerts.subject_name,
      jsonb_strip_nulls(open_alerts.detail), case when not lasts then clock_timestamp() end
    )
    on conflict do nothing
    returning id into known;
    if found then
      insert into public.alert_messages (alert_id, channel_id, event) values (known, rule.channel_id, 'opened');
    end if;
  end loop;
end;
$$;
comment on function private.open_alerts is
  'Opens an alert, with its message, for each rule of this kind that counts for the toolbox, unless one of the same subject is open. 60 an hour of one kind for one toolbox at most. The caller holds the lock of the subject.';

create function private.recover_alerts(of_kind text, subject_id uuid, disk_percent numeric default null) returns void
language sql
set search_path = ''
as $$
  with over as (
    select a.id from public.alerts a join public.alert_rules r on r.id = a.rule_id
    where a.subject_id = recover_alerts.subject_id and a.kind = of_kind and a.closed_at is null and a.recovering_since is null
      and (recover_alerts.disk_percent is null or recover_alerts.disk_percent < coalesce(r.disk_percent, 90) - 5)
    for key share of r skip locked
  )
  update public.alerts a set recovering_since = clock_timestamp()
  from over o where a.id = o.id and a.closed_at is null and a.recovering_since is null;
$$;
comment on function private.recover_alerts is
  'Notes that what the alerts of this kind are about is over; private.settle_alerts closes them when that has lasted a minute.';

create function private.is_older_version(version text, than text) returns boolean
language sql immutable
set search_path = ''
as $$
  -- What are no numbers is not compared. A release comes after what leads to it (1.2.0-rc.1).
  select coalesce(
    case when v.parts = t.parts then version like '%-%' and than not like '%-%' else v.parts < t.parts end, false
  )
  from (select string_to_array(substring(version from '^(\d{1,9}(\.\d{1,9})*)([-+].*)?$'), '.')::integer[] as parts) v,
    (select string_to_array(substring(than from '^(\d{1,9}(\.\d{1,9})*)([-+].*)?$'), '.')::integer[] as parts) t;
$$;
comment on function private.is_older_version is 'Whether one version comes before another, by their numbers.';

create function private.alert_of_toolbox() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  disk constant jsonb := new.dtma_health_details_json #> '{system_metrics,disk}';
  percent numeric;
  wanted text;
begin
  if not exists (select from public.alert_rules r where r.user_id = new.user_id) then
    return null;
  end if;
  if new.status <> old.status then
    if new.status = 'unresponsive' then
      perform private.open_alerts('toolbox_silent', new, new.id, new.name, jsonb_build_object('since', new.unresponsive_since), true);
    elsif old.status = 'unresponsive' then
      perform private.recover_alerts('toolbox_silent', new.id);
    end if;
  end if;
  if old.dtma_certificate_sha256 is not null and new.dtma_certificate_sha256 is distinct from old.dtma_certificate_sha256 then
    perform private.open_alerts('certificate_changed', new, new.id, new.name, jsonb_build_object(
      'from', old.dtma_certificate_sha256, 'to', new.dtma_certificate_sha256, 'accepted', true
    ), false);
  end if;
  if new.dtma_sequence is distinct from old.dtma_sequence then
    -- An accepted heartbeat named the pinned certificate.
    perform private.recover_alerts('certificate_changed', new.id);
  end if;
  if new.dtma_health_details_json is distinct from old.dtma_health_details_json then
    if jsonb_typeof(disk -> 'used_bytes') = 'number' and (disk ->> 'total_bytes')::numeric > 0 then
      percent := round(100 * (disk ->> 'used_bytes')::numeric / (disk ->> 'total_bytes')::numeric, 1);
      perform private.open_alerts('disk_full', new, new.id, new.name, jsonb_build_object(
        'percent', percent, 'mount', left(disk ->> 'mount', 255)
      ), true, percent);
      perform private.recover_alerts('disk_full', new.id, percent);
    end if;
  end if;
  if (new.dtma_last_known_version, new.dtma_health_details_json) is distinct from (old.dtma_last_known_version, old.dtma_health_details_json)
  then
    wanted := (select s.agent_version from private.settings s);
    if private.is_older_version(new.dtma_last_known_version, wanted) then
      perform private.open_alerts('agent_outdated', new, new.id, new.name, jsonb_build_object(
        'version', new.dtma_last_known_version, 'wanted', wanted
      ), true);
    else
      perform private.recover_alerts('agent_outdated', new.id);
    end if;
  end if;
  return null;
end;
$$;
comment on function private.alert_of_toolbox() is 'Turns changes of a toolbox into alerts of its owner.';

create trigger raise_alerts after update on public.account_tool_environments
  for each row when (
    old.status is distinct from new.status
    or old.dtma_certificate_sha256 is distinct from new.dtma_certificate_sha256
    or old.dtma_sequence is distinct from new.dtma_sequence
    or old.dtma_last_known_version is distinct from new.dtma_last_known_version
    or old.dtma_health_details_json is distinct from new.dtma_health_details_json
  )
  execute function private.alert_of_toolbox();

create function private.latest_ends(instance_id uuid) returns bigint
language sql stable
set search_path = ''
as $$
  -- A server that stops when nobody uses it has not ended.
  select count(*) from (
    select e.occurred_at, e.actor_kind, e.from_status, e.to_status from public.tool_instance_events e
    where e.tool_instance_id = instance_id order by e.id desc limit 200
  ) latest
  where latest.occurred_at > clock_timestamp() - interval '10 minutes' and latest.actor_kind = 'agent'
    and latest.from_status = 'running' and (
      latest.to_status in ('starting', 'error')
      or latest.to_status = 'stopped' and not exists (
        select from public.account_tool_instances i where i.id = instance_id and i.spec ? 'idle_minutes'
      )
    )
$$;
comment on function private.latest_ends is 'How often a tool ended in the last ten minutes without anybody asking for it.';

create function private.alert_of_instance() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  toolbox public.account_tool_environments;
  ends bigint;
begin
  if tg_op = 'DELETE' then
    perform private.recover_alerts('instance_error', old.id);
    perform private.recover_alerts('instance_flapping', old.id);
    return null;
  end if;
  select * into toolbox from public.account_tool_environments e
  where e.id = new.account_tool_environment_id and exists (select from public.alert_rules r where r.user_id = e.user_id);
  if not found then
    return null;
  end if;
  if new.status_on_toolbox <> old.status_on_toolbox then
    if new.status_on_toolbox = 'error' then
      perform private.open_alerts('instance_error', toolbox, new.id, new.instance_name_on_toolbox, jsonb_build_object(
        'reason_code', new.instance_error_code, 'reason', left(new.instance_error_message, 1000)
      ), true);
    elsif new.status_on_toolbox in ('running', 'stopped') then
      perform private.recover_alerts('instance_error', new.id);
    end if;
    -- Ends of a tool that nobody asked for. The event of this one is written already: triggers run in the order of their names.
    if old.status_on_toolbox = 'running' and new.status_on_toolbox in ('starting', 'stopped', 'error') then
      ends := private.latest_ends(new.id);
      if ends >= 5 then
        perform private.open_alerts('instance_flapping', toolbox, new.id, new.instance_name_on_toolbox, jsonb_build_object(
          'ends', ends, 'minutes', 10, 'reason_code', new.instance_error_code
        ), true);
      end if;
    end if;
  end if;
  if new.mcp_tools_fingerprint <> old.mcp_tools_fingerprint then
    perform private.open_alerts('tools_changed', toolbox, new.id, new.instance_name_on_toolbox, jsonb_build_object('change', (
      select left(e.reason, 1000) from public.tool_instance_events e
      where e.tool_instance_id = new.id and e.action = 'tools_changed' order by e.id desc limit 1
    )), false);
  end if;
  return null;
end;
$$;
comment on function private.alert_of_instance() is 'Turns changes of an instance into alerts of its owner.';

create trigger raise_alerts after update on public.account_tool_instances
  for each row when (
    old.status_on_toolbox is distinct from new.status_on_toolbox
    or old.mcp_tools_fingerprint is distinct from new.mcp_tools_fingerprint
  )
  execute function private.alert_of_instance();
create trigger raise_alerts_of_end after delete on public.account_tool_instances
  for each row execute function private.alert_of_instance();

-- What was over for a minute is told, and what flapped and has been quiet for ten.
create function private.settle_alerts() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  settled integer := 0;
  alert record;
begin
  -- Where a rule was being removed when its toolbox was heard of again, and stayed after all, nobody noted it.
  update public.alerts a set recovering_since = clock_timestamp()
  where a.id in (
    select missed.id from public.alerts missed join public.account_tool_environments e on e.id = missed.subject_id
    where missed.kind = 'toolbox_silent' and missed.closed_at is null and missed.recovering_since is null
      and e.status <> 'unresponsive'
    limit 200
    for update of missed skip locked
  );
  for alert in
    select a.id, a.kind, a.subject_id, a.recovering_since, r.channel_id
    from public.alerts a join public.alert_rules r on r.id = a.rule_id join public.alert_channels c on c.id = r.channel_id
    where a.closed_at is null and (
      a.recovering_since < clock_timestamp() - interval '1 minute'
      or a.kind = 'instance_flapping' and private.latest_ends(a.subject_id) = 0
    )
    order by a.recovering_since, a.id
    limit 200
    for update of a skip locked for key share of r, c skip locked
  loop
    update public.alerts a set closed_at = clock_timestamp() where a.id = alert.id;
    -- Whoever was not told of the beginning yet, in quiet hours for instance, is told of both at once. A message that is taken
    -- or removed at this moment is left to whoever does it.
    update public.alert_messages m set state = 'skipped', finished_at = clock_timestamp()
    where m.id in (
      select untold.id from public.alert_messages untold
      where untold.alert_id = alert.id and untold.state = 'pending' and untold.attempts = 0
      for update skip locked
    );
    insert into public.alert_messages (alert_id, channel_id, event) values (alert.id, alert.channel_id, 'recovered');
    settled := settled + 1;
  end loop;
  return settled;
end;
$$;
comment on function private.settle_alerts is
  'Closes alerts that have been over for a minute, with a message each, and notes which toolboxes are silent no more; 200 a call; returns how many it closed.';

revoke all on function
  private.open_alerts, private.recover_alerts, private.is_older_version, private.alert_of_toolbox(), private.latest_ends,
  private.alert_of_instance(),
  private.settle_alerts
  from public, anon, authenticated, service_role;

-- supabase/schemas/functions/deliver_alerts.sql
-- How messages leave the outbox. Each is taken with a lease, sent outside the database, and its outcome is written. Whoever
-- dies in between has it sent again: receivers know a message by its id. That too is an attempt.

create function private.alert_pauses(event text) returns interval[]
language sql immutable
set search_path = ''
as $$
  -- About nine hours in all. Whoever tests wants to know now.
  select case when event = 'test' then '{}' else '{10 seconds,30 seconds,2 minutes,10 minutes,30 minutes,2 hours,6 hours}' end::interval[];
$$;
comment on function private.alert_pauses is 'How long a message waits before its second attempt, its third, and so on; after the last of them it is given up.';

create function private.alert_channel_json(channel public.alert_channels) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', channel.id, 'kind', channel.kind, 'webhook_url', channel.webhook_url,
    'webhook_secret', channel.webhook_secret, 'webhook_secret_key_id', channel.webhook_secret_key_id,
    -- Null while the address is not confirmed.
    'email', case when channel.kind = 'email' then (
      select u.email from auth.users u where u.id = channel.user_id and u.email_confirmed_at is not null
    ) end
  );
$$;
comment on function private.alert_channel_json is 'How a channel is reached, its secret included.';

create function private.alert_message_json(message public.alert_messages) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', message.id, 'event', message.event, 'attempt', message.attempts,
    'channel', private.alert_channel_json(c),
    'alert', case when a.id is not null then jsonb_build_object(
      'id', a.id, 'kind', a.kind, 'toolbox_id', e.id, 'toolbox_name', e.name,
      'instance_id', case when a.subject_id <> e.id then a.subject_id end,
      'instance_name', case when a.subject_id <> e.id then a.subject_name end,
      'detail', a.detail, 'opened_at', a.opened_at, 'closed_at', a.closed_at, 'times', a.times
    ) end
  )
  from public.alert_channels c
  left join public.alerts a on a.id = message.alert_id
  left join public.account_tool_environments e on e.id = a.account_tool_environment_id
  where c.id = message.channel_id;
$$;
comment on function private.alert_message_json is 'A message, its alert unless it is a test, and how its channel is reached.';

create function public.claim_alert_messages(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 30;
  most_of_a_channel constant integer := 3;
  -- Longer than a delivery may take.
  lease constant interval := interval '1 minute';
  claimed jsonb;
begin
  -- Whoever sent these for the last time never said what became of it.
  with spent as (
    select m.id from public.alert_messages m
    where m.state = 'pending' and m.due_at <= clock_timestamp() and m.attempts > cardinality(private.alert_pauses(m.event))
    order by m.due_at
    limit 1000
    for update skip locked
  )
  update public.alert_messages m set state = 'failed', finished_at = clock_timestamp(), last_status = null, last_code = 'outcome_unknown'
  from spent s where m.id = s.id;
  with due as (
    select m.id, c.user_id, m.due_at, m.number, row_number() over (partition by m.channel_id order by m.due_at, m.number) as of_channel
    from public.alert_messages m join public.alert_channels c on c.id = m.channel_id
    where m.state = 'pending' and m.due_at <= clock_timestamp() and m.attempts <= cardinality(private.alert_pauses(m.event))
      -- A test is sent whatever the channel says: its owner has just asked for it.
      and (m.event = 'test' or c.is_enabled and not private.is_quiet(c))
      -- What an alert has to tell is told in order.
      and not exists (
        select from public.alert_messages earlier
        where earlier.alert_id = m.alert_id and earlier.number < m.number and earlier.state = 'pending'
      )
  ), in_turn as (
    select d.id, row_number() over (partition by d.user_id order by d.of_channel, d.due_at, d.number) as of_user
    from due d where d.of_channel <= most_of_a_channel
  ), taken as (
    -- Each user's first, then each user's second: nobody waits for another's many channels.
    select m.id from public.alert_messages m join in_turn t on t.id = m.id
    where m.state = 'pending' and m.due_at <= clock_timestamp()
    order by t.of_user, m.due_at
    limit most
    for update of m skip locked
  ), leased as (
    update public.alert_messages m set attempts = m.attempts + 1, due_at = clock_timestamp() + lease
    from taken t where m.id = t.id
    returning m.*
  )
  select coalesce(jsonb_agg(private.alert_message_json(row(l.*)::public.alert_messages) order by l.number), '[]') into claimed from leased l;
  return jsonb_build_object('outcome', 'claimed', 'messages', claimed);
end;
$$;
comment on function public.claim_alert_messages is
  'Takes messages that are due, 30 at most and 3 of a channel, from each user in turn, for a minute; gives up those whose last attempt nobody recorded. Answers {outcome: claimed, messages}, each with its alert, its channel and the channel''s secret.';

create function public.record_alert_delivery(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  pauses constant interval[] := (
    select private.alert_pauses(m.event) from public.alert_messages m where m.id = (p ->> 'message_id')::uuid
  );
  attempt constant integer := p ->> 'attempt';
  becomes constant text := case
    when p ->> 'outcome' = 'delivered' then 'delivered'
    when p ->> 'outcome' = 'retry' and attempt <= cardinality(pauses) then 'pending'
    when p ->> 'outcome' in ('retry', 'failed') then 'failed'
  end;
begin
  perform private.require_keys(p, 'message_id', 'attempt', 'outcome');
  if becomes is null then
    raise exception 'outcome in p must be delivered, retry or failed, not "%"', p ->> 'outcome' using errcode = 'invalid_parameter_value';
  end if;
  update public.alert_messages m
  set state = becomes,
    finished_at = case when becomes <> 'pending' then clock_timestamp() end,
    last_status = (p ->> 'status')::integer,
    last_code = p ->> 'code',
    -- Up to a tenth longer, so that messages that failed together do not come back together.
    due_at = case when becomes = 'pending' then clock_timestamp() + pauses[attempt] * (1 + random() / 10) else m.due_at end
  where m.id = (p ->> 'message_id')::uuid and m.state = 'pending' and m.attempts = attempt;
  return jsonb_build_object('outcome', case when found then 'recorded' else 'superseded' end, 'state', becomes);
end;
$$;
comment on function public.record_alert_delivery is
  'Writes what became of one attempt: delivered, retry (failed after the eighth, of a test after the first), or failed. Answers {outcome}: recorded with the state, or superseded when another attempt was begun since.';

revoke all on function
  private.alert_pauses, private.alert_channel_json, private.alert_message_json, public.claim_alert_messages, public.record_alert_delivery
  from public, anon, authenticated, service_role;
grant execute on function public.claim_alert_messages, public.record_alert_delivery to service_role;

-- supabase/schemas/ssh_checks.sql
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

-- supabase/schemas/rollouts.sql
-- Agents of many toolboxes replaced in waves. A row is a plan and what became of it; the job advance_rollouts of clock/tick
-- carries it out.
create table public.rollouts (
  id uuid primary key default gen_random_uuid(),
  -- No foreign key: what an operator began goes on, and still says who it was, when their account is gone.
  user_id uuid not null,
  is_fleet boolean not null default false,
  owner_id uuid generated always as (case when not is_fleet then user_id end) stored references auth.users (id) on delete cascade,
  version text not null check (version ~ '^[0-9][0-9A-Za-z.+-]{0,63}$'),
  wave_size integer not null check (wave_size between 1 and 10),
  state text not null default 'running' check (state in ('running', 'stopped', 'finished')),
  -- As RolloutToolbox of crates/toolbox-api/src/rollout.rs. No foreign keys: the list outlives its toolboxes.
  toolboxes jsonb not null check (jsonb_typeof(toolboxes) = 'array'),
  reason jsonb check (jsonb_typeof(reason) = 'object'),
  request_id text,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  step integer not null default 0,
  leased_until timestamptz not null default clock_timestamp(),
  -- Of one that was stopped, toolboxes may be under way: how they end is written as well.
  is_due boolean not null generated always as (state = 'running' or toolboxes @> '[{"state": "asked"}]') stored,
  constraint ended_rollouts_have_a_time check ((state = 'running') = (ended_at is null)),
  constraint stopped_rollouts_have_a_reason check ((state = 'stopped') = (reason is not null))
);
create index rollouts_owner_id_idx on public.rollouts (owner_id, created_at);
create unique index rollouts_running_idx on public.rollouts (owner_id) where state = 'running' and not is_fleet;
create unique index rollouts_fleet_running_idx on public.rollouts (is_fleet) where state = 'running' and is_fleet;
create index rollouts_fleet_idx on public.rollouts (created_at) where is_fleet;
create index rollouts_due_idx on public.rollouts (leased_until) where is_due;
create index rollouts_ended_at_idx on public.rollouts (ended_at);

alter table public.rollouts enable row level security;
create policy "owners read their rollouts" on public.rollouts
  for select to authenticated using (owner_id = (select auth.uid()));

revoke all on public.rollouts from public, anon, authenticated, service_role;
grant select on public.rollouts to authenticated, service_role;

comment on table public.rollouts is 'Redeployments of many toolboxes in waves, which stop at the first failure; a machine that is silent when it is its turn is not asked. One runs for a user at a time, and one of operators for toolboxes of all. Ended ones are kept as long as private.retention() says.';
comment on column public.rollouts.id is 'Named by the events of its toolboxes.';
comment on column public.rollouts.user_id is 'Who asked for it.';
comment on column public.rollouts.is_fleet is 'An operator asked, and it is about toolboxes of all users: its user does not read it here.';
comment on column public.rollouts.owner_id is 'Whose toolboxes they are, who alone reads it and whose account takes it along; null for the fleet.';
comment on column public.rollouts.version is 'The version that the agents are replaced by.';
comment on column public.rollouts.wave_size is 'So many toolboxes at a time; the next wave begins when each of them is healthy, silent or gone.';
comment on column public.rollouts.state is 'running, stopped (by a failure or its user) or finished.';
comment on column public.rollouts.toolboxes is 'In order: id, name, state (waiting, asked, healthy, failed or removed), operation_id, code and message of what went wrong, asked_at, looked_at, ended_at.';
comment on column public.rollouts.reason is 'Why it was stopped: code, message, and the toolbox_id it is about.';
comment on column public.rollouts.request_id is 'The request that began it.';
comment on column public.rollouts.created_at is 'When it began.';
comment on column public.rollouts.ended_at is 'When it was stopped or finished.';
comment on column public.rollouts.step is 'Grows with each tick that takes it, which alone may write what it saw.';
comment on column public.rollouts.leased_until is 'Until then a tick has it.';
comment on column public.rollouts.is_due is 'It runs, or toolboxes that it asked are under way.';

-- supabase/schemas/functions/rollouts.sql
-- How a rollout begins, is stopped and goes on. What comes next is decided by crates/toolbox-instances/src/rollouts.rs.

create function public.begin_rollout(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 500;
  of_user constant uuid := p ->> 'user_id';
  fleet constant boolean := coalesce((p ->> 'is_fleet')::boolean, false);
  -- An empty list names none; no list, all.
  asked constant uuid[] := case when jsonb_typeof(p -> 'toolbox_ids') = 'array' then coalesce((
    select array_agg(t.id::uuid order by t.place) from jsonb_array_elements_text(p -> 'toolbox_ids') with ordinality as t (id, place)
  ), '{}') end;
  chosen jsonb;
  rollout public.rollouts;
begin
  perform private.require_keys(p, 'user_id', 'version', 'wave_size');
  -- In the order of the list; without one, the oldest first. Of the fleet those come last that an earlier rollout of this version
  -- failed at: one machine that refuses it does not keep it from all others.
  select jsonb_agg(jsonb_build_object('id', e.id, 'name', e.name, 'state', 'waiting') order by
    array_position(asked, e.id),
    fleet and exists (
      select from public.rollouts r
      where r.is_fleet and r.version = p ->> 'version'
        and r.toolboxes @> jsonb_build_array(jsonb_build_object('id', e.id, 'state', 'failed'))
    ),
    e.created_at, e.id
  )
  into chosen
  from public.account_tool_environments e
  where (fleet or e.user_id = of_user) and (asked is null or e.id = any (asked))
    and e.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning')
    -- Machines that have not come yet are not asked unless they are named.
    and (asked is not null or e.status in ('active', 'unresponsive'))
    -- Of the fleet silent ones are left out: they would not be asked. Those that have the version need nothing.
    and (asked is not null or not fleet or e.status = 'active' and e.dtma_last_known_version is distinct from p ->> 'version');
  if chosen is null or jsonb_array_length(chosen) < (select count(distinct id) from unnest(asked) id) then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if fleet and asked is null then
    -- The oldest come first; the others are for the next rollout.
    chosen := jsonb_path_query_array(chosen, '$[0 to $last]', jsonb_build_object('last', most - 1));
  elsif jsonb_array_length(chosen) > most then
    return jsonb_build_object('outcome', 'too_many', 'most', most);
  end if;
  -- Toolboxes of the one before may be under way, or may just be asked by a tick that has it.
  if exists (
    select from public.rollouts r
    where r.is_fleet = fleet and (fleet or r.owner_id = of_user) and (r.is_due or r.leased_until > clock_timestamp())
  ) then
    return jsonb_build_object('outcome', 'in_progress');
  end if;
  insert into public.rollouts (user_id, is_fleet, version, wave_size, toolboxes, request_id)
  values (of_user, fleet, p ->> 'version', (p ->> 'wave_size')::integer, chosen, p ->> 'request_id')
  on conflict do nothing
  returning * into rollout;
  if rollout.id is null then
    return jsonb_build_object('outcome', 'in_progress');
  end if;
  if fleet then
    perform private.record_operator_event(of_user, 'rollout_begun', jsonb_build_object(
      'rollout', rollout.id, 'version', rollout.version, 'toolboxes', jsonb_array_length(chosen)
    ), p ->> 'request_id');
  end if;
  return jsonb_build_object('outcome', 'begun', 'rollout', to_jsonb(rollout));
end;
$$;
comment on function public.begin_rollout is
  'Plans the redeployment of a user''s toolboxes (toolbox_ids, or all that have a machine) in waves; with is_fleet those of all users, of which without a list the active ones that have another version, 500 at once. Answers {outcome}: begun with the rollout; not_found when a toolbox is not the user''s, or there is none; too_many; in_progress while one runs already, or toolboxes of it are under way.';

create function public.stop_rollout(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
  fleet constant boolean := coalesce((p ->> 'is_fleet')::boolean, false);
  rollout public.rollouts;
begin
  perform private.require_keys(p, 'rollout_id', 'user_id');
  update public.rollouts r
  set state = 'stopped', ended_at = clock_timestamp(), reason = jsonb_build_object(
    'code', 'stopped_by_user',
    'message', case when fleet then 'An operator' else 'Its user' end || ' stopped it; toolboxes that were asked already go on'
  )
  where r.id = (p ->> 'rollout_id')::uuid and r.is_fleet = fleet and (fleet or r.owner_id = of_user) and r.state = 'running';
  if found and fleet then
    perform private.record_operator_event(of_user, 'rollout_stopped', jsonb_build_object('rollout', p -> 'rollout_id'), p ->> 'request_id');
  end if;
  select * into rollout from public.rollouts r
  where r.id = (p ->> 'rollout_id')::uuid and r.is_fleet = fleet and (fleet or r.owner_id = of_user);
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'stopped', 'rollout', to_jsonb(rollout));
end;
$$;
comment on function public.stop_rollout is
  'Lets a user''s rollout ask no further toolbox, or with is_fleet that of any operator; one that has ended stays as it is. Answers {outcome}: stopped with the rollout, or not_found.';

create function public.claim_rollouts(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 5;
  -- Longer than a tick.
  lease constant interval := interval '1 minute';
  claimed jsonb;
begin
  with due as (
    select r.id from public.rollouts r
    where r.is_due and r.leased_until <= clock_timestamp()
    -- Who was served last is last. A user has one that is due, and operators have one, so they take turns.
    order by r.leased_until
    limit most
    for update skip locked
  ), leased as (
    update public.rollouts r set step = r.step + 1, leased_until = clock_timestamp() + lease
    from due d where r.id = d.id
    returning r.*
  )
  select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('rows', coalesce((
    -- Those that are under way, and those that may be next.
    select jsonb_agg(to_jsonb(e)) from (
      select e.id, e.status, e.public_ip_address, e.dtma_port, e.dtma_certificate_pem, e.dtma_key_id, e.dtma_last_known_version,
        e.dtma_api_version, e.instances_confirmed_at, e.unresponsive_since
      from public.account_tool_environments e
      -- What is being removed is not waited for.
      where e.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning') and e.id in (
        select (t.toolbox ->> 'id')::uuid from jsonb_array_elements(l.toolboxes) as t (toolbox) where t.toolbox ->> 'state' = 'asked'
        union all
        (select (t.toolbox ->> 'id')::uuid from jsonb_array_elements(l.toolboxes) with ordinality as t (toolbox, place)
         where t.toolbox ->> 'state' = 'waiting' order by t.place limit l.wave_size)
      )
    ) e
  ), '[]'))), '[]') into claimed from leased l;
  return jsonb_build_object('outcome', 'claimed', 'rollouts', claimed);
end;
$$;
comment on function public.claim_rollouts is
  'Takes rollouts with something to do, 5 at most, for a minute. Answers {outcome: claimed, rollouts}, each with the rows of the toolboxes that are under way or next.';

create function public.record_rollout(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  perform private.require_keys(p, 'rollout_id', 'step', 'toolboxes', 'state');
  update public.rollouts r
  set toolboxes = p -> 'toolboxes', leased_until = clock_timestamp(),
    -- Who stopped it meanwhile stopped it.
    state = case when r.state = 'running' then p ->> 'state' else r.state end,
    reason = case when r.state = 'running' then nullif(p -> 'reason', 'null') else r.reason end,
    ended_at = case when r.state <> 'running' then r.ended_at when p ->> 'state' <> 'running' then clock_timestamp() end
  where r.id = (p ->> 'rollout_id')::uuid and r.step = (p ->> 'step')::integer;
  return jsonb_build_object('outcome', case when found then 'recorded' else 'superseded' end);
end;
$$;
comment on function public.record_rollout is
  'Writes how the toolboxes of a rollout are, and whether it goes on, for the tick that has it (step). Answers {outcome}: recorded, or superseded when another tick took it since.';

revoke all on function public.begin_rollout, public.stop_rollout, public.claim_rollouts, public.record_rollout
  from public, anon, authenticated, service_role;
grant execute on function public.begin_rollout, public.stop_rollout, public.claim_rollouts, public.record_rollout to service_role;

-- supabase/schemas/functions/operations.sql
-- Operations: what callers may know of them, and how they end.

create function private.operation_json(operation public.tool_instance_operations) returns jsonb
language sql immutable
set search_path = ''
as $$
  -- Named one by one: neither the specs nor the idempotency key leave the database.
  select jsonb_build_object(
    'id', operation.id, 'tool_instance_id', operation.tool_instance_id, 'action', operation.action,
    'state', operation.state, 'request_id', operation.request_id, 'generation', operation.generation,
    'error_code', operation.error_code, 'error_message', operation.error_message,
    'answered_code', operation.answered_code,
    'started_at', operation.started_at, 'lease_expires_at', operation.lease_expires_at,
    'finished_at', operation.finished_at
  );
$$;
comment on function private.operation_json is 'What callers may know of an operation.';

create function private.instance_json(instance_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select to_jsonb(i) from public.account_tool_instances i where i.id = instance_id;
$$;
comment on function private.instance_json is 'All columns of an instance, spec included; null when it is gone.';

-- An abandoned update keeps the spec that its agent may still go back to.
create function private.abandon_expired_operations(instance_id uuid) returns void
language sql
set search_path = ''
as $$
  with abandoned as (
    update public.tool_instance_operations o
    set state = 'abandoned', finished_at = clock_timestamp()
    where o.tool_instance_id = instance_id and o.state = 'in_progress' and o.lease_expires_at <= clock_timestamp()
    returning o.*
  )
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason,
    request_id, operation_id, generation
  )
  select a.tool_instance_id, a.account_tool_environment_id, 'control_plane', 'lease_expired',
    i.status_on_toolbox, i.status_on_toolbox, 'lease_expired',
    format('The %s operation recorded no outcome before its lease ended', a.action),
    a.request_id, a.id, a.generation
  from abandoned a left join public.account_tool_instances i on i.id = a.tool_instance_id;
$$;
comment on function private.abandon_expired_operations is 'Ends operations whose lease ran out, with an event each.';

create function private.supersede_operation(instance_id uuid, by_action text) returns void
language sql
set search_path = ''
as $$
  with superseded as (
    update public.tool_instance_operations o
    set state = 'abandoned', finished_at = clock_timestamp()
    where o.tool_instance_id = instance_id and o.state = 'in_progress'
    returning o.*
  )
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason,
    request_id, operation_id, generation
  )
  select s.tool_instance_id, s.account_tool_environment_id, 'control_plane', 'superseded',
    i.status_on_toolbox, i.status_on_toolbox, 'superseded',
    format('A %s took the place of the %s operation before its end was observed', by_action, s.action),
    s.request_id, s.id, s.generation
  from superseded s left join public.account_tool_instances i on i.id = s.tool_instance_id;
$$;
comment on function private.supersede_operation is 'Ends the operation in progress, with an event, because another takes its place.';

create function private.forget_ways_back(instance_id uuid) returns void
language plpgsql
set search_path = ''
as $$
begin
  update public.tool_instance_operations o set previous_spec = null
  where o.tool_instance_id = instance_id and o.state <> 'in_progress' and o.previous_spec is not null;
end;
$$;
comment on function private.forget_ways_back is
  'Erases the specs that updates of an instance that have ended could still go back to.';

create function private.close_operation(operation_id uuid, result jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.require_keys(result, 'state');
  if result ->> 'state' not in ('succeeded', 'failed') then
    raise exception 'operation_result.state in p must be succeeded or failed, not "%"', result ->> 'state'
      using errcode = 'invalid_parameter_value';
  end if;
  if result ->> 'state' = 'failed' then
    perform private.require_keys(result, 'error_code', 'error_message');
  end if;
  update public.tool_instance_operations o
  set state = result ->> 'state',
    error_code = case when result ->> 'state' = 'failed' then result ->> 'error_code' end,
    error_message = case when result ->> 'state' = 'failed' then left(result ->> 'error_message', 4000) end,
    answered_code = case when result ->> 'state' = 'failed' then result ->> 'answered_code' end,
    finished_at = clock_timestamp(),
    previous_spec = case when result ->> 'state' = 'failed' then o.previous_spec end
  where o.id = operation_id and o.state = 'in_progress';
end;
$$;
comment on function private.close_operation is
  'Records the outcome of an operation in progress; a success erases the spec it kept.';

revoke all on function
  private.operation_json, private.instance_json, private.abandon_expired_operations, private.supersede_operation,
  private.forget_ways_back,
  private.close_operation
  from public, anon, authenticated, service_role;

-- supabase/schemas/functions/begin_tool_instance_operation.sql
-- The one way in which a mutation of a user starts: checks, lock, idempotency and the first status in one transaction.

create function private.replay_operation(
  owner_id uuid, key text, fingerprint text, former_fingerprint text, requested_action text
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  used public.tool_instance_operations;
begin
  -- Two requests with the same key wait for each other here, before either looks.
  perform pg_advisory_xact_lock(hashtextextended(owner_id::text || ':' || key, 0));
  update public.tool_instance_operations o set idempotency_key = null, request_fingerprint = null
  where o.user_id = owner_id and o.idempotency_key = key and o.started_at <= now() - interval '24 hours';
  select * into used from public.tool_instance_operations o where o.user_id = owner_id and o.idempotency_key = key;
  if not found then
    return null;
  end if;
  -- The fingerprint's key is another one since the root secret was replaced.
  if used.action <> requested_action
    or used.request_fingerprint is distinct from fingerprint and (used.request_fingerprint = former_fingerprint) is not true
  then
    return jsonb_build_object('outcome', 'key_reused');
  end if;
  perform private.abandon_expired_operations(used.tool_instance_id);
  select * into used from public.tool_instance_operations o where o.id = used.id;
  return jsonb_build_object(
    'outcome', 'replayed', 'operation', private.operation_json(used), 'instance', private.instance_json(used.tool_instance_id)
  );
end;
$$;
comment on function private.replay_operation is 'The outcome to answer for a key used before; null when the key is free.';

create function private.insert_tool_instance(p jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
  instance_limit constant integer := private.quota((p ->> 'user_id')::uuid, 'max_tools', (p ->> 'max_instances')::integer);
  taken_by uuid;
begin
  perform private.require_keys(p, 'name', 'container_name', 'tool_catalog_id', 'spec');
  select i.id into taken_by from public.account_tool_instances i
  where i.account_tool_environment_id = toolbox_id and i.instance_name_on_toolbox = p ->> 'name';
  if found then
    return jsonb_build_object('outcome', 'name_taken', 'instance_id', taken_by);
  end if;
  if instance_limit <= (
    select count(*) from public.account_tool_instances i where i.account_tool_environment_id = toolbox_id
  ) then
    return jsonb_build_object('outcome', 'quota_exceeded', 'limit', instance_limit);
  end if;
  insert into public.account_tool_instances (
    id, account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec,
    desired_status, status_on_toolbox, mcp_pin_due_at
  ) values (
    (p ->> 'instance_id')::uuid, toolbox_id, (p ->> 'tool_catalog_id')::uuid, p ->> 'name', p ->> 'container_name', p -> 'spec',
    p ->> 'desired_status', (p ->> 'to_status')::public.account_tool_installation_status_enum,
    case when (p ->> 'pin_tools')::boolean then now() end
  );
  return null;
end;
$$;
comment on function private.insert_tool_instance is
  'First deploy: inserts the row, or returns the outcome that forbids it. The caller holds the lock of the toolbox.';

-- Keeps what was desired before. From here on, no earlier operation can be rolled back.
create function public.begin_tool_instance_operation(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
  owner_id constant uuid := p ->> 'user_id';
  target_id constant uuid := p ->> 'instance_id';
  is_deploy constant boolean := p ->> 'action' = 'deploy';
  lease constant interval := make_interval(secs => (p ->> 'lease_seconds')::double precision);
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  refusal jsonb;
  old_spec jsonb;
  old_desired text;
begin
  perform private.require_keys(
    p, 'toolbox_id', 'user_id', 'action', 'instance_id', 'request_id', 'lease_seconds', 'to_status', 'desired_status'
  );
  if p ->> 'action' not in ('deploy', 'update', 'start', 'stop', 'restart', 'delete') then
    raise exception 'Unknown action in p: "%"', p ->> 'action' using errcode = 'invalid_parameter_value';
  end if;
  if lease not between interval '1 second' and interval '1 hour' then
    raise exception 'lease_seconds in p must be from 1 to 3600' using errcode = 'invalid_parameter_value';
  end if;

  -- Locks are taken from the toolbox down. A deploy holds the toolbox, so that names and counts cannot race;
  -- the other actions only keep it from vanishing and run side by side.
  if is_deploy then
    perform from public.account_tool_environments e where e.id = toolbox_id and e.user_id = owner_id for no key update;
  else
    perform from public.account_tool_environments e where e.id = toolbox_id and e.user_id = owner_id for key share;
  end if;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if p ->> 'idempotency_key' is not null then
    refusal := private.replay_operation(
      owner_id, p ->> 'idempotency_key', p ->> 'request_fingerprint', p ->> 'former_request_fingerprint', p ->> 'action'
    );
    if refusal is not null then
      return refusal;
    end if;
  end if;

  select * into instance from public.account_tool_instances i where i.id = target_id for update;
  if instance.id is null and not is_deploy or instance.account_tool_environment_id <> toolbox_id then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  operation.id := gen_random_uuid();
  perform private.set_event_context('user', owner_id, p ->> 'action', p ->> 'request_id', operation.id);

  if instance.id is null then
    refusal := private.insert_tool_instance(p);
    if refusal is not null then
      return refusal;
    end if;
    select * into instance from public.account_tool_instances i where i.id = target_id;
  else
    perform private.abandon_expired_operations(target_id);
    select jsonb_build_object('outcome', 'in_progress', 'operation', private.operation_json(o)) into refusal
    from public.tool_instance_operations o
    where o.tool_instance_id = target_id and o.state = 'in_progress' and not coalesce(p -> 'preempts' ? o.action, false);
    if found then
      return refusal;
    end if;
    -- A new spec made from an older one would undo what came between.
    if instance.status_on_toolbox::text <> p ->> 'expected_status'
      or instance.generation <> (p ->> 'expected_generation')::bigint
    then
      return jsonb_build_object('outcome', 'status_changed', 'status', instance.status_on_toolbox);
    end if;
    perform private.supersede_operation(target_id, p ->> 'action');
    perform private.forget_ways_back(target_id);
    old_desired := instance.desired_status;
    if p ->> 'action' in ('deploy', 'update') and p ->> 'spec' is not null then
      old_spec := instance.spec;
    end if;
    update public.account_tool_instances i
    set status_on_toolbox = (p ->> 'to_status')::public.account_tool_installation_status_enum,
      desired_status = p ->> 'desired_status',
      generation = i.generation + 1,
      spec = case when old_spec is null then i.spec else p -> 'spec' end,
      container_name = coalesce(p ->> 'container_name', i.container_name),
      instance_error_code = null,
      instance_error_message = null
    where i.id = target_id
    returning * into instance;
    if p ->> 'restores' is not null then
      perform private.note_restored_version(target_id, (p ->> 'restores')::bigint, false);
    end if;
  end if;

  insert into public.tool_instance_operations (
    id, tool_instance_id, account_tool_environment_id, user_id, action, request_id, idempotency_key,
    request_fingerprint, generation, previous_spec, previous_desired, started_at, lease_expires_at
  ) values (
    operation.id, target_id, toolbox_id, owner_id, p ->> 'action', p ->> 'request_id', p ->> 'idempotency_key',
    p ->> 'request_fingerprint', instance.generation, old_spec, old_desired, clock_timestamp(), clock_timestamp() + lease
  ) returning * into operation;
  perform private.set_event_context(null, null, null, null, null);
  return jsonb_build_object(
    'outcome', 'started', 'operation', private.operation_json(operation), 'instance', to_jsonb(instance)
  );
end;
$$;
comment on function public.begin_tool_instance_operation is
  'Starts one mutation of an instance for the user who owns the toolbox. Answers {outcome}: started, replayed, in_progress, status_changed, name_taken, key_reused, not_found or quota_exceeded. An operation in progress whose action is in p.preempts gives way and is abandoned. Waits 5 s for locks at most.';

revoke all on function
  private.replay_operation, private.insert_tool_instance, public.begin_tool_instance_operation
  from public, anon, authenticated, service_role;
grant execute on function public.begin_tool_instance_operation to service_role;

-- supabase/schemas/functions/view_versions.sql
-- The order of views of an agent, and the reach of its generations.

-- An agent may be ahead of a database that was restored from a backup; the database catches up. That must not bring it to
-- the end of the counter: the last generation that JSON numbers hold exactly could be neither observed nor deleted.
create function private.generation_in_reach(seen bigint, held bigint) returns boolean
language sql immutable
set search_path = ''
as $$
  select seen - held <= 1000000 and seen <= 9007199254740991 - 1000000;
$$;
comment on function private.generation_in_reach is
  'Whether an agent may be at a generation when the database is at another: a backup is not a million commands old.';

create function private.view_number(view_version jsonb) returns bigint
language sql immutable
set search_path = ''
as $$
  -- Beyond what is exact in JSON only a hostile agent counts: that must not raise, and holds nothing back.
  select case
    when (view_version ->> 'number')::numeric between 0 and 9007199254740991 then trunc((view_version ->> 'number')::numeric)::bigint
    when view_version ->> 'number' is not null then 0
  end;
$$;
comment on function private.view_number is 'The number in a ViewVersion of the DTMA API.';

create function private.is_overtaken(instance public.account_tool_instances, view_version jsonb) returns boolean
language sql stable
set search_path = ''
as $$
  -- No view is on its way for minutes. A machine that was taken back to a snapshot of its memory counts anew in the same run,
  -- and is to be believed again.
  select coalesce(
    instance.view_run = (view_version ->> 'run')::uuid and private.view_number(view_version) < instance.view_number
      and instance.view_applied_at > clock_timestamp() - interval '10 minutes',
    false
  );
$$;
comment on function private.is_overtaken is
  'A later view of the same run of the agent was applied. Those of different runs, or without a version, are taken as they come.';

revoke all on function
  private.generation_in_reach, private.view_number, private.is_overtaken
  from public, anon, authenticated, service_role;

-- supabase/schemas/functions/record_tool_instance_states.sql
-- Writes what was decided of instances: of what agents showed, and of commands that came to nothing. crates/toolbox-domain
-- decides. What is kept here is what a decision cannot know: that the row is still the one it was made of, the order of views,
-- whose operation is under way, and the spec that an update may go back to.

create function private.apply_steps(instance_id uuid, steps jsonb) returns void
language plpgsql
set search_path = ''
as $$
declare
  step jsonb;
  reached public.account_tool_installation_status_enum;
begin
  if jsonb_array_length(steps) > 20 then
    raise exception 'steps in p may hold 20 at most' using errcode = 'invalid_parameter_value';
  end if;
  for step in select s from jsonb_array_elements(steps) s loop
    perform private.require_keys(step, 'status');
    reached := step ->> 'status';
    if reached = 'error' then
      perform private.require_keys(step, 'reason_code', 'reason');
    end if;
    update public.account_tool_instances i
    set status_on_toolbox = reached,
      instance_error_code = case when reached = 'error' then step ->> 'reason_code' end,
      instance_error_message = case when reached = 'error' then left(step ->> 'reason', 4000) end
    where i.id = instance_id;
  end loop;
end;
$$;
comment on function private.apply_steps is
  'Walks an instance through statuses one by one, each with its event; the guard refuses an illegal one.';

-- A lasting view without a version makes the next one count, whatever its number. One that is not lasting is only ordered.
create function private.apply_observation(instance_id uuid, observed jsonb, view_version jsonb) returns void
language sql
set search_path = ''
as $$
  -- A key that is absent keeps the column.
  update public.account_tool_instances i
  set container_id = case when observed ? 'container_id' then observed ->> 'container_id' else i.container_id end,
    image_digest = case when observed ? 'image_digest' then observed ->> 'image_digest' else i.image_digest end,
    port_mapping_json = case
      when jsonb_typeof(observed -> 'ports') = 'array' then observed -> 'ports' else i.port_mapping_json
    end,
    last_observed_at = case when observed is not null then clock_timestamp() else i.last_observed_at end,
    view_run = (view_version ->> 'run')::uuid,
    view_number = private.view_number(view_version),
    view_applied_at = case when view_version is not null then clock_timestamp() end
  where i.id = instance_id and (observed is not null or view_version is not null);
$$;
comment on function private.apply_observation is 'Stores what an agent showed beside the status, and which view it was.';

create function private.record_state(p jsonb, of_toolbox uuid, request_id text) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  target_id constant uuid := p ->> 'instance_id';
  own_operation_id constant uuid := p ->> 'operation_id';
  seen_generation constant bigint := p ->> 'generation';
  view_version constant jsonb := case when jsonb_typeof(p -> 'view_version') = 'object' then p -> 'view_version' end;
  observed constant jsonb := nullif(p -> 'observed', 'null');
  result constant jsonb := nullif(p -> 'operation_result', 'null');
  restores_spec constant boolean := coalesce((p ->> 'restore_previous_spec')::boolean, false);
  steps jsonb := coalesce(nullif(p -> 'steps', 'null'), '[]');
  instance public.account_tool_instances;
  operation public.tool_instance_operations;
  is_live boolean;
  is_end boolean;
  is_late boolean;
  restored_spec jsonb;
  restored_desired text;
begin
  perform private.require_keys(p, 'instance_id', 'generation', 'expected_generation', 'expected_status', 'actor_kind', 'settled');
  if seen_generation < 1 or seen_generation < (p ->> 'expected_generation')::bigint then
    raise exception 'generation in p is out of range' using errcode = 'invalid_parameter_value';
  end if;

  select * into instance from public.account_tool_instances i
  where i.id = target_id and i.account_tool_environment_id = coalesce(of_toolbox, i.account_tool_environment_id) for update;
  select * into operation from public.tool_instance_operations o
  where o.tool_instance_id = target_id and o.state = 'in_progress';
  if instance.id is null then
    if operation.id = own_operation_id and result is not null then
      perform private.close_operation(operation.id, result);
    end if;
    return jsonb_build_object('outcome', 'not_found');
  end if;

  is_live := coalesce(operation.lease_expires_at > clock_timestamp(), false);
  is_end := coalesce(result is not null and operation.generation = seen_generation, false);
  -- A view that was overtaken is used only for the end of its own operation.
  is_late := private.is_overtaken(instance, view_version);
  if instance.status_on_toolbox::text <> p ->> 'expected_status'
    or instance.generation <> (p ->> 'expected_generation')::bigint
    or not private.generation_in_reach(seen_generation, instance.generation)
    or is_late and not is_end
    or (case
      -- The writer's operation has ended meanwhile, or was of another generation. It may end late, as long as nobody took over.
      when own_operation_id is not null then
        operation.id is distinct from own_operation_id or operation.generation <> seen_generation
      -- Somebody else's operation runs: only what belongs to it counts.
      when is_live then operation.generation <> seen_generation or coalesce((p ->> 'only_idle')::boolean, false)
      else false
    end)
  then
    return jsonb_build_object('outcome', 'stale', 'instance', to_jsonb(instance) - 'spec');
  end if;

  -- An update whose lease is over may still go on, as its agent shows, and end.
  if own_operation_id is null and operation.id is not null and not is_live
    and (operation.generation <> seen_generation or (p ->> 'settled')::boolean and not is_end)
  then
    perform private.abandon_expired_operations(target_id);
    operation := null;
  end if;
  if operation.id is null and result is not null then
    -- The abandoned update whose outcome arrives now.
    select * into operation from public.tool_instance_operations o
    where o.tool_instance_id = target_id and o.previous_spec is not null and o.generation = seen_generation;
  end if;
  restored_spec := case when restores_spec then operation.previous_spec end;
  restored_desired := case when (p ->> 'restore_previous_desired')::boolean then operation.previous_desired end;
  if restores_spec and observed is not null and restored_spec is null then
    -- What runs is not what the row says, and nobody knows any more what it was.
    perform private.require_keys(coalesce(result, '{}'), 'error_code', 'error_message');
    steps := jsonb_build_array(jsonb_build_object(
      'status', 'error', 'reason_code', result ->> 'error_code', 'reason', result ->> 'error_message'
    ));
  end if;

  perform private.set_event_context(
    p ->> 'actor_kind',
    case p ->> 'actor_kind' when 'agent' then instance.account_tool_environment_id when 'user' then operation.user_id end,
    coalesce(operation.action, 'observe'), coalesce(operation.request_id, record_state.request_id), operation.id
  );
  if not is_late then
    perform private.apply_steps(target_id, steps);
    perform private.apply_observation(target_id, observed, view_version);
    if observed is not null and not restores_spec and (p ->> 'settled')::boolean and seen_generation = instance.generation
      and exists (select from public.account_tool_instances i where i.id = target_id and i.status_on_toolbox = 'running')
    then
      perform private.note_version_that_runs(target_id, observed);
    end if;
  end if;
  -- A generation names one desired state for ever, so what is put back is a new one: agents may have seen the one that is taken
  -- back. An agent that is ahead has seen a database that was restored from a backup since: what is desired now must be newer
  -- there too, or every later command is stale.
  if seen_generation > instance.generation or restored_spec is not null or restored_desired is not null then
    update public.account_tool_instances i
    set spec = coalesce(restored_spec, i.spec), desired_status = coalesce(restored_desired, i.desired_status),
      generation = seen_generation + 1
    where i.id = target_id;
    if restored_spec is not null then
      perform private.note_restored_version(target_id, (
        select max(v.generation) from public.account_tool_instance_versions v
        where v.tool_instance_id = target_id and v.generation < operation.generation
      ), true);
    end if;
  end if;
  if operation.id is not null and result is not null then
    perform private.close_operation(operation.id, result);
    -- An error may pass, and the update be rolled back after all.
    if restored_spec is not null
      or exists (select from public.account_tool_instances i where i.id = target_id and i.status_on_toolbox <> 'error')
    then
      perform private.forget_ways_back(target_id);
    end if;
  end if;
  if (p ->> 'remove_row')::boolean then
    delete from public.account_tool_instances i where i.id = target_id;
  end if;
  perform private.set_event_context(null, null, null, null, null);
  return jsonb_build_object('outcome', 'recorded', 'instance', private.instance_json(target_id) - 'spec');
end;
$$;
comment on function private.record_state is
  'Writes one decision; the caller holds the locks. Answers {outcome, instance}: recorded, stale with the row as it is, or not_found.';

create function public.record_tool_instance_states(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_toolbox constant uuid := p ->> 'toolbox_id';
  is_superseded boolean := false;
  ids uuid[];
  item jsonb;
  result jsonb;
  results jsonb := '[]';
begin
  perform private.require_keys(p, 'items');
  if jsonb_array_length(p -> 'items') > 1000 then
    raise exception 'items in p may hold 1000 at most' using errcode = 'invalid_parameter_value';
  end if;
  select array_agg((e ->> 'instance_id')::uuid) into ids from jsonb_array_elements(p -> 'items') e;
  -- Same order of locks as begin_tool_instance_operation: toolbox, then instances, these by their ids.
  if p ->> 'boot' is not null then
    -- A report without a version cannot be put in order by itself. The next heartbeat waits for this lock, and then sees what is
    -- written here.
    perform from public.account_tool_environments e
    where e.id = of_toolbox and (e.dtma_boot, e.dtma_sequence) = ((p ->> 'boot')::bigint, (p ->> 'sequence')::bigint)
    for share;
    is_superseded := not found;
  end if;
  perform from public.account_tool_environments e
  where e.id in (select i.account_tool_environment_id from public.account_tool_instances i where i.id = any (ids))
  order by e.id for key share;
  perform from public.account_tool_instances i where i.id = any (ids) order by i.id for update;
  -- Each item takes tokens of the kind of its own events. Calls for other instances of the toolbox take the same ones.
  perform from private.event_buckets b
  where b.account_tool_environment_id in (select i.account_tool_environment_id from public.account_tool_instances i where i.id = any (ids))
  order by b.account_tool_environment_id, b.kind for no key update;
  for item in select e from jsonb_array_elements(p -> 'items') with ordinality as s (e, n) order by n loop
    if is_superseded then
      result := jsonb_build_object('outcome', 'superseded');
    else
      -- What cannot be written of one instance must not keep the others from being written.
      begin
        result := private.record_state(item, of_toolbox, p ->> 'request_id');
      exception when data_exception or integrity_constraint_violation then
        raise warning 'The record of instance % was refused: %', item ->> 'instance_id', sqlerrm;
        result := jsonb_build_object('outcome', 'refused', 'instance_id', item -> 'instance_id', 'code', sqlstate);
      end;
    end if;
    results := results || jsonb_build_array(result);
  end loop;
  return jsonb_build_object('results', results)
    || case when of_toolbox is null then '{}' else jsonb_build_object('desired_digest', private.desired_digest(of_toolbox)) end;
end;
$$;
comment on function public.record_tool_instance_states is
  'Writes what was decided of instances, each onto the row it was decided of. Answers {results}, one {outcome, instance} per item in their order: recorded, stale, not_found, or refused with instance_id and the SQLSTATE as code; and {desired_digest} of the toolbox that p may name, to which all items must belong then. p may also name the heartbeat (boot, sequence) that told of them: the outcome of all is superseded once a later one of the toolbox was recorded. Waits 5 s for locks at most.';

revoke all on function
  private.apply_steps, private.apply_observation, private.record_state, public.record_tool_instance_states
  from public, anon, authenticated, service_role;
grant execute on function public.record_tool_instance_states to service_role;

-- supabase/schemas/functions/toolbox_keys.sql
-- How the keys of toolboxes are checked and replaced. The database never sees a key, only the hash of the one that agents
-- present.

create function private.is_toolbox_key(toolbox public.account_tool_environments, token_hash text) returns boolean
language sql stable
set search_path = ''
as $$
  select toolbox.status <> 'deprovisioned' and (
    toolbox.dtma_token_hash = token_hash
    or toolbox.dtma_previous_token_hash = token_hash
      and (toolbox.dtma_previous_token_expires_at is null or toolbox.dtma_previous_token_expires_at > now())
  );
$$;
comment on function private.is_toolbox_key is 'Whether this is the hash of a key the toolbox may present now.';

create function public.rotate_toolbox_key(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  -- So many at a time keep neither the caller nor a heartbeat waiting.
  batch constant integer := 10000;
  rotated uuid[];
begin
  if (p ->> 'toolbox_id' is null) = (p ->> 'all' is distinct from 'true') then
    raise exception 'p must hold either toolbox_id or all: true' using errcode = 'invalid_parameter_value';
  end if;
  with chosen as (
    select e.id from public.account_tool_environments e
    where e.status <> 'deprovisioned' and case
      when p ->> 'toolbox_id' is not null then e.id = (p ->> 'toolbox_id')::uuid
      else p ->> 'after' is null or e.id > (p ->> 'after')::uuid
    end
    order by e.id limit batch
    for no key update
  ), updated as (
    update public.account_tool_environments e set dtma_key_epoch = e.dtma_key_epoch + 1
    from chosen c where e.id = c.id
    returning e.id
  )
  select coalesce(array_agg(u.id order by u.id), '{}') into rotated from updated u;
  if p ->> 'toolbox_id' is not null and cardinality(rotated) = 0 then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
    'outcome', 'rotated', 'count', cardinality(rotated),
    'next', case when cardinality(rotated) = batch then rotated[batch] end
  ));
end;
$$;
comment on function public.rotate_toolbox_key is
  'Wants new keys for one toolbox, or for all from "after" on; each agent gets them with its next heartbeat. Answers {outcome}: rotated with a count, and next when there may be more: call again with all and after: next; or not_found.';

create function public.offer_toolbox_key(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'toolbox_id', 'key_id', 'token_hash', 'boot', 'sequence');
  select * into toolbox from public.account_tool_environments e where e.id = (p ->> 'toolbox_id')::uuid for no key update;
  -- An offer belongs to one heartbeat. One that comes late must not replace what a later heartbeat was given.
  if toolbox.id is null or toolbox.dtma_token_hash is null
    or split_part(p ->> 'key_id', '.', 2) <> toolbox.dtma_key_epoch::text
    or (toolbox.dtma_boot, toolbox.dtma_sequence) is distinct from ((p ->> 'boot')::bigint, (p ->> 'sequence')::bigint)
  then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  update public.account_tool_environments e
  set dtma_offered_key_id = p ->> 'key_id',
    dtma_token_hash = p ->> 'token_hash',
    -- An offer nobody used is replaced; the key in use stays until the new one was seen.
    dtma_previous_token_hash = case when e.dtma_offered_key_id is null then e.dtma_token_hash else e.dtma_previous_token_hash end,
    dtma_previous_token_expires_at = null
  where e.id = toolbox.id;
  return jsonb_build_object('outcome', 'offered');
end;
$$;
comment on function public.offer_toolbox_key is
  'Stores the hash of a key about to be told in the answer to the heartbeat (boot, sequence); the key in use counts until 10 minutes after the first use of the new one. Answers {outcome}: offered, or superseded; then no key may be told.';

revoke all on function
  private.is_toolbox_key, public.rotate_toolbox_key, public.offer_toolbox_key
  from public, anon, authenticated, service_role;
grant execute on function public.rotate_toolbox_key, public.offer_toolbox_key to service_role;

-- supabase/schemas/functions/toolbox_enrolment.sql
-- How a machine learns its keys. The database never sees a key, only the hash of the one that agents present.

create function private.advance_tool_environment(
  toolbox_id uuid,
  from_status public.account_tool_environment_status_enum,
  to_status public.account_tool_environment_status_enum
) returns void
language plpgsql
set search_path = ''
as $$
declare
  way constant public.account_tool_environment_status_enum[] := case
    when to_status = 'awaiting_heartbeat' then case from_status
      when 'pending_provision' then '{provisioning,awaiting_heartbeat}'
      when 'provisioning' then '{awaiting_heartbeat}'
      else '{}'
    end
    else case from_status
      when 'pending_provision' then '{provisioning,awaiting_heartbeat,active}'
      when 'provisioning' then '{awaiting_heartbeat,active}'
      when 'awaiting_heartbeat' then '{active}'
      -- A machine given up on that reports is there.
      when 'error_provisioning' then '{active}'
      when 'unresponsive' then '{active}'
      else '{}'
    end
  end;
  step public.account_tool_environment_status_enum;
begin
  foreach step in array way loop
    update public.account_tool_environments e set status = step, provisioning_error_message = null where e.id = toolbox_id;
  end loop;
end;
$$;
comment on function private.advance_tool_environment is
  'Walks a toolbox to awaiting_heartbeat or active over legal steps; one that is beyond, or leaving, stays.';

create function private.add_toolbox_enrolment(toolbox_id uuid, ttl_seconds double precision) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  ttl constant interval := make_interval(secs => ttl_seconds);
  -- 366 random bits, from the generator that also makes the ids.
  token constant text := 'tbe_' || rtrim(translate(encode(sha256(
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
  ), 'base64'), '+/', '-_'), '=');
  enrolment private.toolbox_enrolments;
begin
  if ttl not between interval '1 second' and interval '1 day' then
    raise exception 'ttl_seconds in p must be from 1 to 86400' using errcode = 'invalid_parameter_value';
  end if;
  insert into private.toolbox_enrolments (token_hash, toolbox_id, expires_at)
  values (encode(sha256(token::bytea), 'hex'), add_toolbox_enrolment.toolbox_id, clock_timestamp() + ttl)
  returning * into enrolment;
  return jsonb_build_object('token', token, 'expires_at', enrolment.expires_at);
end;
$$;
comment on function private.add_toolbox_enrolment is 'Makes a token for a toolbox. The token is told here and kept nowhere.';

create function public.create_toolbox_enrolment(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'ttl_seconds');
  perform from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid
    and e.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning')
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  delete from private.toolbox_enrolments t where t.toolbox_id = (p ->> 'toolbox_id')::uuid;
  return jsonb_build_object('outcome', 'created')
    || private.add_toolbox_enrolment((p ->> 'toolbox_id')::uuid, (p ->> 'ttl_seconds')::double precision);
end;
$$;
comment on function public.create_toolbox_enrolment is
  'Makes the one token a machine can enrol with, and forgets earlier ones of the toolbox. Answers {outcome}: created with token and expires_at, or not_found. The token is told here and kept nowhere.';

create function public.enrol_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox public.account_tool_environments;
  enrolment private.toolbox_enrolments;
  fingerprint constant text := private.certificate_sha256(p ->> 'certificate_pem');
begin
  perform private.require_keys(p, 'toolbox_id', 'token_hash', 'certificate_pem', 'certificate_sha256');
  if fingerprint is distinct from p ->> 'certificate_sha256' then
    raise exception 'certificate_sha256 in p is not the fingerprint of certificate_pem' using errcode = 'invalid_parameter_value';
  end if;
  -- Anybody may knock: only a token that exists makes the toolbox wait.
  perform from private.toolbox_enrolments t
  where t.token_hash = p ->> 'token_hash' and t.toolbox_id = (p ->> 'toolbox_id')::uuid;
  if found then
    select * into toolbox from public.account_tool_environments e
    where e.id = (p ->> 'toolbox_id')::uuid
      and e.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning')
    for no key update;
    select * into enrolment from private.toolbox_enrolments t
    where t.token_hash = p ->> 'token_hash' and t.toolbox_id = toolbox.id;
  end if;
  if enrolment.token_hash is null then
    return jsonb_build_object('outcome', 'refused', 'reason', 'unknown');
  end if;
  -- Asked again because the answer was lost: only with the same certificate, and only until a heartbeat has shown
  -- that the answer arrived. Certificates are public, so from then on the token must be worth nothing.
  if enrolment.used_at is not null
    and (enrolment.used_certificate_sha256 <> fingerprint or toolbox.dtma_boot is not null)
  then
    return jsonb_build_object('outcome', 'refused', 'reason', 'used');
  end if;
  if enrolment.expires_at <= clock_timestamp() then
    return jsonb_build_object('outcome', 'refused', 'reason', 'expired');
  end if;
  if enrolment.used_at is not null then
    return jsonb_build_object('outcome', 'enrolled', 'epoch', toolbox.dtma_key_epoch);
  end if;

  update private.toolbox_enrolments t set used_at = clock_timestamp(), used_certificate_sha256 = fingerprint
  where t.token_hash = enrolment.token_hash;
  -- A droplet that was asked for twice may have two.
  delete from private.toolbox_enrolments t where t.toolbox_id = toolbox.id and t.token_hash <> enrolment.token_hash;
  -- Whatever key was known before, stolen or not, ends here.
  update public.account_tool_environments e
  set dtma_key_epoch = e.dtma_key_epoch + 1,
    dtma_key_id = null, dtma_offered_key_id = null,
    dtma_token_hash = null, dtma_previous_token_hash = null, dtma_previous_token_expires_at = null,
    dtma_boot = null, dtma_sequence = null,
    dtma_certificate_pem = p ->> 'certificate_pem',
    -- Where the enrolment came from, unless somebody gave the address. A wrong one is harmless, because only the holder of the
    -- certificate above is ever told anything.
    public_ip_address = case when e.kind = 'byo' and (e.public_ip_address is null or e.address_is_told)
      then coalesce((p ->> 'address')::inet, e.public_ip_address) else e.public_ip_address end,
    enrolled_from = (p ->> 'address')::inet,
    address_is_told = e.address_is_told or (e.kind = 'byo' and e.public_ip_address is null and p ->> 'address' is not null),
    -- A machine that names no host key is not reached by SSH: the one from before may be another machine's.
    ssh_host_key = p ->> 'ssh_host_key',
    ssh_port = coalesce((p ->> 'ssh_port')::integer, 22),
    dtma_last_known_version = coalesce(left(p ->> 'version', 100), e.dtma_last_known_version),
    dtma_api_version = coalesce((p ->> 'api_version')::integer, e.dtma_api_version)
  where e.id = toolbox.id
  returning * into toolbox;
  perform private.advance_tool_environment(toolbox.id, toolbox.status, 'awaiting_heartbeat');
  return jsonb_build_object('outcome', 'enrolled', 'epoch', toolbox.dtma_key_epoch);
end;
$$;
comment on function public.enrol_toolbox is
  'First step of an enrolment: spends the token, pins the certificate and SSH''s host key, ends all keys, begins a new epoch. Answers {outcome}: enrolled with the epoch to derive keys for, or refused with a reason: unknown, expired, used.';

create function public.set_toolbox_key(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'key_id', 'token_hash');
  -- Only right after enrol_toolbox: never over a key that is in use.
  update public.account_tool_environments e
  set dtma_key_id = p ->> 'key_id', dtma_token_hash = p ->> 'token_hash'
  where e.id = (p ->> 'toolbox_id')::uuid and e.dtma_boot is null
    and split_part(p ->> 'key_id', '.', 2) = e.dtma_key_epoch::text
    and exists (select from private.toolbox_enrolments t where t.toolbox_id = e.id and t.used_at is not null);
  return jsonb_build_object('outcome', case when found then 'set' else 'superseded' end);
end;
$$;
comment on function public.set_toolbox_key is
  'Second step of an enrolment: stores the hash of the key the agent will present. Answers {outcome}: set, or superseded when another enrolment or a heartbeat came between; then no key may be told.';

revoke all on function
  private.advance_tool_environment, private.add_toolbox_enrolment, public.create_toolbox_enrolment, public.enrol_toolbox,
  public.set_toolbox_key
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_toolbox_enrolment, public.enrol_toolbox, public.set_toolbox_key
  to service_role;

-- supabase/schemas/functions/own_machines.sql
-- Toolboxes on machines that their users bring. Reads go through row-level security; what is written, and how many a user may
-- have, is decided here.

create function public.create_own_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
  most constant integer := private.quota(of_user, 'max_toolboxes', (p ->> 'max_toolboxes')::integer);
  made uuid;
begin
  perform private.require_keys(p, 'user_id', 'name', 'max_toolboxes');
  -- Two requests at once are counted one after the other.
  perform pg_advisory_xact_lock(hashtextextended('toolboxes of ' || of_user, 0));
  if (select count(*) from public.account_tool_environments e where e.user_id = of_user and e.status <> 'deprovisioned') >= most then
    return jsonb_build_object('outcome', 'quota_exceeded', 'most', most);
  end if;
  insert into public.account_tool_environments (user_id, name, description, public_ip_address)
  values (of_user, p ->> 'name', p ->> 'description', (p ->> 'address')::inet)
  returning id into made;
  return jsonb_build_object('outcome', 'created', 'id', made);
end;
$$;
comment on function public.create_own_toolbox is
  'Makes the toolbox of a machine that its user brings. Answers {outcome}: created with its id, or quota_exceeded with most when the user has max_toolboxes, or as many as an operator allows them.';

create function public.update_own_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'user_id');
  update public.account_tool_environments e
  set name = coalesce(p ->> 'name', e.name),
    description = case when p ? 'description' then p ->> 'description' else e.description end,
    public_ip_address = case when p ? 'address' then (p ->> 'address')::inet else e.public_ip_address end,
    address_is_told = e.address_is_told and not p ? 'address'
  where e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'user_id')::uuid
    -- A bought machine has the name too, and its address is DigitalOcean's.
    and (e.kind = 'byo' or not p ?| '{name,address}');
  return jsonb_build_object('outcome', case when found then 'updated' else 'not_found' end);
end;
$$;
comment on function public.update_own_toolbox is
  'Writes the name, the description and the address that are in p; a null ends a description or an address. Answers {outcome}: updated, or not_found.';

create function public.delete_own_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'user_id');
  -- A droplet is paid for until it is gone: its row leaves by another way.
  delete from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'user_id')::uuid and e.kind = 'byo';
  return jsonb_build_object('outcome', case when found then 'deleted' else 'not_found' end);
end;
$$;
comment on function public.delete_own_toolbox is
  'Removes the row of a machine that its user brought, and with it the keys: the machine is told nothing any more. Answers {outcome}: deleted, or not_found.';

revoke all on function public.create_own_toolbox, public.update_own_toolbox, public.delete_own_toolbox
  from public, anon, authenticated, service_role;
grant execute on function public.create_own_toolbox, public.update_own_toolbox, public.delete_own_toolbox to service_role;

-- supabase/schemas/functions/agent_toolbox.sql
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

-- supabase/schemas/functions/desired_state.sql
-- What an agent should hold, and the digest by which it knows that it does.

create function private.desired_digest(toolbox_id uuid) returns text
language plpgsql stable
set search_path = ''
as $$
begin
  -- The lines of toolbox_api::heartbeat::digest_line. Ids sort as their texts do.
  return (
    select encode(sha256(coalesce(
      string_agg(format(E'%s:%s:%s\n', i.id, i.generation, i.desired_status), '' order by i.id), ''
    )::bytea), 'hex')
    from public.account_tool_instances i where i.account_tool_environment_id = toolbox_id
  );
end;
$$;
comment on function private.desired_digest is
  'SHA-256 in hex over one line id:generation:desired for each instance of a toolbox, in order of their ids.';

-- A generation that is a restart stays one: an agent that asks after the lease of its operation gets the same answer. It
-- also learns whether the generation is a deployment, for which registries are asked again.
create function public.get_desired_state(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  answer jsonb;
begin
  perform private.require_keys(p, 'toolbox_id', 'token_hash');
  -- One statement, so that digest and instances are of one moment.
  select jsonb_build_object(
    'outcome', 'found',
    'digest', private.desired_digest(e.id),
    'instances', coalesce((
      select jsonb_agg(jsonb_build_object(
        'id', i.id, 'generation', i.generation, 'desired', i.desired_status, 'name', i.instance_name_on_toolbox,
        'container_name', i.container_name, 'spec', i.spec, 'known_ports', i.port_mapping_json,
        'restart', o.action = 'restart', 'refresh_image', o.action in ('deploy', 'update')
      ) order by i.id)
      from public.account_tool_instances i
      left join lateral (
        select coalesce(max(open.action), '') as action from public.tool_instance_operations open
        where open.tool_instance_id = i.id and open.state in ('in_progress', 'abandoned') and open.generation = i.generation
      ) o on true
      where i.account_tool_environment_id = e.id
    ), '[]')
  ) into answer
  from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and private.is_toolbox_key(e, p ->> 'token_hash');
  return coalesce(answer, jsonb_build_object('outcome', 'unauthorized'));
end;
$$;
comment on function public.get_desired_state is
  'All instances of a toolbox as they should be, and which of them to restart for that, for the agent that presents its key. Holds secrets. Answers {outcome}: found, or unauthorized for an unknown toolbox and a wrong key alike.';

revoke all on function private.desired_digest, public.get_desired_state from public, anon, authenticated, service_role;
grant execute on function public.get_desired_state to service_role;

-- supabase/schemas/functions/mcp_health.sql
-- Health of MCP servers as agents last saw it, and servers that change their tools.

create function private.text_of_tools_changed(changed jsonb) returns text
language sql immutable
set search_path = ''
as $$
  -- Names come from a server nobody vouches for: few, short, and without line breaks.
  select coalesce(string_agg(part, '; ' order by place), 'The server lists other tools than before')
  from (
    select place, format('%s: %s', label, string_agg(
      case when n <= 50 then left(regexp_replace(name, '[[:cntrl:]]', ' ', 'g'), 60) else '…' end, ', ' order by n
    ))
    from (values (1, 'added', 'Added'), (2, 'removed', 'Removed'), (3, 'changed', 'Changed')) as kinds (place, key, label),
      jsonb_array_elements_text(case when jsonb_typeof(changed -> key) = 'array' then changed -> key else '[]' end)
        with ordinality as names (name, n)
    where n <= 51
    group by place, label
  ) as parts (place, part);
$$;
comment on function private.text_of_tools_changed is 'ToolsChanged of the DTMA API in words, of bounded length.';

create function private.kept_mcp_health(mcp jsonb) returns jsonb
language sql immutable
set search_path = ''
as $$
  -- What is too large to keep is left out, rather than kept from before: that may be true no longer.
  select case
    when jsonb_typeof(mcp) <> 'object' then null
    when octet_length(mcp::text) <= 32768 then mcp
    when octet_length((mcp - 'tools_changed')::text) <= 32768 then mcp - 'tools_changed'
  end;
$$;
comment on function private.kept_mcp_health is 'McpHealth of the DTMA API as a row keeps it.';

create function private.record_tools_changed(instance_id uuid, generation bigint, mcp jsonb, request_id text) returns void
language plpgsql
set search_path = ''
as $$
declare
  instance public.account_tool_instances;
begin
  select * into instance from public.account_tool_instances i where i.id = instance_id;
  if not found or generation < instance.generation then
    return;
  end if;
  if not mcp ->> 'tools_fingerprint' ~ '^[0-9a-f]{64}$' then
    return;
  end if;
  -- Told once: the fingerprint is kept. Without an earlier one, only the agent can know that it is another.
  if (case
    when instance.mcp_tools_fingerprint is null then jsonb_typeof(mcp -> 'tools_changed') = 'object'
    else instance.mcp_tools_fingerprint <> mcp ->> 'tools_fingerprint'
  end) then
    -- A server that changes its tools all the time: the fingerprint told last stays, and a later report says that there were
    -- several changes, and tells the last.
    if (
      select count(*) from public.tool_instance_events e
      where e.tool_instance_id = instance_id and e.action = 'tools_changed' and e.occurred_at > clock_timestamp() - interval '1 minute'
    ) >= 5 or not private.take_event_token(instance.account_tool_environment_id, 'tools_changed') then
      return;
    end if;
    insert into public.tool_instance_events (
      tool_instance_id, account_tool_environment_id, actor_kind, actor_id, action, from_status, to_status,
      reason_code, reason, request_id, generation
    ) values (
      instance.id, instance.account_tool_environment_id, 'agent', instance.account_tool_environment_id, 'tools_changed',
      instance.status_on_toolbox, instance.status_on_toolbox, 'tools_changed',
      -- The agent tells the last change only, which may not be one of the list that was told last.
      case when instance.mcp_tools_fingerprint <> mcp #>> '{tools_changed,from_fingerprint}' then 'Several changes; the last: ' else '' end
        || private.text_of_tools_changed(mcp -> 'tools_changed'),
      record_tools_changed.request_id, instance.generation
    );
  end if;
  update public.account_tool_instances i
  set mcp_tools_fingerprint = mcp ->> 'tools_fingerprint'
  where i.id = instance_id;
end;
$$;
comment on function private.record_tools_changed is
  'Stores which tools an MCP server lists; another list than before is an event, a few times a minute. The caller holds the lock of the row.';

revoke all on function
  private.text_of_tools_changed, private.kept_mcp_health, private.record_tools_changed
  from public, anon, authenticated, service_role;

-- supabase/schemas/functions/instance_reports.sql
-- What a heartbeat tells of instances, compared with their rows. Nothing is decided here: rows that may have to be changed are
-- answered, and record_tool_instance_states writes what is decided of them. Written here is only what needs no decision: the
-- health of MCP servers, and which view was seen last. The caller holds the lock of the toolbox and has checked its key; every
-- row is looked up within that toolbox.

create type private.instance_report as (
  id uuid, generation bigint, phase text, settled boolean, reason jsonb, container_id text, image_digest text, ports jsonb,
  rolled_back boolean, mcp jsonb, view_version jsonb
);
comment on type private.instance_report is 'InstanceReport of the heartbeat; phase is null when nothing of the instance is left.';

-- A view that brings no news is the last that was applied too: what comes late and is earlier takes nothing back.
create function private.compare_instance_reports(toolbox_id uuid, heartbeat jsonb, request_id text) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  named uuid[];
  unknown uuid[];
  news jsonb;
  missing jsonb;
  other_tools jsonb[];
  confirms boolean;
begin
  if jsonb_array_length(heartbeat -> 'instances') > 200 then
    raise exception 'instances in p.heartbeat may hold 200 at most' using errcode = 'invalid_parameter_value';
  end if;
  with reports as materialized (
    select distinct on (r.id) r.id, r.generation, r.phase, r.settled, r.reason, r.container_id, r.image_digest, r.ports, r.rolled_back,
      r.view_version, r.mcp, private.kept_mcp_health(r.mcp) as health
    from jsonb_array_elements(heartbeat -> 'instances') with ordinality as e (report, n),
      jsonb_populate_record(null::private.instance_report, e.report) r
    order by r.id, e.n desc
  ), seen as materialized (
    select r.id, r.generation, r.view_version, r.mcp, r.health, i.id as known, i.mcp_health is distinct from r.health as is_health_new,
      r.mcp ->> 'tools_fingerprint' is distinct from i.mcp_tools_fingerprint and r.mcp ->> 'tools_fingerprint' is not null as has_other_tools,
      i.view_run as seen_run, i.view_number as seen_number,
      jsonb_typeof(r.view_version) = 'object' and not private.is_overtaken(i, r.view_version)
        and (i.view_run, i.view_number) is distinct from ((r.view_version ->> 'run')::uuid, private.view_number(r.view_version)) as is_view_new,
      -- Neither an older generation counts, nor one that is too high to be real.
      r.generation >= i.generation and private.generation_in_reach(r.generation, i.generation) as counts,
      -- This may select too much: the domain decides.
      case when r.generation >= i.generation and private.generation_in_reach(r.generation, i.generation) and (
        r.generation > i.generation
        or case
          when r.phase = 'error' or r.rolled_back and r.settled then 'error'
          when r.phase in ('pending', 'pulling', 'building', 'creating') then 'deploying'
          else r.phase
        end is distinct from i.status_on_toolbox::text
        or r.settled and (i.container_id, i.image_digest, i.port_mapping_json) is distinct from (r.container_id, r.image_digest, r.ports)
        or (r.phase = 'error' or r.rolled_back) and (i.instance_error_code, i.instance_error_message)
          is distinct from (r.reason ->> 'code', r.reason ->> 'message')
        or exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.state = 'in_progress'
        )
        -- An error that stays says nothing new of an update that may still be rolled back.
        or (r.rolled_back or r.phase is distinct from 'error') and exists (
          select from public.tool_instance_operations o where o.tool_instance_id = i.id and o.previous_spec is not null
        )
      ) then to_jsonb(i) - 'spec' end as news
    from reports r
    left join public.account_tool_instances i on i.id = r.id and i.account_tool_environment_id = toolbox_id
  ), locked as materialized (
    -- In the order in which record_tool_instance_states takes its locks. An answer may have been recorded since the row was
    -- seen, and is later then.
    select i.id, s.health, s.view_version,
      s.is_view_new and s.news is null and (i.view_run, i.view_number) is not distinct from (s.seen_run, s.seen_number) as is_last_view
    from seen s join public.account_tool_instances i on i.id = s.known
    where s.counts and (s.is_health_new or s.has_other_tools or s.is_view_new and s.news is null) and s.generation >= i.generation
    order by i.id for no key update of i
  ), refreshed as (
    update public.account_tool_instances i
    set mcp_health = l.health, last_observed_at = clock_timestamp(),
      view_run = case when l.is_last_view then (l.view_version ->> 'run')::uuid else i.view_run end,
      view_number = case when l.is_last_view then private.view_number(l.view_version) else i.view_number end,
      view_applied_at = case when l.is_last_view then clock_timestamp() else i.view_applied_at end
    from locked l
    where i.id = l.id
  )
  select array_agg(s.id), array_agg(s.id) filter (where s.known is null), jsonb_agg(s.news order by s.id) filter (where s.news is not null),
    array_agg(jsonb_build_object('id', s.id, 'generation', s.generation, 'mcp', s.mcp) order by s.id) filter (where s.counts and s.has_other_tools),
    coalesce(bool_and(s.counts and s.news is null) filter (where s.known is not null), true)
  into named, unknown, news, other_tools, confirms
  from seen s;

  perform private.record_tools_changed((t ->> 'id')::uuid, (t ->> 'generation')::bigint, t -> 'mcp', request_id)
  from unnest(other_tools) t;
  -- What a full heartbeat does not name is not on the machine: unless Docker could not be asked, or it is too new to have
  -- arrived.
  if (heartbeat ->> 'full')::boolean and (heartbeat ->> 'docker_reachable')::boolean then
    select jsonb_agg(to_jsonb(i) - 'spec' order by i.id) filter (where i.updated_at < clock_timestamp() - interval '30 seconds'),
      confirms and count(*) = 0
    into missing, confirms
    from (
      select i.* from public.account_tool_instances i
      where i.account_tool_environment_id = toolbox_id and i.id <> all (coalesce(named, '{}'))
        and i.desired_status <> 'absent' and i.status_on_toolbox not in ('pending_delete', 'deleting', 'error')
        and not (i.status_on_toolbox = 'stopped' and i.desired_status = 'stopped')
      order by i.id limit 200
    ) i;
  else
    confirms := false;
  end if;
  return jsonb_build_object('unknown', coalesce(unknown, '{}'), 'news', coalesce(news, '[]'), 'missing', coalesce(missing, '[]'),
    'confirms', confirms);
end;
$$;
comment on function private.compare_instance_reports is
  'Stores the health that a heartbeat tells, and answers {unknown}, instances that are not of the toolbox; {news}, the rows that its reports may change; {missing}, those that it should name and does not; and {confirms}, whether all rows are as the agent tells: it names what should be on the machine, each at the generation of its row, and has no news.';

revoke all on function private.compare_instance_reports from public, anon, authenticated, service_role;

-- supabase/schemas/mcp_use.sql
-- How MCP servers are used, as agents count it: by instance, tool, client and day. Never what was asked or answered.
create table public.mcp_use (
  account_tool_instance_id uuid not null references public.account_tool_instances (id) on delete cascade,
  day date not null,
  tool text not null check (char_length(tool) between 1 and 128),
  client text not null check (char_length(client) between 1 and 128),
  run bigint not null,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  calls bigint not null check (calls >= 0),
  errors bigint not null check (errors >= 0),
  bytes bigint not null check (bytes >= 0),
  latency bigint[] not null check (cardinality(latency) <= 32 and array_position(latency, null) is null and 0 <= all (latency)),
  primary key (account_tool_instance_id, day, tool, client, run)
);
create index mcp_use_account_tool_environment_id_day_idx on public.mcp_use (account_tool_environment_id, day);
create index mcp_use_day_idx on public.mcp_use (day);

alter table public.mcp_use enable row level security;
create policy "owners read the use of their servers" on public.mcp_use
  for select to authenticated using (exists (
    select from public.account_tool_environments e
    where e.id = account_tool_environment_id and e.user_id = (select auth.uid())
  ));
-- Only heartbeats write.
revoke all on public.mcp_use from public, anon, authenticated, service_role;
grant select on public.mcp_use to authenticated;

comment on table public.mcp_use is 'How MCP servers are used: calls of one tool by one client on one day, as one start of the agent counted them. Their sums are the use.';
comment on column public.mcp_use.account_tool_instance_id is 'The instance.';
comment on column public.mcp_use.day is 'The day, in UTC.';
comment on column public.mcp_use.tool is 'The tool; (other) for those that the server does not list.';
comment on column public.mcp_use.client is 'What the client calls itself, without its version.';
comment on column public.mcp_use.run is 'The start of the agent that counted, in milliseconds since 1970.';
comment on column public.mcp_use.account_tool_environment_id is 'The toolbox.';
comment on column public.mcp_use.calls is 'Calls.';
comment on column public.mcp_use.errors is 'Those of them that failed.';
comment on column public.mcp_use.bytes is 'Bytes of requests and answers.';
comment on column public.mcp_use.latency is 'Calls by the time they took; the bounds are LATENCY_MS of crates/toolbox-api.';

create function private.record_mcp_use(toolbox_id uuid, report jsonb) returns void
language plpgsql
set search_path = ''
as $$
declare
  -- What an agent may add for the days that are taken.
  most constant integer := 30000;
  is_full boolean;
begin
  if jsonb_typeof(report -> 'counts') is distinct from 'array' then
    return;
  end if;
  is_full := most <= (
    select count(*) from public.mcp_use u where u.account_tool_environment_id = toolbox_id and u.day >= current_date - 7
  );
  -- Counts of one start only grow, so what is told twice is written twice and counts once.
  insert into public.mcp_use as u (
    account_tool_instance_id, day, tool, client, run, account_tool_environment_id, calls, errors, bytes, latency
  )
  select distinct on (i.id, c.day, c.tool, c.client)
    i.id, c.day, c.tool, c.client, (report ->> 'run')::bigint, toolbox_id, c.calls, c.errors, c.bytes, c.latency
  from (select count from jsonb_array_elements(report -> 'counts') as count limit 200) as told,
    jsonb_to_record(told.count) as c (
      day date, instance_id uuid, tool text, client text, calls bigint, errors bigint, bytes bigint, latency bigint[]
    ),
    public.account_tool_instances i
  where i.id = c.instance_id and i.account_tool_environment_id = toolbox_id
    and c.day between current_date - 7 and current_date + 1
    -- One count that the table would refuse loses no other, and not the heartbeat.
    and char_length(c.tool) between 1 and 128 and char_length(c.client) between 1 and 128
    and least(c.calls, c.errors, c.bytes) >= 0 and cardinality(c.latency) <= 32
    and array_position(c.latency, null) is null and 0 <= all (c.latency)
    and (not is_full or exists (
      select from public.mcp_use there
      where there.account_tool_instance_id = i.id and there.day = c.day and there.tool = c.tool and there.client = c.client
        and there.run = (report ->> 'run')::bigint
    ))
  order by i.id, c.day, c.tool, c.client, c.calls desc
  on conflict (account_tool_instance_id, day, tool, client, run) do update
  set calls = excluded.calls, errors = excluded.errors, bytes = excluded.bytes, latency = excluded.latency
  where excluded.calls > u.calls;
end;
$$;
comment on function private.record_mcp_use is
  'Stores what an agent has counted of the use of MCP servers of its toolbox; the same twice is once. Of instances of others, and of days long ago or to come, nothing is stored.';

create function public.get_mcp_use(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  instance public.account_tool_instances;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'instance_id');
  select i.* into instance from public.account_tool_instances i
  join public.account_tool_environments e on e.id = i.account_tool_environment_id
  where i.id = (p ->> 'instance_id')::uuid and e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'owner_id')::uuid;
  if instance.id is null then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'found', 'usage', coalesce((
    with mine as (
      select * from public.mcp_use u
      where u.account_tool_instance_id = instance.id and u.day > current_date - coalesce((p ->> 'days')::integer, 30)
    ), sums as (
      select m.day, m.tool, m.client, sum(m.calls) as calls, sum(m.errors) as errors, sum(m.bytes) as bytes
      from mine m group by m.day, m.tool, m.client
      order by m.day desc, m.tool, m.client limit 1000
    ), buckets as (
      select m.day, m.tool, m.client, b.place, sum(b.calls) as calls
      from mine m, unnest(m.latency) with ordinality as b (calls, place)
      group by m.day, m.tool, m.client, b.place
    ), grown as (
      select b.day, b.tool, b.client, b.place, sum(b.calls) over (partition by b.day, b.tool, b.client order by b.place) as until,
        sum(b.calls) over (partition by b.day, b.tool, b.client) as in_all
      from buckets b
    ), quantiles as (
      select g.day, g.tool, g.client, min(g.place) filter (where g.until >= g.in_all * 0.5) as p50,
        min(g.place) filter (where g.until >= g.in_all * 0.95) as p95
      from grown g group by g.day, g.tool, g.client
    )
    select jsonb_agg(jsonb_build_object(
      'day', s.day, 'tool', s.tool, 'client', s.client, 'calls', s.calls, 'errors', s.errors, 'bytes', s.bytes,
      'p50', q.p50 - 1, 'p95', q.p95 - 1
    ) order by s.day desc, s.tool, s.client)
    from sums s join quantiles q using (day, tool, client)
  ), '[]'));
end;
$$;
comment on function public.get_mcp_use is
  'How the server of an instance of the owner''s toolbox was used in the last days (30), by day, tool and client: calls, errors, bytes, and the places among the bounds of time that half of the calls and 95 of 100 kept to. Answers {outcome}: found with usage, 1000 at most, newest first; not_found.';

revoke all on function private.record_mcp_use, public.get_mcp_use from public, anon, authenticated, service_role;
grant execute on function public.get_mcp_use to service_role;

-- supabase/schemas/mcp_pinned_tools.sql
-- The tools of MCP servers that owners accepted, as they were then, so that a difference can be shown.
create table private.mcp_pinned_tools (
  account_tool_instance_id uuid primary key references public.account_tool_instances (id) on delete cascade,
  -- JSON as text: what a server writes need not be what jsonb takes.
  definitions text check (octet_length(definitions) <= 786432),
  accepted_by uuid not null,
  accepted_at timestamptz not null default now()
);

alter table private.mcp_pinned_tools enable row level security;
revoke all on private.mcp_pinned_tools from public, anon, authenticated, service_role;

comment on table private.mcp_pinned_tools is 'The definitions that account_tool_instances.mcp_pinned_fingerprint stands for. A row is there exactly where that is set.';
comment on column private.mcp_pinned_tools.account_tool_instance_id is 'The instance.';
comment on column private.mcp_pinned_tools.definitions is 'A JSON array with name, description, schemas and annotations of each tool; null where the server listed others before those that it listed first could be read.';
comment on column private.mcp_pinned_tools.accepted_by is 'The owner who accepted them, or whose deployment asked for those that the server lists first.';
comment on column private.mcp_pinned_tools.accepted_at is 'When.';

create function public.get_mcp_pin(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  instance public.account_tool_instances;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'instance_id');
  select i.* into instance from public.account_tool_instances i
  join public.account_tool_environments e on e.id = i.account_tool_environment_id
  where i.id = (p ->> 'instance_id')::uuid and e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'owner_id')::uuid;
  if instance.id is null then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'found', 'pin', (
    select jsonb_build_object('fingerprint', instance.mcp_pinned_fingerprint, 'definitions', t.definitions, 'accepted_at', t.accepted_at)
    from private.mcp_pinned_tools t
    where t.account_tool_instance_id = instance.id
  ));
end;
$$;
comment on function public.get_mcp_pin is
  'Which tools of an owner''s MCP server were accepted. Answers {outcome}: found with the pin, which is null where none were; not_found.';

create function public.set_mcp_pin(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  owner constant uuid := p ->> 'owner_id';
  wanted constant text := p ->> 'fingerprint';
  is_first constant boolean := coalesce((p ->> 'is_first')::boolean, false);
  instance public.account_tool_instances;
  accepted timestamptz;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'instance_id');
  if is_first then
    perform private.require_keys(p, 'fingerprint');
  elsif wanted is not null then
    perform private.require_keys(p, 'definitions');
  end if;
  select i.* into instance from public.account_tool_instances i
  where i.id = (p ->> 'instance_id')::uuid and i.account_tool_environment_id = (p ->> 'toolbox_id')::uuid
    -- What the owner did meanwhile counts more than what the deployment asked for.
    and (i.mcp_pin_due_at is not null or not is_first)
    and exists (select from public.account_tool_environments e where e.id = i.account_tool_environment_id and e.user_id = owner)
  for no key update;
  if instance.id is null then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if wanted is null then
    delete from private.mcp_pinned_tools t where t.account_tool_instance_id = instance.id;
  else
    insert into private.mcp_pinned_tools as t (account_tool_instance_id, definitions, accepted_by)
    values (instance.id, p ->> 'definitions', owner)
    on conflict (account_tool_instance_id) do update
    set definitions = excluded.definitions, accepted_by = excluded.accepted_by, accepted_at = excluded.accepted_at
    returning t.accepted_at into accepted;
  end if;
  if wanted is distinct from instance.mcp_pinned_fingerprint or instance.mcp_pin_due_at is not null then
    update public.account_tool_instances i set mcp_pinned_fingerprint = wanted, mcp_pin_due_at = null where i.id = instance.id;
    insert into public.tool_instance_events (
      tool_instance_id, account_tool_environment_id, actor_kind, actor_id, action, from_status, to_status, reason, request_id, generation
    ) values (
      instance.id, instance.account_tool_environment_id, 'user', owner,
      case
        when wanted is null then 'tools_unpinned'
        when instance.mcp_pinned_fingerprint is null then 'tools_pinned'
        else 'tools_accepted'
      end,
      instance.status_on_toolbox, instance.status_on_toolbox,
      case
        when is_first and p ->> 'definitions' is null then 'At its first answer, as its deployment asked; it lists others since'
        when is_first then 'At its first answer, as its deployment asked'
        when wanted is not null and instance.mcp_pinned_fingerprint is not null then private.text_of_tools_changed(p -> 'change')
      end,
      p ->> 'request_id', instance.generation
    );
  end if;
  return jsonb_build_object('outcome', 'set', 'accepted_at', accepted);
end;
$$;
comment on function public.set_mcp_pin is
  'Accepts the tools of an owner''s MCP server (fingerprint and definitions), or without a fingerprint accepts any; what changes is an event, with the names of change. With is_first it pins what the deployment asked for, where that is still due; without definitions if they are not known any more. Answers {outcome}: set with accepted_at; not_found.';

create function public.claim_mcp_pins(p jsonb) returns jsonb
language sql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
  with due as (
    select i.id, e.user_id, jsonb_build_object(
        'id', e.id, 'status', e.status, 'public_ip_address', e.public_ip_address, 'dtma_port', e.dtma_port,
        'dtma_certificate_pem', e.dtma_certificate_pem, 'dtma_key_id', e.dtma_key_id,
        'instances_confirmed_at', e.instances_confirmed_at, 'unresponsive_since', e.unresponsive_since,
        'dtma_api_version', e.dtma_api_version, 'dtma_last_known_version', e.dtma_last_known_version
      ) as toolbox
    from public.account_tool_instances i
    join public.account_tool_environments e on e.id = i.account_tool_environment_id
    -- Nobody needs to be asked before an agent has told that it heard tools.
    where i.mcp_pin_due_at <= clock_timestamp() and i.mcp_tools_fingerprint is not null and i.mcp_transport_type is not null
      and i.status_on_toolbox = 'running' and e.status = 'active'
    order by i.mcp_pin_due_at
    limit 20
    for no key update of i skip locked
  ), claimed as (
    -- Longer than a tick takes. One that does not tell its tools is asked again then, the more seldom the longer it has been there: each
    -- question counts as use, and starts a server that is idle.
    update public.account_tool_instances i set mcp_pin_due_at = clock_timestamp()
      + least(greatest((clock_timestamp() - i.created_at) / 10, interval '55 seconds'), interval '1 hour')
    from due d where i.id = d.id
    returning i.id, d.user_id, d.toolbox
  )
  select jsonb_build_object('outcome', 'claimed', 'pins', coalesce(
    jsonb_agg(jsonb_build_object('instance_id', c.id, 'owner_id', c.user_id, 'toolbox', c.toolbox) order by c.id), '[]'
  ))
  from claimed c
$$;
comment on function public.claim_mcp_pins is
  'Takes for a minute up to 20 running MCP servers of which the tools that they list first are to be pinned and were heard. Answers {outcome: claimed, pins}, each with instance_id, owner_id, and the toolbox, where its machine is.';

revoke all on function public.get_mcp_pin, public.set_mcp_pin, public.claim_mcp_pins from public, anon, authenticated, service_role;
grant execute on function public.get_mcp_pin, public.set_mcp_pin, public.claim_mcp_pins to service_role;

-- supabase/schemas/functions/record_heartbeat.sql
-- One heartbeat. Where it brings no news it is one round trip.

create function public.record_heartbeat(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  heartbeat constant jsonb := p -> 'heartbeat';
  sent_boot constant bigint := heartbeat ->> 'boot';
  sent_sequence constant bigint := heartbeat ->> 'sequence';
  certificate constant text := heartbeat ->> 'certificate_sha256';
  pem constant text := heartbeat ->> 'certificate_pem';
  toolbox public.account_tool_environments;
  is_current_key boolean;
  is_first_use boolean;
  proven_key_id text;
  compared jsonb;
begin
  perform private.require_keys(p, 'toolbox_id', 'token_hash', 'root_id', 'heartbeat');
  perform private.require_keys(heartbeat, 'boot', 'sequence', 'interval_seconds', 'instances');
  if sent_boot not between 1 and 9007199254740991 or sent_sequence not between 1 and 9007199254740991 then
    raise exception 'boot and sequence in p.heartbeat must be from 1 to 2^53 - 1' using errcode = 'invalid_parameter_value';
  end if;

  -- Same order of locks as begin_tool_instance_operation: toolbox, then instances. A wrong key waits for nothing.
  select * into toolbox from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and private.is_toolbox_key(e, p ->> 'token_hash')
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unauthorized');
  end if;
  if (sent_boot, sent_sequence) <= (toolbox.dtma_boot, toolbox.dtma_sequence) then
    return jsonb_build_object('outcome', 'replayed', 'boot', toolbox.dtma_boot, 'sequence', toolbox.dtma_sequence);
  end if;
  -- The first certificate is accepted with the key alone. From then on every heartbeat must name the same one.
  if toolbox.dtma_certificate_pem is not null and toolbox.dtma_certificate_sha256 is distinct from certificate
    or toolbox.dtma_certificate_pem is null and pem is not null and private.certificate_sha256(pem) is distinct from certificate
  then
    perform private.open_alerts('certificate_changed', toolbox, toolbox.id, toolbox.name, jsonb_build_object(
      'from', toolbox.dtma_certificate_sha256, 'to', left(certificate, 64), 'accepted', false
    ), true);
    return jsonb_build_object('outcome', 'certificate_changed');
  end if;

  is_current_key := toolbox.dtma_token_hash = p ->> 'token_hash';
  is_first_use := is_current_key and toolbox.dtma_offered_key_id is not null;
  proven_key_id := case
    when is_first_use then toolbox.dtma_offered_key_id
    -- No key id is stored yet: the agent holds the first key of the present root secret.
    else coalesce(toolbox.dtma_key_id, p ->> 'root_id' || '.0')
  end;
  perform private.record_mcp_use(toolbox.id, heartbeat -> 'mcp_use');
  compared := private.compare_instance_reports(toolbox.id, heartbeat, p ->> 'request_id');
  update public.account_tool_environments e
  set last_heartbeat_at = clock_timestamp(),
    -- While something of it is not recorded, or the agent has not heard of a change, nobody may take the rows for what is on the
    -- machine.
    instances_confirmed_at = case when (compared ->> 'confirms')::boolean then clock_timestamp() else e.instances_confirmed_at end,
    dtma_boot = sent_boot,
    dtma_sequence = sent_sequence,
    heartbeat_interval_seconds = least(greatest((heartbeat ->> 'interval_seconds')::bigint, 1), 300),
    dtma_last_known_version = left(heartbeat ->> 'version', 100),
    dtma_api_version = nullif((heartbeat ->> 'api_version')::bigint, 0),
    dtma_certificate_pem = coalesce(e.dtma_certificate_pem, pem),
    dtma_health_details_json = case
      when jsonb_typeof(heartbeat -> 'system_metrics') = 'object' then jsonb_build_object(
        'docker_reachable', heartbeat -> 'docker_reachable', 'system_metrics', heartbeat -> 'system_metrics',
        'reported_at', clock_timestamp())
      when e.dtma_health_details_json -> 'docker_reachable' is distinct from heartbeat -> 'docker_reachable' then
        coalesce(e.dtma_health_details_json, '{}') || jsonb_build_object('docker_reachable', heartbeat -> 'docker_reachable')
      else e.dtma_health_details_json
    end,
    dtma_key_id = proven_key_id,
    dtma_offered_key_id = case when not is_first_use then e.dtma_offered_key_id end,
    dtma_previous_token_expires_at = case
      when is_first_use then clock_timestamp() + interval '10 minutes' else e.dtma_previous_token_expires_at
    end
  where e.id = toolbox.id;
  if toolbox.status <> 'active' then
    -- Nobody can reach a droplet before its address is known: then the worker that writes it makes the toolbox active.
    perform private.advance_tool_environment(
      toolbox.id, toolbox.status,
      (case when toolbox.kind = 'droplet' and toolbox.public_ip_address is null then 'awaiting_heartbeat' else 'active' end)
        ::public.account_tool_environment_status_enum
    );
  end if;

  return jsonb_strip_nulls(jsonb_build_object(
    'outcome', 'recorded',
    'desired_digest', private.desired_digest(toolbox.id),
    -- The previous key in its last minutes: its successor is in use already.
    'rotate_to_epoch', case
      when (is_current_key or toolbox.dtma_offered_key_id is not null)
        and proven_key_id <> format('%s.%s', p ->> 'root_id', toolbox.dtma_key_epoch)
      then toolbox.dtma_key_epoch
    end
  )) || (compared - 'confirms');
end;
$$;
comment on function public.record_heartbeat is
  'Records one heartbeat of the agent that presents its key: liveness, host, and the health of its instances. Answers {outcome}: recorded with desired_digest, unknown, news and missing (rows that may have to be changed, for record_tool_instance_states), and perhaps rotate_to_epoch; unauthorized for an unknown toolbox and a wrong key alike; replayed; or certificate_changed. Waits 5 s for locks at most.';

revoke all on function public.record_heartbeat from public, anon, authenticated, service_role;
grant execute on function public.record_heartbeat to service_role;

-- supabase/schemas/functions/provisioning.sql
-- How toolboxes are ordered, and how whoever has time takes their next step. What the next step is, and what is done in it, is
-- decided by crates/toolbox-domain/src/provisioning.rs; here are the lease, the compare-and-set, and what no step may do.

-- Ids that were toolboxes: a droplet with the tag of one is ours, and nobody waits for it.
create table private.removed_toolboxes (
  toolbox_id uuid primary key,
  removed_at timestamptz not null default clock_timestamp(),
  user_id uuid references auth.users (id) on delete set null,
  ordered_at timestamptz
);
create index removed_toolboxes_user_id_idx on private.removed_toolboxes (user_id, ordered_at);
alter table private.removed_toolboxes enable row level security;
revoke all on private.removed_toolboxes from public, anon, authenticated, service_role;

comment on table private.removed_toolboxes is 'Toolboxes with droplets whose rows are gone. A droplet with the tag of one was left behind, and the sweep removes it.';
comment on column private.removed_toolboxes.toolbox_id is 'The id that the toolbox had.';
comment on column private.removed_toolboxes.removed_at is 'When its row was removed.';
comment on column private.removed_toolboxes.user_id is 'Who had ordered it.';
comment on column private.removed_toolboxes.ordered_at is 'When that was.';

-- When jobs ran that need not run with every tick.
create table private.job_runs (
  job text primary key,
  ran_at timestamptz not null
);
alter table private.job_runs enable row level security;
revoke all on private.job_runs from public, anon, authenticated, service_role;

comment on table private.job_runs is 'When jobs last began that run more rarely than the clock ticks.';
comment on column private.job_runs.job is 'The job.';
comment on column private.job_runs.ran_at is 'When it last began.';

-- Lists that DigitalOcean answers to everybody alike. Its account has so many requests an hour, which all users share.
create table private.provider_lists (
  name text primary key check (name in ('sizes', 'regions', 'images')),
  content jsonb,
  fetched_at timestamptz,
  claimed_until timestamptz not null default '-infinity'
);
alter table private.provider_lists enable row level security;
revoke all on private.provider_lists from public, anon, authenticated, service_role;

comment on table private.provider_lists is 'What DigitalOcean last answered to the questions what can be bought, where, and from which image.';
comment on column private.provider_lists.name is 'Which list.';
comment on column private.provider_lists.content is 'The list; null: it was never answered.';
comment on column private.provider_lists.fetched_at is 'When it was answered.';
comment on column private.provider_lists.claimed_until is 'Until then one caller asks DigitalOcean, and nobody else does.';

create function public.get_provider_list(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  kept private.provider_lists;
  oldest timestamptz;
begin
  perform private.require_keys(p, 'name', 'max_age_seconds', 'claim_seconds');
  oldest := clock_timestamp() - make_interval(secs => (p ->> 'max_age_seconds')::double precision);
  select * into kept from private.provider_lists l where l.name = p ->> 'name';
  if kept.fetched_at > oldest then
    return jsonb_build_object('outcome', 'kept', 'content', kept.content);
  end if;
  -- Of all who find it too old, one asks for it; the others go on with what there is.
  insert into private.provider_lists as l (name, claimed_until)
  values (p ->> 'name', clock_timestamp() + make_interval(secs => (p ->> 'claim_seconds')::double precision))
  on conflict (name) do update set claimed_until = excluded.claimed_until
    where l.claimed_until <= clock_timestamp() and coalesce(l.fetched_at, '-infinity') <= oldest;
  if found then
    return jsonb_build_object('outcome', 'due');
  elsif kept.content is null then
    return jsonb_build_object('outcome', 'awaited');
  end if;
  return jsonb_build_object('outcome', 'kept', 'content', kept.content);
end;
$$;
comment on function public.get_provider_list is
  'A list of DigitalOcean''s by its name: sizes, regions or images. Answers {outcome}: kept with its content; due when it is older than max_age_seconds, or nowhere: then this caller asks for it, and for claim_seconds no other; or awaited when there is none and another caller asks.';

create function public.put_provider_list(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'name', 'content');
  update private.provider_lists l
  set content = p -> 'content', fetched_at = clock_timestamp(), claimed_until = '-infinity'
  where l.name = p ->> 'name';
  return jsonb_build_object('outcome', 'kept');
end;
$$;
comment on function public.put_provider_list is 'Keeps a list that DigitalOcean answered. Answers {outcome: kept}.';

create function public.begin_rare_job(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  perform private.require_keys(p, 'job', 'every_seconds');
  insert into private.job_runs (job, ran_at) values (p ->> 'job', clock_timestamp())
  on conflict (job) do update set ran_at = excluded.ran_at
    where job_runs.ran_at <= clock_timestamp() - make_interval(secs => (p ->> 'every_seconds')::double precision);
  return jsonb_build_object('outcome', case when found then 'due' else 'not_due' end);
end;
$$;
comment on function public.begin_rare_job is 'Whether a job is due that runs every so many seconds; of all who ask at once, one is told so. Answers {outcome}: due or not_due.';

-- What a worker reads. Ages are counted by one clock, the database's.
create function private.toolbox_for_worker(e public.account_tool_environments) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', e.id, 'user_id', e.user_id, 'kind', e.kind, 'name', e.name, 'status', e.status, 'lease', e.provisioning_lease,
    'step', e.provisioning_step, 'problem', e.provisioning_problem, 'tries', e.provisioning_tries,
    'step_age_seconds', extract(epoch from clock_timestamp() - e.provisioning_step_since),
    'due_in_seconds', extract(epoch from e.provisioning_due_at - clock_timestamp()),
    'machine_asked_age_seconds', extract(epoch from clock_timestamp() - e.machine_asked_at),
    'heartbeat_age_seconds', extract(epoch from clock_timestamp() - e.last_heartbeat_at),
    'region_slug', e.region_slug, 'size_slug', e.size_slug, 'image_slug', e.image_slug, 'wanted_size_slug', e.wanted_size_slug,
    'do_droplet_id', e.do_droplet_id, 'do_droplet_name', e.do_droplet_name, 'do_firewall_id', e.do_firewall_id,
    'do_action_id', e.do_action_id, 'public_ip_address', host(e.public_ip_address)
  );
$$;
comment on function private.toolbox_for_worker is 'A toolbox as who advances it needs it.';

create function private.cost_until_now(e public.account_tool_environments) returns numeric
language sql stable
set search_path = ''
as $$
  select e.cost_before_usd + coalesce(
    e.price_hourly_usd * extract(epoch from greatest(clock_timestamp() - e.price_since, interval '0')) / 3600, 0
  );
$$;
comment on function private.cost_until_now is 'What the droplets of a toolbox cost so far, in US dollars.';

create function private.monthly_price(of_user uuid, but uuid) returns numeric
language sql stable
set search_path = ''
as $$
  -- While a machine gets another size, the dearer one counts; what failed may be tried again.
  select coalesce(sum(greatest(
    e.price_monthly_usd, case when e.wanted_size_slug is not null then e.wanted_price_monthly_usd end
  )), 0)
  from public.account_tool_environments e
  where e.user_id = of_user and e.kind = 'droplet' and e.status <> 'deprovisioned' and e.id is distinct from but;
$$;
comment on function private.monthly_price is 'What the machines of a user cost a month at most, in US dollars, without the toolbox but.';

create function private.orders_lately(of_user uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select
    (select count(*) from public.account_tool_environments e
     where e.user_id = of_user and e.kind = 'droplet' and e.created_at > now() - interval '1 hour')
    + (select count(*) from private.removed_toolboxes r
       where r.user_id = of_user and r.ordered_at > now() - interval '1 hour')
$$;
comment on function private.orders_lately is 'How many toolboxes with droplets a user ordered in the last hour, also of those that are gone.';

create function private.changes_lately(of_user uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select count(*)
  from public.account_tool_environments e
  join public.toolbox_events t on t.account_tool_environment_id = e.id
  where e.user_id = of_user and t.occurred_at > now() - interval '10 minutes' and t.actor_kind = 'user' and t.result = 'accepted'
    and t.kind in ('retry', 'resize', 'reboot', 'rename')
$$;
comment on function private.changes_lately is 'How many changes of the droplets of their toolboxes a user asked for in the last ten minutes.';

create function public.order_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
  most constant integer := private.quota(of_user, 'max_toolboxes', (p ->> 'max_toolboxes')::integer);
  most_monthly constant integer := private.quota(of_user, 'max_monthly_usd', (p ->> 'max_monthly_usd')::integer);
  monthly numeric;
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(
    p, 'user_id', 'name', 'max_toolboxes', 'max_monthly_usd', 'region_slug', 'size_slug', 'image_slug', 'price_hourly_usd', 'price_monthly_usd'
  );
  -- As create_own_toolbox: two requests at once are counted one after the other.
  perform pg_advisory_xact_lock(hashtextextended('toolboxes of ' || of_user, 0));
  if not exists (select from auth.users u where u.id = of_user) then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  select * into toolbox from public.account_tool_environments e where e.user_id = of_user and e.order_key = p ->> 'order_key';
  if found then
    return jsonb_build_object('outcome', 'ordered', 'id', toolbox.id, 'is_new', false);
  end if;
  if most <= (select count(*) from public.account_tool_environments e where e.user_id = of_user and e.status <> 'deprovisioned') then
    return jsonb_build_object('outcome', 'too_many', 'most', most);
  end if;
  -- Each is some requests of DigitalOcean's account, which all users share; one that is ordered and removed again and again, too.
  if most <= private.orders_lately(of_user) then
    return jsonb_build_object('outcome', 'too_often', 'most', most);
  end if;
  monthly := private.monthly_price(of_user, null) + (p ->> 'price_monthly_usd')::numeric;
  if monthly > most_monthly then
    return jsonb_build_object('outcome', 'too_dear', 'monthly_usd', monthly, 'most_monthly_usd', most_monthly);
  end if;
  insert into public.account_tool_environments (
    user_id, kind, name, description, region_slug, size_slug, image_slug, price_hourly_usd, price_monthly_usd, order_key,
    provisioning_step, provisioning_step_since, provisioning_due_at
  ) values (
    of_user, 'droplet', p ->> 'name', p ->> 'description', p ->> 'region_slug', p ->> 'size_slug', p ->> 'image_slug',
    (p ->> 'price_hourly_usd')::numeric, (p ->> 'price_monthly_usd')::numeric, p ->> 'order_key',
    'firewall', clock_timestamp(), clock_timestamp()
  ) returning * into toolbox;
  insert into public.toolbox_events (account_tool_environment_id, actor_kind, actor_id, kind, detail, result, request_id)
  values (toolbox.id, 'user', of_user, 'ordered', jsonb_build_object(
    'region', toolbox.region_slug, 'size', toolbox.size_slug, 'image', toolbox.image_slug
  ), 'accepted', p ->> 'request_id');
  return jsonb_build_object('outcome', 'ordered', 'id', toolbox.id, 'is_new', true);
end;
$$;
comment on function public.order_toolbox is
  'Makes the row of a toolbox with a droplet for a user; it is due at once. With an order_key, ordering again answers the toolbox of the first order. Answers {outcome}: ordered with id and is_new; too_many with most when the user has max_toolboxes already, or as many as an operator allows them; too_often with most when they ordered as many in the last hour; too_dear with monthly_usd when all machines of the user would cost that, which is more than most_monthly_usd: max_monthly_usd, or what an operator allows them; or not_found when there is no such user.';

create function public.ask_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  -- Changes of one user in ten minutes: each is some requests of DigitalOcean's account, which all users share.
  most constant integer := 10;
  leaving constant public.account_tool_environment_status_enum[] := '{pending_deprovision,deprovisioning,deprovisioned,error_deprovisioning}';
  change constant text := p ->> 'change';
  toolbox public.account_tool_environments;
  monthly numeric;
  most_monthly integer;
  outcome text := 'accepted';
begin
  perform private.require_keys(p, 'toolbox_id', 'change');
  if change not in ('deprovision', 'retry', 'resize', 'reboot', 'rename', 'look') then
    raise exception 'Unknown change in p: "%"', change using errcode = 'invalid_parameter_value';
  end if;
  select * into toolbox from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and (p ->> 'user_id' is null or e.user_id = (p ->> 'user_id')::uuid)
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if toolbox.kind = 'byo' then
    return jsonb_build_object('outcome', 'byo');
  elsif change = 'deprovision' and toolbox.status = any (leaving) or change = 'look' then
    -- It is on its way; it is looked at sooner.
    update public.account_tool_environments e
    set provisioning_due_at = least(e.provisioning_due_at, clock_timestamp()),
      looked_at = clock_timestamp()
    where e.id = toolbox.id and e.provisioning_due_at is not null
      -- After a failure, and after a droplet was not shown, the pause holds. Each look is a request of DigitalOcean's account, which
      -- all users share.
      and e.provisioning_tries = 0 and coalesce(e.looked_at, '-infinity') < clock_timestamp() - interval '20 seconds';
    outcome := 'unchanged';
  elsif change = 'deprovision' then
    -- The guard gives it its step.
    update public.account_tool_environments e set status = 'pending_deprovision', provisioning_error_message = null
    where e.id = toolbox.id;
    delete from private.toolbox_enrolments t where t.toolbox_id = toolbox.id;
  elsif p ->> 'user_id' is not null and most <= private.changes_lately(toolbox.user_id) then
    return jsonb_build_object('outcome', 'too_often', 'most', most);
  elsif change = 'rename' then
    perform private.require_keys(p, 'name');
    if toolbox.status = any (leaving) then
      return jsonb_build_object('outcome', 'refused', 'status', toolbox.status);
    end if;
    update public.account_tool_environments e
    set name = p ->> 'name'
    where e.id = toolbox.id;
  elsif change = 'retry' then
    if toolbox.status = 'error_provisioning' and toolbox.provisioning_step is null then
      update public.account_tool_environments e
      set status = 'provisioning', provisioning_error_message = null, provisioning_problem = null, provisioning_step = 'firewall',
        provisioning_tries = 0, provisioning_due_at = clock_timestamp()
      where e.id = toolbox.id;
    elsif toolbox.status = 'error_deprovisioning' then
      update public.account_tool_environments e set status = 'pending_deprovision', provisioning_error_message = null
      where e.id = toolbox.id;
    else
      return jsonb_build_object('outcome', 'refused', 'status', toolbox.status);
    end if;
  else
    if toolbox.status not in ('active', 'unresponsive') then
      return jsonb_build_object('outcome', 'refused', 'status', toolbox.status);
    elsif toolbox.provisioning_step is not null or toolbox.do_droplet_id is null then
      return jsonb_build_object('outcome', 'in_progress', 'step', toolbox.provisioning_step);
    end if;
    if change = 'resize' then
      perform private.require_keys(p, 'size_slug', 'price_hourly_usd', 'price_monthly_usd', 'max_monthly_usd');
      -- As order_toolbox.
      perform pg_advisory_xact_lock(hashtextextended('toolboxes of ' || toolbox.user_id, 0));
      monthly := private.monthly_price(toolbox.user_id, toolbox.id) + (p ->> 'price_monthly_usd')::numeric;
      most_monthly := private.quota(toolbox.user_id, 'max_monthly_usd', (p ->> 'max_monthly_usd')::integer);
      if monthly > most_monthly and (p ->> 'price_monthly_usd')::numeric > toolbox.price_monthly_usd then
        return jsonb_build_object('outcome', 'too_dear', 'monthly_usd', monthly, 'most_monthly_usd', most_monthly);
      end if;
    end if;
    update public.account_tool_environments e
    set provisioning_step = case change when 'resize' then 'stop' else 'reboot' end, provisioning_tries = 0,
      provisioning_problem = null, provisioning_due_at = clock_timestamp(), do_action_id = null,
      wanted_size_slug = case when change = 'resize' then p ->> 'size_slug' end,
      wanted_price_hourly_usd = case when change = 'resize' then (p ->> 'price_hourly_usd')::numeric end,
      wanted_price_monthly_usd = case when change = 'resize' then (p ->> 'price_monthly_usd')::numeric end
    where e.id = toolbox.id;
  end if;
  if outcome = 'accepted' then
    insert into public.toolbox_events (account_tool_environment_id, actor_kind, actor_id, kind, detail, result, request_id)
    values (
      toolbox.id, case when p ->> 'user_id' is null then 'control_plane' else 'user' end, (p ->> 'user_id')::uuid, change,
      jsonb_strip_nulls(jsonb_build_object('size', p ->> 'size_slug', 'name', p ->> 'name')), 'accepted', p ->> 'request_id'
    );
  end if;
  return jsonb_build_object('outcome', outcome);
end;
$$;
comment on function public.ask_toolbox is
  'Asks for a change of a toolbox with a droplet: deprovision, retry, resize, reboot, rename, or look (at the droplet, now). With user_id, only of that user''s. Answers {outcome}: accepted; unchanged; not_found; byo (its user brought the machine); refused with the status that forbids it; too_dear, as order_toolbox; too_often with most when the user asked for as many changes in the last ten minutes; or in_progress while another change is made.';

create function public.lease_toolboxes(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  leased jsonb;
begin
  perform private.require_keys(p, 'holder', 'lease_seconds', 'limit');
  with due as (
    select e.id from public.account_tool_environments e
    where e.provisioning_due_at <= clock_timestamp() and e.provisioning_leased_until <= clock_timestamp() and e.kind = 'droplet'
      and (p ->> 'toolbox_id' is null or e.id = (p ->> 'toolbox_id')::uuid)
    order by e.provisioning_due_at
    limit least((p ->> 'limit')::integer, 100)
    for no key update skip locked
  ), taken as (
    update public.account_tool_environments e
    set provisioning_lease = e.provisioning_lease + 1, provisioning_holder = p ->> 'holder',
      provisioning_leased_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::double precision)
    from due d where e.id = d.id
    returning e as toolbox
  )
  select coalesce(jsonb_agg(private.toolbox_for_worker(t.toolbox)), '[]') into leased from taken t;
  return jsonb_build_object('outcome', 'leased', 'toolboxes', leased);
end;
$$;
comment on function public.lease_toolboxes is
  'Takes toolboxes whose next step is due and that nobody else works on (or the one with toolbox_id), for lease_seconds. Answers {outcome: leased, toolboxes}.';

create function public.begin_toolbox_machine(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'lease', 'lease_seconds', 'ttl_seconds');
  update public.account_tool_environments e
  set machine_asked_at = clock_timestamp(),
    provisioning_leased_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::double precision)
  where e.id = (p ->> 'toolbox_id')::uuid and e.provisioning_lease = (p ->> 'lease')::bigint
    and e.provisioning_leased_until > clock_timestamp() and e.provisioning_step = 'machine';
  if not found then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  -- Those that were given to machines before are good still: which of them comes to life is not known.
  return jsonb_build_object('outcome', 'begun')
    || private.add_toolbox_enrolment((p ->> 'toolbox_id')::uuid, (p ->> 'ttl_seconds')::double precision);
end;
$$;
comment on function public.begin_toolbox_machine is
  'Before a droplet is asked for: writes that it may exist from now on, and makes the token that it enrols with. Answers {outcome}: begun with token and expires_at, or superseded.';

create function public.record_toolbox_step(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  now constant timestamptz := clock_timestamp();
  from_step constant text := p ->> 'from_step';
  to_step constant text := p ->> 'to_step';
  -- Only keys that are there are written.
  set constant jsonb := coalesce(p -> 'set', '{}');
  is_failure constant boolean := coalesce((p ->> 'failed')::boolean, false);
  to_status public.account_tool_environment_status_enum := p ->> 'to_status';
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'toolbox_id', 'lease');
  select * into toolbox from public.account_tool_environments e where e.id = (p ->> 'toolbox_id')::uuid for no key update;
  if not found then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  if toolbox.provisioning_lease <> (p ->> 'lease')::bigint or toolbox.provisioning_step is distinct from from_step then
    -- Somebody asked for something else meanwhile. Who worked on it has finished what it did outside, so the next may begin.
    update public.account_tool_environments e set provisioning_leased_until = '-infinity'
    where e.id = toolbox.id and e.provisioning_lease = (p ->> 'lease')::bigint;
    return jsonb_build_object('outcome', 'superseded');
  end if;
  if to_step in ('clean_machine', 'clean_firewall') and to_step is distinct from from_step then
    -- What the machine knew ends before the machine does.
    delete from private.toolbox_enrolments t where t.toolbox_id = toolbox.id;
    update public.account_tool_environments e
    set dtma_token_hash = null, dtma_offered_key_id = null, dtma_previous_token_hash = null, dtma_previous_token_expires_at = null
    where e.id = toolbox.id;
  end if;
  -- The agent reported while nobody knew its address: now it can be reached, and nothing is waited for any more.
  if from_step = 'boot' and to_step = 'agent' and toolbox.last_heartbeat_at >= toolbox.machine_asked_at then
    to_status := 'active';
  end if;
  -- A toolbox whose agent was faster is further on already.
  if not coalesce(private.tool_environment_transition_allowed(toolbox.status, to_status), false) then
    to_status := toolbox.status;
  end if;
  update public.account_tool_environments e
  set status = to_status,
    provisioning_error_message = case
      when to_status in ('error_provisioning', 'error_deprovisioning') then coalesce(p ->> 'problem', e.provisioning_error_message, 'It is not known why')
    end,
    provisioning_step = to_step,
    provisioning_problem = p ->> 'problem',
    provisioning_tries = case when is_failure then e.provisioning_tries + 1 else 0 end,
    provisioning_due_at = now + make_interval(secs => (p ->> 'due_in_seconds')::double precision),
    provisioning_leased_until = case
      when (p ->> 'keep')::boolean then now + make_interval(secs => (p ->> 'lease_seconds')::double precision)
      else '-infinity'
    end,
    machine_asked_at = case when set ? 'machine_not_asked' then null else e.machine_asked_at end,
    do_droplet_id = case when set ? 'do_droplet_id' then (set ->> 'do_droplet_id')::bigint else e.do_droplet_id end,
    do_droplet_name = case when set ? 'do_droplet_name' then set ->> 'do_droplet_name' else e.do_droplet_name end,
    do_firewall_id = case when set ? 'do_firewall_id' then set ->> 'do_firewall_id' else e.do_firewall_id end,
    do_action_id = case when set ? 'do_action_id' then (set ->> 'do_action_id')::bigint else e.do_action_id end,
    public_ip_address = case when set ? 'public_ip_address' then (set ->> 'public_ip_address')::inet else e.public_ip_address end,
    size_slug = case when set ? 'size_slug' then set ->> 'size_slug' else e.size_slug end,
    wanted_size_slug = case when set ? 'wanted_size_slug' then set ->> 'wanted_size_slug' else e.wanted_size_slug end,
    -- What was paid for until now is added up when the price changes or ends.
    cost_before_usd = case
      when set ->> 'do_droplet_id' is null and set ? 'do_droplet_id' or set ? 'size_slug' then private.cost_until_now(e)
      else e.cost_before_usd
    end,
    price_since = case
      when set ? 'do_droplet_id' then case when set ->> 'do_droplet_id' is not null then coalesce(e.price_since, now) end
      when set ? 'size_slug' then now
      else e.price_since
    end,
    price_hourly_usd = case when set ? 'size_slug' then coalesce(e.wanted_price_hourly_usd, e.price_hourly_usd) else e.price_hourly_usd end,
    price_monthly_usd = case when set ? 'size_slug' then coalesce(e.wanted_price_monthly_usd, e.price_monthly_usd) else e.price_monthly_usd end
  where e.id = toolbox.id
  returning * into toolbox;
  return jsonb_build_object('outcome', 'recorded', 'toolbox', private.toolbox_for_worker(toolbox));
end;
$$;
comment on function public.record_toolbox_step is
  'Writes what came of a step, for the worker with this lease and only while the toolbox is in from_step; the status moves to to_status if it may. Keeps the lease with keep: true. Answers {outcome}: recorded with the toolbox, or superseded.';

create function public.remove_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'toolbox_id', 'lease');
  select * into toolbox from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and e.provisioning_lease = (p ->> 'lease')::bigint and e.provisioning_step = 'remove_firewall'
  for update;
  if not found then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  if toolbox.status in ('pending_deprovision', 'error_deprovisioning') then
    update public.account_tool_environments e set status = 'deprovisioning', provisioning_error_message = null where e.id = toolbox.id;
  end if;
  update public.account_tool_environments e set status = 'deprovisioned', provisioning_step = null where e.id = toolbox.id;
  insert into private.removed_toolboxes (toolbox_id, user_id, ordered_at) values (toolbox.id, toolbox.user_id, toolbox.created_at) on conflict do nothing;
  delete from public.account_tool_environments e where e.id = toolbox.id;
  return jsonb_build_object('outcome', 'removed');
end;
$$;
comment on function public.remove_toolbox is
  'Last step of a removal, when neither droplet nor firewall is left: the row goes with its tools, keys and history, and the id is remembered as removed. Answers {outcome}: removed or superseded.';

create function public.sweep_toolboxes(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  -- What began after the list was asked for is not in it.
  asked_at constant timestamptz := clock_timestamp() - make_interval(secs => (p ->> 'list_age_seconds')::double precision);
  leftover jsonb;
  unseen jsonb;
  moved jsonb;
  adopted jsonb;
  extra jsonb;
begin
  perform private.require_keys(p, 'droplets', 'list_age_seconds');
  -- An order whose end was not known may have made two. The one that enrolled has the keys, so it is the toolbox, and the one that
  -- the row names is the second.
  with listed as (
    select * from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint, toolbox_id uuid, address inet)
  ), took as (
    update public.account_tool_environments e
    set do_droplet_id = l.droplet_id, do_droplet_name = null, public_ip_address = l.address, provisioning_due_at = clock_timestamp(),
      -- A worker that comes late writes nothing over it.
      provisioning_lease = e.provisioning_lease + 1
    from listed l, listed own
    where e.kind = 'droplet' and e.provisioning_step is null and e.status in ('active', 'unresponsive')
      and e.provisioning_leased_until <= clock_timestamp()
      and l.toolbox_id = e.id and l.address = e.enrolled_from
      and own.droplet_id = e.do_droplet_id and own.droplet_id <> l.droplet_id and own.address is distinct from e.enrolled_from
    returning e.id
  )
  select coalesce(jsonb_agg(t.id order by t.id), '[]') into adopted from took t;
  -- Droplets that no row has.
  select coalesce(jsonb_agg(jsonb_build_object(
    'droplet_id', l.droplet_id, 'toolbox_id', l.toolbox_id,
    'why', case
      when e.id is not null then 'second'
      when r.toolbox_id is not null then 'removed'
      else 'unknown'
    end,
    -- A second one only while the one that the row names is there too, and is the one that enrolled, as far as that is known.
    'is_ours', case
      when e.id is not null then e.enrolled_from is null or exists (
        select from jsonb_to_recordset(p -> 'droplets') as own (droplet_id bigint, address inet)
        where own.droplet_id = e.do_droplet_id and own.address = e.enrolled_from
      )
      else r.toolbox_id is not null
    end
  ) order by l.droplet_id), '[]') into extra
  from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint, toolbox_id uuid, address inet)
  left join public.account_tool_environments e on e.id = l.toolbox_id
  left join private.removed_toolboxes r on r.toolbox_id = l.toolbox_id
  where e.id is null or e.provisioning_step is null and e.do_droplet_id <> l.droplet_id
    and exists (select from jsonb_to_recordset(p -> 'droplets') as own (droplet_id bigint) where own.droplet_id = e.do_droplet_id);
  -- A toolbox that gave its machine up has one all the same: it is cleaned up once more.
  with again as (
    update public.account_tool_environments e
    set provisioning_step = 'clean_machine', provisioning_problem = e.provisioning_error_message, provisioning_due_at = clock_timestamp()
    where e.kind = 'droplet' and e.status = 'error_provisioning' and e.provisioning_step is null
      and exists (select from jsonb_to_recordset(p -> 'droplets') as l (toolbox_id uuid) where l.toolbox_id = e.id)
    returning e.id
  )
  select coalesce(jsonb_agg(a.id order by a.id), '[]') into leftover from again a;
  -- Rows whose droplet was not listed: looked at one by one, because a list can be behind.
  with looked as (
    update public.account_tool_environments e set provisioning_due_at = least(e.provisioning_due_at, clock_timestamp())
    where e.kind = 'droplet' and e.do_droplet_id is not null and e.status in ('awaiting_heartbeat', 'active', 'unresponsive')
      and e.status_changed_at < asked_at - interval '1 minute'
      and not exists (select from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint) where l.droplet_id = e.do_droplet_id)
    returning e.id
  )
  select coalesce(jsonb_agg(u.id order by u.id), '[]') into unseen from looked u;
  with looked as (
    update public.account_tool_environments e set provisioning_due_at = least(e.provisioning_due_at, clock_timestamp())
    from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint, address inet)
    where e.kind = 'droplet' and e.do_droplet_id = l.droplet_id and e.public_ip_address <> l.address and e.provisioning_due_at is not null
    returning e.id
  )
  select coalesce(jsonb_agg(m.id order by m.id), '[]') into moved from looked m;
  return jsonb_build_object('outcome', 'swept', 'adopted', adopted, 'droplets', extra, 'cleaned', leftover, 'unseen', unseen, 'moved', moved);
end;
$$;
comment on function public.sweep_toolboxes is
  'Compares all droplets with our tag (droplet_id, address, and the toolbox_id of their tag) with the rows. Answers {outcome: swept} with toolboxes whose row now names another of their droplets, the one that enrolled (adopted), droplets that no row has (why: second, removed, unknown; is_ours: may be removed), toolboxes in error_provisioning that are cleaned up again, toolboxes whose droplet was not listed (unseen), and those whose droplet has another address (moved), which are looked at now.';

-- Each move of a droplet's life is history.
create function private.tell_provisioning() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.toolbox_events (account_tool_environment_id, actor_kind, kind, detail, result)
  values (new.id, 'control_plane', 'provisioning', jsonb_strip_nulls(jsonb_build_object(
    'from_status', old.status, 'to_status', new.status, 'from_step', old.provisioning_step, 'to_step', new.provisioning_step,
    'reason', left(coalesce(new.provisioning_error_message, new.provisioning_problem), 1000)
  )), case when new.status in ('error_provisioning', 'error_deprovisioning') then 'failed' else 'succeeded' end);
  return null;
end;
$$;
comment on function private.tell_provisioning() is 'Appends each change of status or step of a droplet''s toolbox to its history.';

create trigger tell_provisioning after update on public.account_tool_environments
  for each row when (
    new.kind = 'droplet'
    and (old.status is distinct from new.status or old.provisioning_step is distinct from new.provisioning_step)
  ) execute function private.tell_provisioning();

revoke all on function
  public.begin_rare_job, public.get_provider_list, public.put_provider_list, private.toolbox_for_worker, private.cost_until_now,
  private.monthly_price, private.orders_lately, private.changes_lately, public.order_toolbox, public.ask_toolbox,
  public.lease_toolboxes, public.begin_toolbox_machine, public.record_toolbox_step, public.remove_toolbox, public.sweep_toolboxes,
  private.tell_provisioning()
  from public, anon, authenticated, service_role;
grant execute on function
  public.begin_rare_job, public.get_provider_list, public.put_provider_list, public.order_toolbox, public.ask_toolbox, public.lease_toolboxes, public.begin_toolbox_machine,
  public.record_toolbox_step, public.remove_toolbox, public.sweep_toolboxes
  to service_role;

-- supabase/schemas/functions/operators.sql
-- What the function operators asks. It has found out that the caller is an operator; who that is (operator_id) goes into the history.
-- Of users' toolboxes operators get what is named here: never a spec, a variable, a log, an address or a key.

create function private.fleet_rollout(rollout public.rollouts, most integer) returns jsonb
language sql stable
set search_path = ''
as $$
  select to_jsonb(rollout) || jsonb_build_object(
    'operator_id', rollout.user_id,
    'operator_email', (select u.email from auth.users u where u.id = rollout.user_id),
    'counts', (
      select jsonb_object_agg(s.state, (
        select count(*) from jsonb_array_elements(rollout.toolboxes) t where t ->> 'state' = s.state
      )) from unnest(array['waiting', 'asked', 'healthy', 'failed', 'silent', 'removed']) s (state)
    ),
    'toolboxes', case when most is null then rollout.toolboxes else coalesce((
      select jsonb_agg(w.toolbox order by w.place) from (
        select t.toolbox, t.place from jsonb_array_elements(rollout.toolboxes) with ordinality t (toolbox, place)
        where t.toolbox ->> 'state' in ('asked', 'failed', 'silent')
        order by t.toolbox ->> 'state' = 'asked' desc, t.toolbox ->> 'state' = 'failed' desc, t.place limit most
      ) w
    ), '[]') end
  );
$$;
comment on function private.fleet_rollout is
  'A rollout as operators read it: who asked (the address is null once the account is gone), how many toolboxes are in each state, and the toolboxes: all, or so many at most of those that are under way, failed or silent.';

create function public.get_fleet(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  show constant text := coalesce(p ->> 'show', 'all');
  search constant text := lower(coalesce(p ->> 'search', ''));
  wanted constant text := (select s.agent_version from private.settings s);
  answer jsonb;
begin
  perform private.require_keys(p, 'limit', 'offset');
  with toolboxes as (
    select e.id, e.name, e.user_id as owner_id, u.email as owner_email, e.kind, e.status, e.status_changed_at, e.last_heartbeat_at,
      e.dtma_last_known_version as version, e.region_slug, e.size_slug, e.price_monthly_usd, e.created_at,
      coalesce(e.provisioning_error_message, e.provisioning_problem) as problem, t.tools, t.failing_tools,
      private.is_older_version(e.dtma_last_known_version, wanted) as is_old,
      -- As mark_silent_toolboxes, also where the clock stands still that runs it.
      e.status = 'unresponsive' or e.status = 'active' and coalesce(e.last_heartbeat_at, e.status_changed_at)
        < clock_timestamp() - make_interval(secs => 3 * coalesce(e.heartbeat_interval_seconds, 60)) as is_silent,
      e.status in ('error_provisioning', 'error_deprovisioning') or e.provisioning_problem is not null or t.failing_tools > 0 as is_failing
    from public.account_tool_environments e
    left join auth.users u on u.id = e.user_id
    cross join lateral (
      select count(*) as tools, count(*) filter (where i.status_on_toolbox = 'error') as failing_tools
      from public.account_tool_instances i where i.account_tool_environment_id = e.id
    ) t
    where e.status <> 'deprovisioned'
  ), found as (
    select * from toolboxes f
    where case show when 'old' then f.is_old when 'silent' then f.is_silent when 'failing' then f.is_failing else show = 'all' end
      and position(search in lower(concat_ws(' ', f.owner_email, f.owner_id, f.name, f.id))) > 0
  ), page as (
    select * from found f
    order by f.is_silent or f.is_failing desc, f.is_old desc, f.created_at, f.id
    limit least((p ->> 'limit')::integer, 100) offset (p ->> 'offset')::integer
  )
  select jsonb_build_object(
    'outcome', 'found', 'wanted_version', wanted, 'found', (select count(*) from found),
    'counts', (select jsonb_build_object(
      'all', count(*), 'old', count(*) filter (where f.is_old), 'silent', count(*) filter (where f.is_silent),
      'failing', count(*) filter (where f.is_failing),
      'ready', count(*) filter (where f.status = 'active' and not f.is_silent and wanted is not null and f.version is distinct from wanted)
    ) from toolboxes f),
    'toolboxes', coalesce((
      select jsonb_agg(to_jsonb(g) order by g.is_silent or g.is_failing desc, g.is_old desc, g.created_at, g.id) from page g
    ), '[]'),
    'rollouts', coalesce((
      select jsonb_agg(private.fleet_rollout(r, 20) order by r.created_at desc)
      from (select * from public.rollouts f where f.is_fleet order by f.created_at desc limit 3) r
    ), '[]')
  ) into answer;
  return answer;
end;
$$;
comment on function public.get_fleet is
  'The toolboxes of all users for operators, a page at a time (limit, 100 at most, and offset): those that show (all, old, silent or failing) and search (in the owner''s address and id, the name and the id) leave; those that need a look come first. Answers {outcome: found} with wanted_version, counts of the whole fleet, found, toolboxes, and the last rollouts, each with 20 of its toolboxes at most.';

create function public.get_fleet_rollout(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  rollout public.rollouts;
begin
  perform private.require_keys(p, 'rollout_id');
  select * into rollout from public.rollouts r where r.id = (p ->> 'rollout_id')::uuid and r.is_fleet;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'found', 'rollout', private.fleet_rollout(rollout, null));
end;
$$;
comment on function public.get_fleet_rollout is 'A rollout of the fleet with all its toolboxes, 500 at most. Answers {outcome}: found with the rollout, or not_found.';

create function public.set_agent_version(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'operator_id');
  insert into private.settings (agent_version) values (p ->> 'version')
  on conflict (only_row) do update set agent_version = excluded.agent_version;
  perform private.record_operator_event(
    (p ->> 'operator_id')::uuid, 'agent_version_set', jsonb_build_object('version', p -> 'version'), p ->> 'request_id'
  );
  return jsonb_build_object('outcome', 'set');
end;
$$;
comment on function public.set_agent_version is 'Writes which version agents should have; a null: none. Answers {outcome: set}.';

create function public.get_catalog(p jsonb) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object('outcome', 'found', 'entries', coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('tools', (
    select count(*) from public.account_tool_instances i where i.tool_catalog_id = c.id
  )) order by c.status = 'archived', c.name), '[]'))
  from (select * from public.tool_catalog limit 1000) c;
$$;
comment on function public.get_catalog is
  'Every entry of the catalog, also those that users do not see, each with how many tools were deployed from it. Answers {outcome: found, entries}.';

create function public.put_catalog_entry(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  entry public.tool_catalog;
  is_new boolean;
begin
  perform private.require_keys(
    p, 'operator_id', 'catalog_id', 'name', 'tool_name', 'description', 'category', 'packaging_type', 'default_spec',
    'required_config_schema', 'required_secrets_schema', 'status', 'is_public', 'version'
  );
  entry := jsonb_populate_record(null::public.tool_catalog, p);
  if entry.default_spec ->> 'image' = '' then
    -- Each deployment names one.
    entry.default_spec := entry.default_spec - 'image';
  end if;
  -- Of two who write it, the second waits, and is told what the first did.
  if entry.updated_at is not null and not exists (
    select from (select c.updated_at from public.tool_catalog c where c.id = (p ->> 'catalog_id')::uuid for update) was
    where was.updated_at = entry.updated_at
  ) then
    return jsonb_build_object('outcome', 'changed_since');
  end if;
  if exists (select from public.tool_catalog c where c.name = entry.name and c.id <> (p ->> 'catalog_id')::uuid) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;
  insert into public.tool_catalog as c (
    id, name, tool_name, description, category, provider, documentation_url, icon_url, packaging_type, default_spec,
    required_config_schema, required_secrets_schema, status, is_public, version
  ) values (
    (p ->> 'catalog_id')::uuid, entry.name, entry.tool_name, entry.description, entry.category, entry.provider,
    entry.documentation_url, entry.icon_url, entry.packaging_type, entry.default_spec, entry.required_config_schema,
    entry.required_secrets_schema, entry.status, entry.is_public, entry.version
  )
  on conflict (id) do update set
    name = excluded.name, tool_name = excluded.tool_name, description = excluded.description, category = excluded.category,
    provider = excluded.provider, documentation_url = excluded.documentation_url, icon_url = excluded.icon_url,
    packaging_type = excluded.packaging_type, default_spec = excluded.default_spec,
    required_config_schema = excluded.required_config_schema, required_secrets_schema = excluded.required_secrets_schema,
    status = excluded.status, is_public = excluded.is_public, version = excluded.version
  returning c.xmax = 0 into is_new;
  perform private.record_operator_event(
    (p ->> 'operator_id')::uuid, 'entry_put', p - array['operator_id', 'request_id'], p ->> 'request_id'
  );
  return jsonb_build_object('outcome', 'put', 'is_new', is_new);
end;
$$;
comment on function public.put_catalog_entry is
  'Makes the entry catalog_id of the catalog, or writes all of it anew. Tools that were deployed from it stay as they are. Answers {outcome}: put with is_new, name_taken, or changed_since when it has another updated_at than the given one. Whether default_spec is one that agents take, the caller has found out.';

create function public.delete_catalog_entry(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  entry public.tool_catalog;
  uses bigint;
begin
  perform private.require_keys(p, 'operator_id', 'catalog_id');
  -- Whoever deploys from it meanwhile waits.
  select * into entry from public.tool_catalog c where c.id = (p ->> 'catalog_id')::uuid for update;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  select count(*) into uses from public.account_tool_instances i where i.tool_catalog_id = entry.id;
  if uses > 0 then
    return jsonb_build_object('outcome', 'in_use', 'tools', uses);
  end if;
  delete from public.tool_catalog c where c.id = entry.id;
  perform private.record_operator_event(
    (p ->> 'operator_id')::uuid, 'entry_deleted', jsonb_build_object('catalog_id', entry.id, 'name', entry.name), p ->> 'request_id'
  );
  return jsonb_build_object('outcome', 'deleted');
end;
$$;
comment on function public.delete_catalog_entry is
  'Removes an entry of the catalog from which no tool was deployed. Answers {outcome}: deleted, not_found, or in_use with how many tools.';

create function private.quota_used(of_user uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('toolboxes', count(*), 'monthly_usd', private.monthly_price(of_user, null))
  from public.account_tool_environments e where e.user_id = of_user and e.status <> 'deprovisioned';
$$;
comment on function private.quota_used is 'What a user has of what quotas limit: toolboxes, and what the machines cost a month.';

create function public.list_quotas(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  search constant text := lower(coalesce(p ->> 'search', ''));
  answer jsonb;
begin
  perform private.require_keys(p, 'limit', 'offset');
  with found as (
    select u.id, u.email, u.created_at, q.max_toolboxes, q.max_monthly_usd, q.max_tools, q.user_id is not null as is_set
    from auth.users u left join private.quotas q on q.user_id = u.id
    where position(search in lower(concat_ws(' ', u.email, u.id))) > 0
  ), page as (
    select * from found f order by f.is_set desc, f.created_at, f.id
    limit least((p ->> 'limit')::integer, 100) offset (p ->> 'offset')::integer
  )
  select jsonb_build_object('outcome', 'found', 'found', (select count(*) from found), 'users', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', f.id, 'email', f.email,
      'quota', jsonb_build_object('toolboxes', f.max_toolboxes, 'monthly_usd', f.max_monthly_usd, 'tools', f.max_tools),
      'used', private.quota_used(f.id)
    ) order by f.is_set desc, f.created_at, f.id) from page f
  ), '[]')) into answer;
  return answer;
end;
$$;
comment on function public.list_quotas is
  'Users, a page at a time (limit, 100 at most, and offset), found by search in their address and id; those with a quota of their own come first. Answers {outcome: found, found, users}, each with that quota and with what they have.';

create function public.set_quota(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
begin
  perform private.require_keys(p, 'operator_id', 'user_id');
  perform from auth.users u where u.id = of_user for key share;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if coalesce(p ->> 'toolboxes', p ->> 'monthly_usd', p ->> 'tools') is null then
    delete from private.quotas q where q.user_id = of_user;
  else
    insert into private.quotas (user_id, max_toolboxes, max_monthly_usd, max_tools)
    values (of_user, (p ->> 'toolboxes')::integer, (p ->> 'monthly_usd')::integer, (p ->> 'tools')::integer)
    on conflict (user_id) do update set
      max_toolboxes = excluded.max_toolboxes, max_monthly_usd = excluded.max_monthly_usd, max_tools = excluded.max_tools;
  end if;
  perform private.record_operator_event((p ->> 'operator_id')::uuid, 'quota_set', p - array['operator_id', 'request_id'], p ->> 'request_id');
  return jsonb_build_object('outcome', 'set');
end;
$$;
comment on function public.set_quota is
  'Writes how much one user may have: toolboxes, monthly_usd and tools (in one toolbox); a null: as everybody. What they have already stays. Answers {outcome}: set, or not_found.';

create function public.get_quota(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  of_user constant uuid := p ->> 'user_id';
begin
  perform private.require_keys(p, 'user_id', 'max_toolboxes', 'max_monthly_usd', 'max_tools');
  return jsonb_build_object('outcome', 'found', 'used', private.quota_used(of_user), 'limits', jsonb_build_object(
    'toolboxes', private.quota(of_user, 'max_toolboxes', (p ->> 'max_toolboxes')::integer),
    'monthly_usd', private.quota(of_user, 'max_monthly_usd', (p ->> 'max_monthly_usd')::integer),
    'tools', private.quota(of_user, 'max_tools', (p ->> 'max_tools')::integer)
  ));
end;
$$;
comment on function public.get_quota is
  'How much a user may have and has: what an operator set for them, or else what p says. Answers {outcome: found, limits, used}.';

revoke all on function
  public.get_fleet, public.get_fleet_rollout, public.set_agent_version, public.get_catalog, public.put_catalog_entry,
  public.delete_catalog_entry, public.list_quotas, public.set_quota, public.get_quota, private.quota_used, private.fleet_rollout
  from public, anon, authenticated, service_role;
grant execute on function
  public.get_fleet, public.get_fleet_rollout, public.set_agent_version, public.get_catalog, public.put_catalog_entry,
  public.delete_catalog_entry, public.list_quotas, public.set_quota, public.get_quota
  to service_role;

-- supabase/schemas/functions/mark_silent_toolboxes.sql
-- A toolbox that does not report is not shown as if it did.

create function private.mark_silent_toolboxes(counting_from timestamptz default pg_postmaster_start_time()) returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  marked uuid[];
begin
  with silent as (
    -- A row that is locked belongs to a toolbox whose heartbeat is being recorded.
    select e.id from public.account_tool_environments e
    where e.status = 'active'
      and greatest(coalesce(e.last_heartbeat_at, e.status_changed_at), counting_from)
        < clock_timestamp() - make_interval(secs => 3 * coalesce(e.heartbeat_interval_seconds, 60))
    limit 100
    for no key update skip locked
  ), marking as (
    update public.account_tool_environments e set status = 'unresponsive'
    from silent s where e.id = s.id
    returning e.id
  )
  select coalesce(array_agg(m.id), '{}') into marked from marking m;
  -- Waits for commands that are being written, so that the event starts from the state they leave.
  perform from public.account_tool_instances i where i.account_tool_environment_id = any (marked) order by i.id for no key update;
  insert into public.tool_instance_events (
    tool_instance_id, account_tool_environment_id, actor_kind, action, from_status, to_status, reason_code, reason, generation
  )
  select i.id, e.id, 'control_plane', 'unknown_since', i.status_on_toolbox, i.status_on_toolbox, 'toolbox_unresponsive',
    format('The machine was last heard of at %s', to_char(e.unresponsive_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
    i.generation
  from public.account_tool_environments e join public.account_tool_instances i on i.account_tool_environment_id = e.id
  where e.id = any (marked)
  order by i.id;
  return cardinality(marked);
end;
$$;
comment on function private.mark_silent_toolboxes is
  'Marks active toolboxes that were silent for three of their intervals as unresponsive, with an event for each of their instances; 100 a call; returns how many. While the database was down nobody could report: silence counts from its start.';

revoke all on function private.mark_silent_toolboxes from public, anon, authenticated, service_role;

-- supabase/schemas/functions/end_expired_leases.sql
-- An operation whose outcome nobody recorded does not stay in progress for ever. Its lease only decides when the next
-- operation may begin: a heartbeat may still bring the outcome, and agents build for up to an hour.

create function private.end_expired_leases() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  target uuid;
  ended integer := 0;
begin
  -- Who records an outcome locks the toolbox, then the instance. What is locked is being dealt with, so nothing is
  -- waited for here.
  for target in
    select o.tool_instance_id
    from public.tool_instance_operations o
    join public.account_tool_environments e on e.id = o.account_tool_environment_id
    where o.state = 'in_progress' and o.lease_expires_at < clock_timestamp() - interval '1 hour'
    order by o.lease_expires_at
    limit 200
    for update of o skip locked
    for key share of e skip locked
  loop
    perform from public.account_tool_instances i where i.id = target for update skip locked;
    if not found and exists (select from public.account_tool_instances i where i.id = target) then
      continue;
    end if;
    perform private.abandon_expired_operations(target);
    ended := ended + 1;
  end loop;
  return ended;
end;
$$;
comment on function private.end_expired_leases is
  'Abandons operations that recorded no outcome within an hour after their lease, with an event each; 200 a call; returns how many.';

revoke all on function private.end_expired_leases from public, anon, authenticated, service_role;

-- supabase/schemas/functions/retention.sql
-- What is older than private.retention() goes, but for what still explains an instance that is there.

create function private.delete_old_events() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select e.id from public.tool_instance_events e
    where e.occurred_at < now() - private.retention()
      -- Of an instance that is there, the last event and the last change of status stay: why it is as it is.
      and not (
        exists (select from public.account_tool_instances i where i.id = e.tool_instance_id)
        and not exists (
          select from public.tool_instance_events later
          where later.tool_instance_id = e.tool_instance_id and later.id > e.id
            and (e.from_status is not distinct from e.to_status or later.from_status is distinct from later.to_status)
        )
      )
    order by e.occurred_at
    limit 1000
    for update skip locked
  )
  delete from public.tool_instance_events e using old where e.id = old.id;
  get diagnostics deleted = row_count;
  return deleted;
end;
$$;
comment on function private.delete_old_events is
  'Deletes events older than private.retention(), but for the last event and the last change of status of each instance that is there; 1000 a call; returns how many.';

create function private.delete_old_toolbox_events() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select e.id from public.toolbox_events e
    where e.occurred_at < now() - private.retention()
    order by e.occurred_at
    limit 1000
    for update skip locked
  )
  delete from public.toolbox_events e using old where e.id = old.id;
  get diagnostics deleted = row_count;
  delete from public.rollouts r where r.id in (
    select ended.id from public.rollouts ended
    where ended.ended_at < now() - private.retention() and not ended.is_due
    order by ended.ended_at limit 1000
    for update skip locked
  );
  delete from public.mcp_use u where u.ctid = any (array(
    select old.ctid from public.mcp_use old
    where old.day < current_date - private.retention() order by old.day limit 1000
  ));
  delete from private.operator_events o where o.id in (
    select old.id from private.operator_events old
    where old.occurred_at < now() - private.retention() order by old.occurred_at limit 1000
  );
  return deleted;
end;
$$;
comment on function private.delete_old_toolbox_events is
  'Deletes events of toolboxes, what operators changed, and the use of MCP servers older than private.retention(), and rollouts that ended longer ago; 1000 of each a call; returns how many events.';

create function private.delete_old_alerts() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select a.id from public.alerts a
    where a.closed_at < now() - private.retention()
    order by a.closed_at
    limit 1000
    for update skip locked
  )
  delete from public.alerts a using old where a.id = old.id;
  get diagnostics deleted = row_count;
  delete from public.alert_messages m where m.id in (
    select test.id from public.alert_messages test
    where test.alert_id is null and test.finished_at < now() - private.retention() order by test.finished_at limit 1000
  );
  return deleted;
end;
$$;
comment on function private.delete_old_alerts is
  'Deletes alerts, with their messages, that ended longer ago than private.retention(); 1000 a call; returns how many.';

create function private.delete_old_operations() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  deleted integer;
begin
  with old as (
    select o.id from public.tool_instance_operations o
    where o.finished_at < now() - private.retention() and o.is_sealed
      -- Of an instance that is there, the last operation stays, by which agents know what its generation is; and the
      -- spec that an update may still go back to.
      and not (
        exists (select from public.account_tool_instances i where i.id = o.tool_instance_id)
        and (o.previous_spec is not null or not exists (
          select from public.tool_instance_operations later
          where later.tool_instance_id = o.tool_instance_id and later.started_at > o.started_at
        ))
      )
    order by o.finished_at
    limit 1000
    for update skip locked
  )
  delete from public.tool_instance_operations o using old where o.id = old.id;
  get diagnostics deleted = row_count;
  return deleted;
end;
$$;
comment on function private.delete_old_operations is
  'Deletes operations that ended longer ago than private.retention() and have a receipt, but for the last of each instance that is there and those that may still be rolled back; 1000 a call; returns how many.';

revoke all on function private.delete_old_events, private.delete_old_toolbox_events, private.delete_old_alerts, private.delete_old_operations
  from public, anon, authenticated, service_role;

-- supabase/schemas/functions/seal_secrets.sql
-- Secrets are sealed by the functions before they are written here. What is in plain text all the same, because it is from before
-- that or because a user wrote it, and what is sealed with a key that is to go, is given out to be sealed anew.

create function public.get_secrets_to_seal(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  wanted constant text[] := array(select jsonb_array_elements_text(p -> 'key_ids'));
  most constant integer := 200;
  most_bytes constant integer := 1000000;
  specs jsonb;
  webhooks jsonb;
begin
  perform private.require_keys(p, 'key_ids');
  -- At random, so that what cannot be opened does not stand before the rest for ever.
  with due as (
    (select i.account_tool_environment_id as toolbox_id, i.id as instance_id, null::uuid as operation_id, null::bigint as generation,
       i.spec, random() as place
     from public.account_tool_instances i
     where private.secret_keys(i.spec) && wanted order by place limit most)
    union all
    (select o.account_tool_environment_id, o.tool_instance_id, o.id, null, o.previous_spec, random() as place
     from public.tool_instance_operations o
     where o.previous_spec is not null and private.secret_keys(o.previous_spec) && wanted order by place limit most)
    union all
    (select i.account_tool_environment_id, i.id, null, v.generation, v.spec, random() as place
     from public.account_tool_instance_versions v join public.account_tool_instances i on i.id = v.tool_instance_id
     where private.secret_keys(v.spec) && wanted order by place limit most)
  ), measured as (
    select d.*, sum(octet_length(d.spec::text)) over (order by d.place) - octet_length(d.spec::text) as bytes_before from due d
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'toolbox_id', m.toolbox_id, 'instance_id', m.instance_id, 'operation_id', m.operation_id,
    'generation', m.generation, 'spec', m.spec, 'version', md5(m.spec::text)
  )), '[]') into specs
  from measured m where m.bytes_before < most_bytes;
  select coalesce(jsonb_agg(jsonb_build_object(
    'channel_id', c.id, 'webhook_secret', c.webhook_secret, 'webhook_secret_key_id', c.webhook_secret_key_id
  )), '[]') into webhooks
  from (
    select * from public.alert_channels written
    where written.webhook_secret is not null and coalesce(written.webhook_secret_key_id, 'plain') = any (wanted)
    order by random() limit most
  ) c;
  return jsonb_build_object('outcome', 'found', 'specs', specs, 'webhooks', webhooks);
end;
$$;
comment on function public.get_secrets_to_seal is
  'Specs of instances and of their versions, specs that updates may go back to, and secrets of webhooks with a value under one of p.key_ids, where plain stands for those that are not sealed; 200 of each and about a megabyte at most. Answers {outcome: found, specs, webhooks}. Holds secrets.';

create function public.put_sealed_secrets(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  written integer;
  total integer;
begin
  perform private.require_keys(p, 'specs', 'webhooks');
  -- Rows that somebody holds are left for the next time, and so are those with another spec than the one that was sealed.
  with unchanged as (
    select i.id, s.spec
    from public.account_tool_instances i
    join jsonb_to_recordset(p -> 'specs') s (instance_id uuid, operation_id uuid, generation bigint, spec jsonb, version text)
      on s.instance_id = i.id and s.operation_id is null and s.generation is null and s.version = md5(i.spec::text)
      -- Sealed it is longer; one that has no room stays as it is, and keeps no other from being written.
      and octet_length(s.spec::text) <= 262144
    for no key update of i skip locked
  )
  update public.account_tool_instances i set spec = u.spec from unchanged u where i.id = u.id;
  get diagnostics total = row_count;
  with unchanged as (
    select o.id, s.spec
    from public.tool_instance_operations o
    join jsonb_to_recordset(p -> 'specs') s (operation_id uuid, spec jsonb, version text)
      on s.operation_id = o.id and s.version = md5(o.previous_spec::text)
    for no key update of o skip locked
  )
  update public.tool_instance_operations o set previous_spec = u.spec from unchanged u where o.id = u.id;
  get diagnostics written = row_count;
  total := total + written;
  with unchanged as (
    select v.tool_instance_id, v.generation, s.spec
    from public.account_tool_instance_versions v
    join jsonb_to_recordset(p -> 'specs') s (instance_id uuid, generation bigint, spec jsonb, version text)
      on s.instance_id = v.tool_instance_id and s.generation = v.generation and s.version = md5(v.spec::text)
      and octet_length(s.spec::text) <= 262144
    for no key update of v skip locked
  )
  update public.account_tool_instance_versions v set spec = u.spec
  from unchanged u where v.tool_instance_id = u.tool_instance_id and v.generation = u.generation;
  get diagnostics written = row_count;
  total := total + written;
  with unchanged as (
    select c.id, s.secret, s.key_id
    from public.alert_channels c
    join jsonb_to_recordset(p -> 'webhooks') s (channel_id uuid, was text, key_id text, secret text)
      on s.channel_id = c.id and s.was = c.webhook_secret
    for no key update of c skip locked
  )
  update public.alert_channels c set webhook_secret = u.secret, webhook_secret_key_id = u.key_id from unchanged u where c.id = u.id;
  get diagnostics written = row_count;
  return jsonb_build_object('outcome', 'sealed', 'count', total + written);
end;
$$;
comment on function public.put_sealed_secrets is
  'Writes what was sealed of what get_secrets_to_seal gave out, where nothing else was written since. Answers {outcome: sealed, count}.';

create function private.secrets_by_key() returns table (key_id text, place text, how_many bigint)
language sql stable
set search_path = ''
as $$
  select key, s.place, count(*)
  from (
    select 'account_tool_instances.spec' as place, private.secret_keys(i.spec) as keys from public.account_tool_instances i
    union all
    select 'account_tool_instance_versions.spec', private.secret_keys(v.spec) from public.account_tool_instance_versions v
    union all
    select 'tool_instance_operations.previous_spec', private.secret_keys(o.previous_spec)
    from public.tool_instance_operations o where o.previous_spec is not null
    union all
    select 'alert_channels.webhook_secret', array[coalesce(c.webhook_secret_key_id, 'plain')]
    from public.alert_channels c where c.webhook_secret is not null
  ) s, unnest(s.keys) key
  group by key, s.place
  order by key, s.place;
$$;
comment on function private.secrets_by_key is
  'How many rows hold secrets under which key, by its fingerprint; plain: not sealed. For an operator who replaces the root secret.';

revoke all on function public.get_secrets_to_seal, public.put_sealed_secrets, private.secrets_by_key from public, anon, authenticated, service_role;
grant execute on function public.get_secrets_to_seal, public.put_sealed_secrets to service_role;

-- supabase/schemas/functions/run_job.sql
-- The jobs of the route clock/tick that are the database's. Each takes rows that nobody holds and skips the others, so
-- two ticks at once share the work; what belongs to a row it has taken is waited for, a second at most. Each does a bounded
-- part; the next tick goes on.

create function public.run_job(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  count integer;
begin
  perform private.require_keys(p, 'job');
  count := case p ->> 'job'
    when 'mark_silent_toolboxes' then private.mark_silent_toolboxes()
    when 'end_expired_leases' then private.end_expired_leases()
    when 'delete_old_events' then private.delete_old_events()
    when 'delete_old_toolbox_events' then private.delete_old_toolbox_events()
    when 'settle_alerts' then private.settle_alerts()
    when 'delete_old_alerts' then private.delete_old_alerts()
    when 'delete_old_operations' then private.delete_old_operations()
  end;
  if count is null then
    raise exception 'Unknown job in p: "%"', p ->> 'job' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object('outcome', 'done', 'count', count);
end;
$$;
comment on function public.run_job is
  'Does a bounded part of one job: mark_silent_toolboxes, end_expired_leases, delete_old_events, delete_old_toolbox_events, settle_alerts, delete_old_alerts or delete_old_operations. Answers {outcome: done, count}.';

revoke all on function public.run_job from public, anon, authenticated, service_role;
grant execute on function public.run_job to service_role;

-- supabase/schemas/mcp_access.sql
-- Who may use the MCP servers of a toolbox from anywhere, through the function mcp: the holder of an access token, or a user. A user
-- may also let an application act for them, within what they may do themself, which a row with the application's client id says. The owner of
-- the toolbox needs no row, their applications do.
create table public.mcp_access (
  id uuid primary key default gen_random_uuid(),
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  -- None: every MCP server of the toolbox.
  account_tool_instance_id uuid references public.account_tool_instances (id) on delete cascade,
  granted_by uuid not null references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f]'),
  token_hash text unique check (token_hash ~ '^[0-9a-f]{64}$'),
  user_id uuid references auth.users (id) on delete cascade,
  client_id text check (char_length(client_id) between 1 and 255),
  -- None: all. An empty list: no tool.
  allowed_tools text[] check (
    cardinality(allowed_tools) <= 100 and array_position(allowed_tools, null) is null
    and octet_length(array_to_string(allowed_tools, '')) <= 8192
  ),
  read_only boolean not null default false,
  -- None: as many as of anybody, which the agent bounds.
  requests_per_minute integer check (requests_per_minute between 1 and 600),
  concurrent_requests integer check (concurrent_requests between 1 and 64),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  last_client text check (char_length(last_client) <= 200),
  created_at timestamptz not null default now(),
  constraint a_token_or_a_user check ((token_hash is null) <> (user_id is null)),
  -- Written so that it refuses a null.
  constraint a_client_acts_for_who_lets_it_in check (client_id is null or coalesce(user_id = granted_by, false))
);
create index mcp_access_account_tool_environment_id_idx on public.mcp_access (account_tool_environment_id);
create index mcp_access_account_tool_instance_id_idx on public.mcp_access (account_tool_instance_id);
create index mcp_access_granted_by_idx on public.mcp_access (granted_by);
create index mcp_access_client_id_idx on public.mcp_access (user_id, client_id) where client_id is not null;
create index mcp_access_user_id_idx on public.mcp_access (user_id);

alter table public.mcp_access enable row level security;
create policy "owners read the access they gave" on public.mcp_access
  for select to authenticated using (granted_by = (select auth.uid()));
create policy "users read the access they were given" on public.mcp_access
  for select to authenticated using (user_id = (select auth.uid()));

-- Only the RPCs write.
revoke all on public.mcp_access from public, anon, authenticated, service_role;
grant select (
  id, account_tool_environment_id, account_tool_instance_id, granted_by, name, user_id, client_id, allowed_tools, read_only,
  requests_per_minute, concurrent_requests, expires_at, revoked_at, last_used_at, last_client, created_at
) on public.mcp_access to authenticated;

comment on table public.mcp_access is 'Who may use the MCP servers of a toolbox through the function mcp: holders of access tokens, users, and applications of users. The owner needs no row.';
comment on column public.mcp_access.id is 'Names it when it is revoked.';
comment on column public.mcp_access.account_tool_environment_id is 'The toolbox.';
comment on column public.mcp_access.account_tool_instance_id is 'The one instance it is for; null: every MCP server of the toolbox.';
comment on column public.mcp_access.granted_by is 'Who gave it. It counts while the toolbox is theirs; of an application, also while it is shared with them.';
comment on column public.mcp_access.name is 'Display name, written by who gave it; of an application, what it calls itself.';
comment on column public.mcp_access.token_hash is 'SHA-256 in hex of the access token; null where a user is named. Not readable by users.';
comment on column public.mcp_access.user_id is 'Who may come in, signed in to this project; null for a token.';
comment on column public.mcp_access.client_id is 'The application that may act for that user, as sign-in names it; null: the user themself.';
comment on column public.mcp_access.allowed_tools is 'Names of the tools that may be used; null: all.';
comment on column public.mcp_access.read_only is 'Only tools that their server calls read-only (readOnlyHint) may be used.';
comment on column public.mcp_access.requests_per_minute is 'Requests that may be made by way of it in a minute; null: as many as of anybody.';
comment on column public.mcp_access.concurrent_requests is 'Requests by way of it that may be under way at once; null: as many as of anybody.';
comment on column public.mcp_access.expires_at is 'Until then it counts; null: until it is revoked.';
comment on column public.mcp_access.revoked_at is 'From then on it does not count.';
comment on column public.mcp_access.last_used_at is 'When it was last used, to the minute.';
comment on column public.mcp_access.last_client is 'What the client that used it then calls itself (its User-Agent).';
comment on column public.mcp_access.created_at is 'When it was given.';

-- supabase/schemas/functions/mcp_access.sql
-- How access to MCP servers is given, revoked, and looked up. Functions call these with the secret key.

create function private.shared_mcp_access(toolbox public.account_tool_environments, instance_id uuid, with_user uuid) returns public.mcp_access
language sql stable
set search_path = ''
as $$
  -- What names the instance comes before what is for the whole toolbox.
  select a.* from public.mcp_access a
  where a.user_id = with_user and a.client_id is null and a.account_tool_environment_id = toolbox.id and a.granted_by = toolbox.user_id
    and (a.account_tool_instance_id is null or a.account_tool_instance_id = instance_id)
    and a.revoked_at is null and (a.expires_at is null or a.expires_at > now())
  order by a.account_tool_instance_id nulls last, a.created_at desc
  limit 1
$$;
comment on function private.shared_mcp_access is
  'The access by which a toolbox, or the instance that is named, is shared with a user now.';

create function private.mcp_limits(access public.mcp_access) returns jsonb
language sql immutable
set search_path = ''
as $$
  select case when num_nonnulls(access.requests_per_minute, access.concurrent_requests) = 0 then '[]'::jsonb
    else jsonb_build_array(jsonb_build_object(
      'access', access.id, 'requests_per_minute', access.requests_per_minute, 'concurrent_requests', access.concurrent_requests
    )) end
$$;
comment on function private.mcp_limits is 'The limits of an access, as the agent is told of them; an empty list where it has none.';

create function private.open_mcp_access(
  toolbox public.account_tool_environments, instance_id uuid, token public.mcp_access, caller uuid, client text,
  out is_open boolean, out access public.mcp_access, out limits jsonb
)
language plpgsql stable
set search_path = ''
as $$
declare
  share public.mcp_access;
begin
  is_open := false;
  if token.id is not null then
    access := token;
    limits := private.mcp_limits(token);
    is_open := coalesce(
      token.account_tool_environment_id = toolbox.id and token.granted_by = toolbox.user_id
        and (token.account_tool_instance_id is null or token.account_tool_instance_id = instance_id),
      false
    );
    return;
  end if;
  if toolbox.user_id is distinct from caller then
    access := private.shared_mcp_access(toolbox, instance_id, caller);
    if access.id is null then
      return;
    end if;
  end if;
  -- An application may do no more than the user for whom it acts.
  if client is not null then
    share := access;
    select * into access from public.mcp_access a
    where a.user_id = caller and a.client_id = client and a.account_tool_environment_id = toolbox.id
      and (a.account_tool_instance_id is null or a.account_tool_instance_id = instance_id)
      and a.revoked_at is null and (a.expires_at is null or a.expires_at > now())
    order by a.account_tool_instance_id nulls last, a.created_at desc
    limit 1;
    if access.id is null then
      return;
    end if;
    if share.allowed_tools is not null then
      access.allowed_tools := case
        when access.allowed_tools is null then share.allowed_tools
        else array(select unnest(access.allowed_tools) intersect select unnest(share.allowed_tools) order by 1)
      end;
    end if;
    access.read_only := access.read_only or coalesce(share.read_only, false);
  end if;
  -- Those of the share count for all applications of its user.
  limits := private.mcp_limits(access) || private.mcp_limits(share);
  is_open := true;
end;
$$;
comment on function private.open_mcp_access is
  'Whether an instance, or without one the whole toolbox, is open to the holder of a valid token, or to a user or the application (client) that acts for them, by which access and within which limits; an owner needs none.';

create function private.mcp_pin(instance public.account_tool_instances) returns text
language sql immutable
set search_path = ''
as $$
  -- Which those are, only the agent knows before they are written here.
  select coalesce(instance.mcp_pinned_fingerprint, case when instance.mcp_pin_due_at is not null then 'first' end)
$$;
comment on function private.mcp_pin is
  'What the agent holds an instance to: the fingerprint of its pinned tools, or first while those that it lists first are to be pinned; null where nothing is pinned.';

create function public.grant_mcp_access(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 200;
  toolbox constant uuid := p ->> 'toolbox_id';
  owner constant uuid := p ->> 'owner_id';
  instance constant uuid := p ->> 'instance_id';
  client constant text := p ->> 'client_id';
  -- An application acts for who lets it in.
  grantee constant uuid := case when client is null then p ->> 'user_id' else p ->> 'owner_id' end;
  given public.mcp_access;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'name');
  -- The lock keeps two calls from passing the limit together.
  perform from public.account_tool_environments e
  where e.id = toolbox
    and (e.user_id = owner or client is not null and (private.shared_mcp_access(e, instance, owner)).id is not null)
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'toolbox_not_found');
  end if;
  if instance is not null and not exists (
    select from public.account_tool_instances i where i.id = instance and i.account_tool_environment_id = toolbox
  ) then
    return jsonb_build_object('outcome', 'instance_not_found');
  end if;
  if grantee is not null and not exists (select from auth.users u where u.id = grantee) then
    return jsonb_build_object('outcome', 'user_not_found');
  end if;
  if most <= (
    select count(*) from public.mcp_access a
    where a.account_tool_environment_id = toolbox and a.granted_by = owner
      and a.revoked_at is null and (a.expires_at is null or a.expires_at > now())
  ) then
    return jsonb_build_object('outcome', 'too_many', 'most', most);
  end if;
  -- What ended long ago goes, some of it each time, so that the rest stays in sight.
  delete from public.mcp_access a where a.id in (
    select b.id from public.mcp_access b
    where b.account_tool_environment_id = toolbox and least(b.revoked_at, b.expires_at) < now() - private.retention()
    limit 100
  );
  -- What a user was given for the same servers before is replaced.
  update public.mcp_access a set revoked_at = clock_timestamp()
  where grantee is not null and a.user_id = grantee and a.revoked_at is null and a.account_tool_environment_id = toolbox
    and a.account_tool_instance_id is not distinct from instance and a.client_id is not distinct from client;
  insert into public.mcp_access (
    account_tool_environment_id, account_tool_instance_id, granted_by, name, token_hash, user_id, client_id, allowed_tools,
    read_only, expires_at, requests_per_minute, concurrent_requests
  ) values (
    toolbox, instance, owner, p ->> 'name', p ->> 'token_hash', grantee, client,
    case when jsonb_typeof(p -> 'allowed_tools') = 'array' then array(select jsonb_array_elements_text(p -> 'allowed_tools')) end,
    coalesce((p ->> 'read_only')::boolean, false), now() + make_interval(secs => (p ->> 'ttl_seconds')::double precision),
    (p ->> 'requests_per_minute')::integer, (p ->> 'concurrent_requests')::integer
  )
  returning * into given;
  return jsonb_build_object('outcome', 'granted', 'access', to_jsonb(given) - 'token_hash');
end;
$$;
comment on function public.grant_mcp_access is
  'Lets the holder of a token (token_hash) or a user (user_id) use one instance of the owner''s toolbox, or all; or a program (client_id) that acts for the caller, who may also be somebody with whom that is shared. Answers {outcome}: granted with the access; toolbox_not_found, instance_not_found, user_not_found; too_many.';

create function public.revoke_mcp_access(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  access public.mcp_access;
begin
  perform private.require_keys(p, 'access_id', 'toolbox_id', 'owner_id');
  update public.mcp_access a set revoked_at = coalesce(a.revoked_at, clock_timestamp())
  where a.id = (p ->> 'access_id')::uuid and a.account_tool_environment_id = (p ->> 'toolbox_id')::uuid
    and (a.client_id is not null and a.granted_by = (p ->> 'owner_id')::uuid or exists (
      select from public.account_tool_environments e
      where e.id = a.account_tool_environment_id and e.user_id = (p ->> 'owner_id')::uuid
    ))
  returning * into access;
  if access.id is null then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'revoked', 'access', to_jsonb(access) - 'token_hash');
end;
$$;
comment on function public.revoke_mcp_access is
  'Ends an access to a toolbox of the owner, or of an application that the caller let in, at once; one that was revoked stays so. Answers {outcome}: revoked with the access, or not_found.';

create function public.revoke_mcp_client(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  ended integer;
begin
  perform private.require_keys(p, 'user_id', 'client_id');
  update public.mcp_access a set revoked_at = clock_timestamp()
  where a.user_id = (p ->> 'user_id')::uuid and a.client_id = p ->> 'client_id' and a.revoked_at is null;
  get diagnostics ended = row_count;
  return jsonb_build_object('ended', ended);
end;
$$;
comment on function public.revoke_mcp_client is 'Ends at once all that an application may use for a user. Answers {ended}: how many accesses that were.';

create function public.list_mcp_servers(p jsonb) returns jsonb
language plpgsql security definer stable
set search_path = ''
as $$
declare
  caller constant uuid := p ->> 'user_id';
begin
  perform private.require_keys(p, 'user_id');
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'toolbox_id', s.toolbox_id, 'toolbox', s.toolbox, 'instance_id', s.id, 'name', s.name, 'is_own', s.share is null,
      'allowed_tools', to_jsonb((s.share).allowed_tools), 'read_only', coalesce((s.share).read_only, false),
      'expires_at', (s.share).expires_at
    ) order by (s.share).id is not null, s.toolbox, s.name), '[]')
    from (
      select e.id as toolbox_id, e.name as toolbox, i.id, i.instance_name_on_toolbox as name,
        case when e.user_id is distinct from caller then private.shared_mcp_access(e, i.id, caller) end as share
      from public.account_tool_environments e
      join public.account_tool_instances i on i.account_tool_environment_id = e.id
      where i.mcp_transport_type is not null and (
        e.user_id = caller or e.id in (select a.account_tool_environment_id from public.mcp_access a where a.user_id = caller)
      )
    ) s
    join public.account_tool_environments e on e.id = s.toolbox_id
    where e.user_id = caller or (s.share).id is not null
  );
end;
$$;
comment on function public.list_mcp_servers is
  'The MCP servers that a user may use and may let applications use: those of their toolboxes, and those shared with them, with what of them is shared.';

create function public.find_mcp_access(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  of_token constant text := p ->> 'token_hash';
  caller constant uuid := p ->> 'user_id';
  client constant text := p ->> 'client_id';
  access public.mcp_access;
  opened record;
  instance public.account_tool_instances;
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'instance_id');
  if (of_token is null) = (caller is null) then
    raise exception 'Give token_hash or user_id' using errcode = 'invalid_parameter_value';
  end if;
  if of_token is not null then
    select * into access from public.mcp_access a where a.token_hash = of_token;
    if access.id is null or access.revoked_at is not null then
      return jsonb_build_object('outcome', 'token_unknown');
    end if;
    if access.expires_at <= now() then
      return jsonb_build_object('outcome', 'token_expired');
    end if;
  end if;
  -- What is not there and what is somebody else's are answered alike.
  select * into instance from public.account_tool_instances i where i.id = (p ->> 'instance_id')::uuid;
  select * into toolbox from public.account_tool_environments e where e.id = instance.account_tool_environment_id;
  if toolbox.id is null then
    return jsonb_build_object('outcome', 'no_access');
  end if;
  select * into opened from private.open_mcp_access(toolbox, instance.id, access, caller, client);
  if not opened.is_open then
    return jsonb_build_object('outcome', 'no_access');
  end if;
  access := opened.access;
  -- To the minute, so that a busy client does not write with every call. A row that is locked is written by somebody else.
  update public.mcp_access a set last_used_at = now(), last_client = left(p ->> 'client_name', 200)
  where a.id in (
    select b.id from public.mcp_access b
    where b.id = access.id and (b.last_used_at is null or b.last_used_at < now() - interval '1 minute')
    for no key update skip locked
  );
  return jsonb_build_object(
    'outcome', 'access',
    'who', case when of_token is null then 'user:' || caller || coalesce(':' || client, '') else 'access:' || access.id end,
    'allowed_tools', to_jsonb(access.allowed_tools),
    'read_only', coalesce(access.read_only, false),
    'limits', opened.limits,
    'pins', case when private.mcp_pin(instance) is null then '{}' else jsonb_build_object(instance.id, private.mcp_pin(instance)) end,
    'instance', jsonb_build_object(
      'id', instance.id, 'status', instance.status_on_toolbox, 'desired', instance.desired_status, 'transport', instance.mcp_transport_type
    ),
    'toolbox', jsonb_build_object(
      'id', toolbox.id, 'status', toolbox.status, 'public_ip_address', toolbox.public_ip_address, 'dtma_port', toolbox.dtma_port,
      'dtma_certificate_pem', toolbox.dtma_certificate_pem, 'dtma_key_id', toolbox.dtma_key_id,
      'instances_confirmed_at', toolbox.instances_confirmed_at, 'unresponsive_since', toolbox.unresponsive_since,
      'dtma_api_version', toolbox.dtma_api_version, 'dtma_last_known_version', toolbox.dtma_last_known_version
    )
  );
end;
$$;
comment on function public.find_mcp_access is
  'Decides, for one request to an MCP server, whether the holder of a token (token_hash) or a user (user_id, with the client_id of an application that acts for them) may use the instance, and how. Answers {outcome}: access with who calls, which tools, within which limits, the instance, and where its machine is; token_unknown, also where it was revoked; token_expired; no_access.';

create function public.find_mcp_toolbox_access(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  of_token constant text := p ->> 'token_hash';
  caller constant uuid := p ->> 'user_id';
  client constant text := p ->> 'client_id';
  token public.mcp_access;
  toolbox public.account_tool_environments;
  grants jsonb;
  limits jsonb;
  used uuid[];
begin
  perform private.require_keys(p, 'toolbox_id');
  if (of_token is null) = (caller is null) then
    raise exception 'Give token_hash or user_id' using errcode = 'invalid_parameter_value';
  end if;
  if of_token is not null then
    select * into token from public.mcp_access a where a.token_hash = of_token;
    if token.id is null or token.revoked_at is not null then
      return jsonb_build_object('outcome', 'token_unknown');
    end if;
    if token.expires_at <= now() then
      return jsonb_build_object('outcome', 'token_expired');
    end if;
  end if;
  select * into toolbox from public.account_tool_environments e where e.id = (p ->> 'toolbox_id')::uuid;
  -- Each server as its own URL would open it, and those with the same access together.
  select
    coalesce(jsonb_agg(jsonb_build_object('instances', g.instances, 'tools', to_jsonb(g.tools), 'read_only', g.read_only) order by g.id nulls first), '[]'),
    jsonb_agg(g.limits), array_agg(g.id)
  into grants, limits, used
  from (
    select (o.access).id, (o.access).allowed_tools as tools, coalesce((o.access).read_only, false) as read_only, o.limits,
      jsonb_agg(i.id order by i.id) as instances
    from public.account_tool_instances i
    cross join lateral private.open_mcp_access(toolbox, i.id, token, caller, client) o
    where i.account_tool_environment_id = toolbox.id and i.mcp_transport_type is not null and o.is_open
    group by 1, 2, 3, 4
  ) g;
  -- Who may use the whole toolbox comes in also where it has no server; to others it is not there.
  if toolbox.id is null
    or (grants = '[]' and not (select o.is_open from private.open_mcp_access(toolbox, null, token, caller, client) o))
  then
    return jsonb_build_object('outcome', 'no_access');
  end if;
  -- To the minute, as for one server.
  update public.mcp_access a set last_used_at = now(), last_client = left(p ->> 'client_name', 200)
  where a.id in (
    select b.id from public.mcp_access b
    where b.id = any (used) and (b.last_used_at is null or b.last_used_at < now() - interval '1 minute')
    order by b.id
    for no key update skip locked
  );
  return jsonb_build_object(
    'outcome', 'access',
    'who', coalesce('access:' || token.id, 'user:' || caller || coalesce(':' || client, '')),
    'grants', grants,
    'limits', (select coalesce(jsonb_agg(distinct l), '[]') from jsonb_path_query(limits, '$[*][*]') l),
    'pins', (
      select coalesce(jsonb_object_agg(i.id, private.mcp_pin(i)), '{}') from public.account_tool_instances i
      where i.id in (select (g #>> '{}')::uuid from jsonb_path_query(grants, '$[*].instances[*]') g) and private.mcp_pin(i) is not null
    ),
    'toolbox', jsonb_build_object(
      'id', toolbox.id, 'status', toolbox.status, 'public_ip_address', toolbox.public_ip_address, 'dtma_port', toolbox.dtma_port,
      'dtma_certificate_pem', toolbox.dtma_certificate_pem, 'dtma_key_id', toolbox.dtma_key_id,
      'instances_confirmed_at', toolbox.instances_confirmed_at, 'unresponsive_since', toolbox.unresponsive_since,
      'dtma_api_version', toolbox.dtma_api_version, 'dtma_last_known_version', toolbox.dtma_last_known_version
    )
  );
end;
$$;
comment on function public.find_mcp_toolbox_access is
  'The same for the URL of a whole toolbox: which of its servers the caller may use, and how. Answers {outcome}: access with who calls, the grants (instances, tools, read_only), the limits of all that opens them, and where the machine is; token_unknown; token_expired; no_access.';

revoke all on function private.shared_mcp_access, private.mcp_limits, private.open_mcp_access, private.mcp_pin from public, anon, authenticated, service_role;
revoke all on function public.grant_mcp_access, public.revoke_mcp_access, public.find_mcp_access, public.find_mcp_toolbox_access,
  public.revoke_mcp_client, public.list_mcp_servers from public, anon, authenticated, service_role;
grant execute on function public.grant_mcp_access, public.revoke_mcp_access, public.find_mcp_access, public.find_mcp_toolbox_access,
  public.revoke_mcp_client, public.list_mcp_servers to service_role;

-- supabase/schemas/client_tokens.sql
-- A token that names a client was given to a program, such as a chat application. It is good for the function mcp alone, so it
-- sees no row here. This file comes after all tables.
do $$
declare
  name text;
begin
  for name in
    select c.relname from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
    order by 1
  loop
    execute format(
      'create policy "tokens of programs open nothing" on public.%I as restrictive for all to authenticated using ((select auth.jwt()) ->> ''client_id'' is null)',
      name
    );
  end loop;
end;
$$;
