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
