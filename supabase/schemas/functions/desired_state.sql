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
