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
