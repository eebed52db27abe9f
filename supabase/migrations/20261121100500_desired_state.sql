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
comment on function private.desired_digest is 'SHA-256 in hex over one line id:generation:desired for each instance of a toolbox, in order of their ids.';

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
        'restart', exists (
          select from public.tool_instance_operations o
          where o.tool_instance_id = i.id and o.state = 'in_progress' and o.action = 'restart' and o.generation = i.generation
        )
      ) order by i.id)
      from public.account_tool_instances i where i.account_tool_environment_id = e.id
    ), '[]')
  ) into answer
  from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and private.is_toolbox_key(e, p ->> 'token_hash');
  return coalesce(answer, jsonb_build_object('outcome', 'unauthorized'));
end;
$$;
comment on function public.get_desired_state is
  'All instances of a toolbox as they should be, and which of them to restart for that, for the agent that presents its key. Holds secrets. Answers {outcome}: found, or unauthorized for an unknown toolbox and a wrong key alike.';

revoke all on function private.desired_digest, private.is_toolbox_key, public.get_desired_state
  from public, anon, authenticated, service_role;
grant execute on function public.get_desired_state to service_role;
