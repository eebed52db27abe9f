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
