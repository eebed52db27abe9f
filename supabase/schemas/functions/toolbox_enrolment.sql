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
