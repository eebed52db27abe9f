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
