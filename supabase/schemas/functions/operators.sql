-- What the function operators asks. It has found out that the caller is an operator; who that is (operator_id) goes into the history.
-- Of users' toolboxes operators get what is named here: never a spec, a variable, a log, an address or a key.

create function private.fleet_rollout(rollout public.rollouts, most integer) returns jsonb
language sql stable
set search_path = ''
as $$
  select to_jsonb(rollout) || jsonb_build_object(
    'operator_id', rollout.user_id,
    'operator_email', (select u.email from auth.users u where u.id = rollout.user_id),
    'counts', (
      select jsonb_object_agg(s.state, (
        select count(*) from jsonb_array_elements(rollout.toolboxes) t where t ->> 'state' = s.state
      )) from unnest(array['waiting', 'asked', 'healthy', 'failed', 'silent', 'removed']) s (state)
    ),
    'toolboxes', case when most is null then rollout.toolboxes else coalesce((
      select jsonb_agg(w.toolbox order by w.place) from (
        select t.toolbox, t.place from jsonb_array_elements(rollout.toolboxes) with ordinality t (toolbox, place)
        where t.toolbox ->> 'state' in ('asked', 'failed', 'silent')
        order by t.toolbox ->> 'state' = 'asked' desc, t.toolbox ->> 'state' = 'failed' desc, t.place limit most
      ) w
    ), '[]') end
  );
$$;
comment on function private.fleet_rollout is
  'A rollout as operators read it: who asked (the address is null once the account is gone), how many toolboxes are in each state, and the toolboxes: all, or so many at most of those that are under way, failed or silent.';

create function public.get_fleet(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  show constant text := coalesce(p ->> 'show', 'all');
  search constant text := lower(coalesce(p ->> 'search', ''));
  wanted constant text := (select s.agent_version from private.settings s);
  answer jsonb;
begin
  perform private.require_keys(p, 'limit', 'offset');
  with toolboxes as (
    select e.id, e.name, e.user_id as owner_id, u.email as owner_email, e.kind, e.status, e.status_changed_at, e.last_heartbeat_at,
      e.dtma_last_known_version as version, e.region_slug, e.size_slug, e.price_monthly_usd, e.created_at,
      coalesce(e.provisioning_error_message, e.provisioning_problem) as problem, t.tools, t.failing_tools,
      private.is_older_version(e.dtma_last_known_version, wanted) as is_old,
      -- As mark_silent_toolboxes, also where the clock stands still that runs it.
      e.status = 'unresponsive' or e.status = 'active' and coalesce(e.last_heartbeat_at, e.status_changed_at)
        < clock_timestamp() - make_interval(secs => 3 * coalesce(e.heartbeat_interval_seconds, 60)) as is_silent,
      e.status in ('error_provisioning', 'error_deprovisioning') or e.provisioning_problem is not null or t.failing_tools > 0 as is_failing
    from public.account_tool_environments e
    left join auth.users u on u.id = e.user_id
    cross join lateral (
      select count(*) as tools, count(*) filter (where i.status_on_toolbox = 'error') as failing_tools
      from public.account_tool_instances i where i.account_tool_environment_id = e.id
    ) t
    where e.status <> 'deprovisioned'
  ), found as (
    select * from toolboxes f
    where case show when 'old' then f.is_old when 'silent' then f.is_silent when 'failing' then f.is_failing else show = 'all' end
      and position(search in lower(concat_ws(' ', f.owner_email, f.owner_id, f.name, f.id))) > 0
  ), page as (
    select * from found f
    order by f.is_silent or f.is_failing desc, f.is_old desc, f.created_at, f.id
    limit least((p ->> 'limit')::integer, 100) offset (p ->> 'offset')::integer
  )
  select jsonb_build_object(
    'outcome', 'found', 'wanted_version', wanted, 'found', (select count(*) from found),
    'counts', (select jsonb_build_object(
      'all', count(*), 'old', count(*) filter (where f.is_old), 'silent', count(*) filter (where f.is_silent),
      'failing', count(*) filter (where f.is_failing),
      'ready', count(*) filter (where f.status = 'active' and not f.is_silent and wanted is not null and f.version is distinct from wanted)
    ) from toolboxes f),
    'toolboxes', coalesce((
      select jsonb_agg(to_jsonb(g) order by g.is_silent or g.is_failing desc, g.is_old desc, g.created_at, g.id) from page g
    ), '[]'),
    'rollouts', coalesce((
      select jsonb_agg(private.fleet_rollout(r, 20) order by r.created_at desc)
      from (select * from public.rollouts f where f.is_fleet order by f.created_at desc limit 3) r
    ), '[]')
  ) into answer;
  return answer;
end;
$$;
comment on function public.get_fleet is
  'The toolboxes of all users for operators, a page at a time (limit, 100 at most, and offset): those that show (all, old, silent or failing) and search (in the owner''s address and id, the name and the id) leave; those that need a look come first. Answers {outcome: found} with wanted_version, counts of the whole fleet, found, toolboxes, and the last rollouts, each with 20 of its toolboxes at most.';

create function public.get_fleet_rollout(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  rollout public.rollouts;
begin
  perform private.require_keys(p, 'rollout_id');
  select * into rollout from public.rollouts r where r.id = (p ->> 'rollout_id')::uuid and r.is_fleet;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'found', 'rollout', private.fleet_rollout(rollout, null));
end;
$$;
comment on function public.get_fleet_rollout is 'A rollout of the fleet with all its toolboxes, 500 at most. Answers {outcome}: found with the rollout, or not_found.';

create function public.set_agent_version(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'operator_id');
  insert into private.settings (agent_version) values (p ->> 'version')
  on conflict (only_row) do update set agent_version = excluded.agent_version;
  perform private.record_operator_event(
    (p ->> 'operator_id')::uuid, 'agent_version_set', jsonb_build_object('version', p -> 'version'), p ->> 'request_id'
  );
  return jsonb_build_object('outcome', 'set');
end;
$$;
comment on function public.set_agent_version is 'Writes which version agents should have; a null: none. Answers {outcome: set}.';

create function public.get_catalog(p jsonb) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object('outcome', 'found', 'entries', coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('tools', (
    select count(*) from public.account_tool_instances i where i.tool_catalog_id = c.id
  )) order by c.status = 'archived', c.name), '[]'))
  from (select * from public.tool_catalog limit 1000) c;
