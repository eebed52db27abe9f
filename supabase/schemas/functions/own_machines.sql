-- Toolboxes on machines that their users bring. Reads go through row-level security; what is written, and how many a user may
-- have, is decided here.

create function public.create_own_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
  most constant integer := private.quota(of_user, 'max_toolboxes', (p ->> 'max_toolboxes')::integer);
  made uuid;
begin
  perform private.require_keys(p, 'user_id', 'name', 'max_toolboxes');
  -- Two requests at once are counted one after the other.
  perform pg_advisory_xact_lock(hashtextextended('toolboxes of ' || of_user, 0));
  if (select count(*) from public.account_tool_environments e where e.user_id = of_user and e.status <> 'deprovisioned') >= most then
    return jsonb_build_object('outcome', 'quota_exceeded', 'most', most);
  end if;
  insert into public.account_tool_environments (user_id, name, description, public_ip_address)
  values (of_user, p ->> 'name', p ->> 'description', (p ->> 'address')::inet)
  returning id into made;
  return jsonb_build_object('outcome', 'created', 'id', made);
end;
$$;
comment on function public.create_own_toolbox is
  'Makes the toolbox of a machine that its user brings. Answers {outcome}: created with its id, or quota_exceeded with most when the user has max_toolboxes, or as many as an operator allows them.';

create function public.update_own_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'user_id');
  update public.account_tool_environments e
  set name = coalesce(p ->> 'name', e.name),
    description = case when p ? 'description' then p ->> 'description' else e.description end,
    public_ip_address = case when p ? 'address' then (p ->> 'address')::inet else e.public_ip_address end,
    address_is_told = e.address_is_told and not p ? 'address'
  where e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'user_id')::uuid
    -- A bought machine has the name too, and its address is DigitalOcean's.
    and (e.kind = 'byo' or not p ?| '{name,address}');
  return jsonb_build_object('outcome', case when found then 'updated' else 'not_found' end);
end;
$$;
comment on function public.update_own_toolbox is
  'Writes the name, the description and the address that are in p; a null ends a description or an address. Answers {outcome}: updated, or not_found.';

create function public.delete_own_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'user_id');
  -- A droplet is paid for until it is gone: its row leaves by another way.
  delete from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and e.user_id = (p ->> 'user_id')::uuid and e.kind = 'byo';
  return jsonb_build_object('outcome', case when found then 'deleted' else 'not_found' end);
end;
$$;
comment on function public.delete_own_toolbox is
  'Removes the row of a machine that its user brought, and with it the keys: the machine is told nothing any more. Answers {outcome}: deleted, or not_found.';

revoke all on function public.create_own_toolbox, public.update_own_toolbox, public.delete_own_toolbox
  from public, anon, authenticated, service_role;
grant execute on function public.create_own_toolbox, public.update_own_toolbox, public.delete_own_toolbox to service_role;
