-- The tools of MCP servers that owners accepted, as they were then, so that a difference can be shown.
create table private.mcp_pinned_tools (
  account_tool_instance_id uuid primary key references public.account_tool_instances (id) on delete cascade,
  -- JSON as text: what a server writes need not be what jsonb takes.
  definitions text not null check (octet_length(definitions) <= 786432),
  accepted_by uuid not null,
  accepted_at timestamptz not null default now()
);

alter table private.mcp_pinned_tools enable row level security;
revoke all on private.mcp_pinned_tools from public, anon, authenticated, service_role;

comment on table private.mcp_pinned_tools is 'The definitions that account_tool_instances.mcp_pinned_fingerprint stands for. A row is there exactly where that is set.';
comment on column private.mcp_pinned_tools.account_tool_instance_id is 'The instance.';
comment on column private.mcp_pinned_tools.definitions is 'A JSON array with name, description, schemas and annotations of each tool.';
comment on column private.mcp_pinned_tools.accepted_by is 'The owner who accepted them.';
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
  instance public.account_tool_instances;
  accepted timestamptz;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'instance_id');
  select i.* into instance from public.account_tool_instances i
  where i.id = (p ->> 'instance_id')::uuid and i.account_tool_environment_id = (p ->> 'toolbox_id')::uuid
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
  if wanted is distinct from instance.mcp_pinned_fingerprint then
    update public.account_tool_instances i set mcp_pinned_fingerprint = wanted where i.id = instance.id;
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
      case when wanted is not null and instance.mcp_pinned_fingerprint is not null then private.text_of_tools_changed(p -> 'change') end,
      p ->> 'request_id', instance.generation
    );
  end if;
  return jsonb_build_object('outcome', 'set', 'accepted_at', accepted);
end;
$$;
comment on function public.set_mcp_pin is
  'Accepts the tools of an owner''s MCP server (fingerprint and definitions), or without a fingerprint accepts any; what changes is an event, with the names of change. Answers {outcome}: set with accepted_at; not_found.';

revoke all on function public.get_mcp_pin, public.set_mcp_pin from public, anon, authenticated, service_role;
grant execute on function public.get_mcp_pin, public.set_mcp_pin to service_role;
