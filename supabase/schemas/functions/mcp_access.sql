-- How access to MCP servers is given, revoked, and looked up. Functions call these with the secret key.

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
  grantee constant uuid := p ->> 'user_id';
  given public.mcp_access;
begin
  perform private.require_keys(p, 'toolbox_id', 'owner_id', 'name');
  -- The lock keeps two calls from passing the limit together.
  perform from public.account_tool_environments e where e.id = toolbox and e.user_id = owner for no key update;
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
    where a.account_tool_environment_id = toolbox and a.revoked_at is null and (a.expires_at is null or a.expires_at > now())
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
    and a.account_tool_instance_id is not distinct from instance and a.client_id is not distinct from p ->> 'client_id';
  insert into public.mcp_access (
    account_tool_environment_id, account_tool_instance_id, granted_by, name, token_hash, user_id, client_id, allowed_tools,
    read_only, expires_at
  ) values (
    toolbox, instance, owner, p ->> 'name', p ->> 'token_hash', grantee, p ->> 'client_id',
    case when jsonb_typeof(p -> 'allowed_tools') = 'array' then array(select jsonb_array_elements_text(p -> 'allowed_tools')) end,
    coalesce((p ->> 'read_only')::boolean, false), now() + make_interval(secs => (p ->> 'ttl_seconds')::double precision)
  )
  returning * into given;
  return jsonb_build_object('outcome', 'granted', 'access', to_jsonb(given) - 'token_hash');
end;
$$;
comment on function public.grant_mcp_access is
  'Lets the holder of a token (token_hash) or a user (user_id, by client_id where a program acts for them) use one instance of the owner''s toolbox, or all. Answers {outcome}: granted with the access; toolbox_not_found, instance_not_found, user_not_found; too_many.';

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
    and exists (
      select from public.account_tool_environments e
      where e.id = a.account_tool_environment_id and e.user_id = (p ->> 'owner_id')::uuid
    )
  returning * into access;
  if access.id is null then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'revoked', 'access', to_jsonb(access) - 'token_hash');
end;
$$;
comment on function public.revoke_mcp_access is
  'Ends an access to a toolbox of the owner at once; one that was revoked stays so. Answers {outcome}: revoked with the access, or not_found.';

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
  if of_token is not null then
    if access.account_tool_environment_id <> toolbox.id
      or access.account_tool_instance_id <> instance.id
      or access.granted_by is distinct from toolbox.user_id
    then
      return jsonb_build_object('outcome', 'no_access');
    end if;
  elsif client is not null or toolbox.user_id is distinct from caller then
    -- What names the instance comes before what is for the whole toolbox.
    select * into access from public.mcp_access a
    where a.user_id = caller and a.client_id is not distinct from client and a.account_tool_environment_id = toolbox.id
      and (a.account_tool_instance_id is null or a.account_tool_instance_id = instance.id)
      and a.revoked_at is null and (a.expires_at is null or a.expires_at > now()) and a.granted_by = toolbox.user_id
    order by a.account_tool_instance_id nulls last, a.created_at desc
    limit 1;
    if access.id is null then
      return jsonb_build_object('outcome', 'no_access');
    end if;
  end if;
  -- To the minute, so that a busy client does not write with every call. A row that is locked is written by somebody else.
  update public.mcp_access a set last_used_at = now(), last_client = left(p ->> 'client_name', 200)
  where a.id in (
    select b.id from public.mcp_access b
    where b.id = access.id and (b.last_used_at is null or b.last_used_at < now() - interval '1 minute')
    for no key update skip locked
  );
  return jsonb_build_object(
    'outcome', 'access',
    'who', coalesce('access:' || access.id, 'user:' || caller),
    'allowed_tools', to_jsonb(access.allowed_tools),
    'read_only', coalesce(access.read_only, false),
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
  'Decides, for one request to an MCP server, whether the holder of a token (token_hash) or a user (user_id, with the client_id of a program that acts for them) may use the instance, and how. Answers {outcome}: access with who calls, which tools, the instance, and where its machine is; token_unknown, also where it was revoked; token_expired; no_access.';

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
  is_owner boolean;
  grants jsonb;
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
  is_owner := of_token is null and client is null and toolbox.user_id = caller;
  -- Each server as its own URL would open it, and those with the same access together.
  select
    coalesce(jsonb_agg(jsonb_build_object(
      'instances', g.instances, 'tools', to_jsonb(a.allowed_tools), 'read_only', coalesce(a.read_only, false)
    ) order by g.access_id nulls first), '[]'),
    array_agg(g.access_id)
  into grants, used
  from (
    select best.access_id, jsonb_agg(i.id order by i.id) as instances
    from public.account_tool_instances i
    left join lateral (
      select a.id as access_id from public.mcp_access a
      where not is_owner and a.account_tool_environment_id = toolbox.id
        and (a.account_tool_instance_id is null or a.account_tool_instance_id = i.id) and a.granted_by = toolbox.user_id
        and a.revoked_at is null and (a.expires_at is null or a.expires_at > now())
        and (a.id = token.id or (of_token is null and a.user_id = caller and a.client_id is not distinct from client))
      order by a.account_tool_instance_id nulls last, a.created_at desc
      limit 1
    ) as best on true
    where i.account_tool_environment_id = toolbox.id and i.mcp_transport_type is not null
      and (is_owner or best.access_id is not null)
    group by best.access_id
  ) as g
  left join public.mcp_access a on a.id = g.access_id;
  -- An owner without servers, and who may use the whole toolbox, come in; to others it is not there.
  if toolbox.id is null or (grants = '[]' and not is_owner and not exists (
    select from public.mcp_access a
    where a.account_tool_environment_id = toolbox.id and a.account_tool_instance_id is null and a.granted_by = toolbox.user_id
      and a.revoked_at is null and (a.expires_at is null or a.expires_at > now())
      and (a.id = token.id or (of_token is null and a.user_id = caller and a.client_id is not distinct from client))
  )) then
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
  'The same for the URL of a whole toolbox: which of its servers the caller may use, and how. Answers {outcome}: access with who calls, the grants (instances, tools, read_only), and where the machine is; token_unknown; token_expired; no_access.';

revoke all on function public.grant_mcp_access, public.revoke_mcp_access, public.find_mcp_access, public.find_mcp_toolbox_access
  from public, anon, authenticated, service_role;
grant execute on function public.grant_mcp_access, public.revoke_mcp_access, public.find_mcp_access, public.find_mcp_toolbox_access
  to service_role;
