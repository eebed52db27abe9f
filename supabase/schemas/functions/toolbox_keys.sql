-- How the keys of toolboxes are checked and replaced. The database never sees a key, only the hash of the one that agents
-- present.

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

create function public.rotate_toolbox_key(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  -- So many at a time keep neither the caller nor a heartbeat waiting.
  batch constant integer := 10000;
  rotated uuid[];
begin
  if (p ->> 'toolbox_id' is null) = (p ->> 'all' is distinct from 'true') then
    raise exception 'p must hold either toolbox_id or all: true' using errcode = 'invalid_parameter_value';
  end if;
  with chosen as (
    select e.id from public.account_tool_environments e
    where e.status <> 'deprovisioned' and case
      when p ->> 'toolbox_id' is not null then e.id = (p ->> 'toolbox_id')::uuid
      else p ->> 'after' is null or e.id > (p ->> 'after')::uuid
    end
    order by e.id limit batch
    for no key update
  ), updated as (
    update public.account_tool_environments e set dtma_key_epoch = e.dtma_key_epoch + 1
    from chosen c where e.id = c.id
    returning e.id
  )
  select coalesce(array_agg(u.id order by u.id), '{}') into rotated from updated u;
  if p ->> 'toolbox_id' is not null and cardinality(rotated) = 0 then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
    'outcome', 'rotated', 'count', cardinality(rotated),
    'next', case when cardinality(rotated) = batch then rotated[batch] end
  ));
end;
$$;
comment on function public.rotate_toolbox_key is
  'Wants new keys for one toolbox, or for all from "after" on; each agent gets them with its next heartbeat. Answers {outcome}: rotated with a count, and next when there may be more: call again with all and after: next; or not_found.';

create function public.offer_toolbox_key(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'toolbox_id', 'key_id', 'token_hash', 'boot', 'sequence');
  select * into toolbox from public.account_tool_environments e where e.id = (p ->> 'toolbox_id')::uuid for no key update;
  -- An offer belongs to one heartbeat. One that comes late must not replace what a later heartbeat was given.
  if toolbox.id is null or toolbox.dtma_token_hash is null
    or split_part(p ->> 'key_id', '.', 2) <> toolbox.dtma_key_epoch::text
    or (toolbox.dtma_boot, toolbox.dtma_sequence) is distinct from ((p ->> 'boot')::bigint, (p ->> 'sequence')::bigint)
  then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  update public.account_tool_environments e
  set dtma_offered_key_id = p ->> 'key_id',
    dtma_token_hash = p ->> 'token_hash',
    -- An offer nobody used is replaced; the key in use stays until the new one was seen.
    dtma_previous_token_hash = case when e.dtma_offered_key_id is null then e.dtma_token_hash else e.dtma_previous_token_hash end,
    dtma_previous_token_expires_at = null
  where e.id = toolbox.id;
  return jsonb_build_object('outcome', 'offered');
end;
$$;
comment on function public.offer_toolbox_key is
  'Stores the hash of a key about to be told in the answer to the heartbeat (boot, sequence); the key in use counts until 10 minutes after the first use of the new one. Answers {outcome}: offered, or superseded; then no key may be told.';

revoke all on function
  private.is_toolbox_key, public.rotate_toolbox_key, public.offer_toolbox_key
  from public, anon, authenticated, service_role;
grant execute on function public.rotate_toolbox_key, public.offer_toolbox_key to service_role;