$$;
comment on function public.get_catalog is
  'Every entry of the catalog, also those that users do not see, each with how many tools were deployed from it. Answers {outcome: found, entries}.';

create function public.put_catalog_entry(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  entry public.tool_catalog;
  is_new boolean;
begin
  perform private.require_keys(
    p, 'operator_id', 'catalog_id', 'name', 'tool_name', 'description', 'category', 'packaging_type', 'default_spec',
    'required_config_schema', 'required_secrets_schema', 'status', 'is_public', 'version'
  );
  entry := jsonb_populate_record(null::public.tool_catalog, p);
  if entry.default_spec ->> 'image' = '' then
    -- Each deployment names one.
    entry.default_spec := entry.default_spec - 'image';
  end if;
  -- Of two who write it, the second waits, and is told what the first did.
  if entry.updated_at is not null and not exists (
    select from (select c.updated_at from public.tool_catalog c where c.id = (p ->> 'catalog_id')::uuid for update) was
    where was.updated_at = entry.updated_at
  ) then
    return jsonb_build_object('outcome', 'changed_since');
  end if;
  if exists (select from public.tool_catalog c where c.name = entry.name and c.id <> (p ->> 'catalog_id')::uuid) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;
  insert into public.tool_catalog as c (
    id, name, tool_name, description, category, provider, documentation_url, icon_url, packaging_type, default_spec,
    required_config_schema, required_secrets_schema, status, is_public, version
  ) values (
    (p ->> 'catalog_id')::uuid, entry.name, entry.tool_name, entry.description, entry.category, entry.provider,
    entry.documentation_url, entry.icon_url, entry.packaging_type, entry.default_spec, entry.required_config_schema,
    entry.required_secrets_schema, entry.status, entry.is_public, entry.version
  )
  on conflict (id) do update set
    name = excluded.name, tool_name = excluded.tool_name, description = excluded.description, category = excluded.category,
    provider = excluded.provider, documentation_url = excluded.documentation_url, icon_url = excluded.icon_url,
    packaging_type = excluded.packaging_type, default_spec = excluded.default_spec,
    required_config_schema = excluded.required_config_schema, required_secrets_schema = excluded.required_secrets_schema,
    status = excluded.status, is_public = excluded.is_public, version = excluded.version
  returning c.xmax = 0 into is_new;
  perform private.record_operator_event(
    (p ->> 'operator_id')::uuid, 'entry_put', p - array['operator_id', 'request_id'], p ->> 'request_id'
  );
  return jsonb_build_object('outcome', 'put', 'is_new', is_new);
end;
$$;
comment on function public.put_catalog_entry is
  'Makes the entry catalog_id of the catalog, or writes all of it anew. Tools that were deployed from it stay as they are. Answers {outcome}: put with is_new, name_taken, or changed_since when it has another updated_at than the given one. Whether default_spec is one that agents take, the caller has found out.';

create function public.delete_catalog_entry(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  entry public.tool_catalog;
  uses bigint;
begin
  perform private.require_keys(p, 'operator_id', 'catalog_id');
  -- Whoever deploys from it meanwhile waits.
  select * into entry from public.tool_catalog c where c.id = (p ->> 'catalog_id')::uuid for update;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  select count(*) into uses from public.account_tool_instances i where i.tool_catalog_id = entry.id;
  if uses > 0 then
    return jsonb_build_object('outcome', 'in_use', 'tools', uses);
  end if;
  delete from public.tool_catalog c where c.id = entry.id;
  perform private.record_operator_event(
    (p ->> 'operator_id')::uuid, 'entry_deleted', jsonb_build_object('catalog_id', entry.id, 'name', entry.name), p ->> 'request_id'
  );
  return jsonb_build_object('outcome', 'deleted');
end;
$$;
comment on function public.delete_catalog_entry is
  'Removes an entry of the catalog from which no tool was deployed. Answers {outcome}: deleted, not_found, or in_use with how many tools.';

create function private.quota_used(of_user uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('toolboxes', count(*), 'monthly_usd', private.monthly_price(of_user, null))
  from public.account_tool_environments e where e.user_id = of_user and e.status <> 'deprovisioned';
$$;
comment on function private.quota_used is 'What a user has of what quotas limit: toolboxes, and what the machines cost a month.';

create function public.list_quotas(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  search constant text := lower(coalesce(p ->> 'search', ''));
  answer jsonb;
begin
  perform private.require_keys(p, 'limit', 'offset');
  with found as (
    select u.id, u.email, u.created_at, q.max_toolboxes, q.max_monthly_usd, q.max_tools, q.user_id is not null as is_set
    from auth.users u left join private.quotas q on q.user_id = u.id
    where position(search in lower(concat_ws(' ', u.email, u.id))) > 0
  ), page as (
    select * from found f order by f.is_set desc, f.created_at, f.id
    limit least((p ->> 'limit')::integer, 100) offset (p ->> 'offset')::integer
  )
  select jsonb_build_object('outcome', 'found', 'found', (select count(*) from found), 'users', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', f.id, 'email', f.email,
      'quota', jsonb_build_object('toolboxes', f.max_toolboxes, 'monthly_usd', f.max_monthly_usd, 'tools', f.max_tools),
      'used', private.quota_used(f.id)
    ) order by f.is_set desc, f.created_at, f.id) from page f
  ), '[]')) into answer;
  return answer;
