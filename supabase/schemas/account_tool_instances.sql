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