end;
$$;
comment on function public.list_quotas is
  'Users, a page at a time (limit, 100 at most, and offset), found by search in their address and id; those with a quota of their own come first. Answers {outcome: found, found, users}, each with that quota and with what they have.';

create function public.set_quota(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
begin
  perform private.require_keys(p, 'operator_id', 'user_id');
  perform from auth.users u where u.id = of_user for key share;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if coalesce(p ->> 'toolboxes', p ->> 'monthly_usd', p ->> 'tools') is null then
    delete from private.quotas q where q.user_id = of_user;
  else
    insert into private.quotas (user_id, max_toolboxes, max_monthly_usd, max_tools)
    values (of_user, (p ->> 'toolboxes')::integer, (p ->> 'monthly_usd')::integer, (p ->> 'tools')::integer)
    on conflict (user_id) do update set
      max_toolboxes = excluded.max_toolboxes, max_monthly_usd = excluded.max_monthly_usd, max_tools = excluded.max_tools;
  end if;
  perform private.record_operator_event((p ->> 'operator_id')::uuid, 'quota_set', p - array['operator_id', 'request_id'], p ->> 'request_id');
  return jsonb_build_object('outcome', 'set');
end;
$$;
comment on function public.set_quota is
  'Writes how much one user may have: toolboxes, monthly_usd and tools (in one toolbox); a null: as everybody. What they have already stays. Answers {outcome}: set, or not_found.';

create function public.get_quota(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  of_user constant uuid := p ->> 'user_id';
begin
  perform private.require_keys(p, 'user_id', 'max_toolboxes', 'max_monthly_usd', 'max_tools');
  return jsonb_build_object('outcome', 'found', 'used', private.quota_used(of_user), 'limits', jsonb_build_object(
    'toolboxes', private.quota(of_user, 'max_toolboxes', (p ->> 'max_toolboxes')::integer),
    'monthly_usd', private.quota(of_user, 'max_monthly_usd', (p ->> 'max_monthly_usd')::integer),
    'tools', private.quota(of_user, 'max_tools', (p ->> 'max_tools')::integer)
  ));
end;
$$;
comment on function public.get_quota is
  'How much a user may have and has: what an operator set for them, or else what p says. Answers {outcome: found, limits, used}.';

revoke all on function
  public.get_fleet, public.get_fleet_rollout, public.set_agent_version, public.get_catalog, public.put_catalog_entry,
  public.delete_catalog_entry, public.list_quotas, public.set_quota, public.get_quota, private.quota_used, private.fleet_rollout
  from public, anon, authenticated, service_role;
grant execute on function
  public.get_fleet, public.get_fleet_rollout, public.set_agent_version, public.get_catalog, public.put_catalog_entry,
  public.delete_catalog_entry, public.list_quotas, public.set_quota, public.get_quota
  to service_role;
