-- How a rollout begins, is stopped and goes on. What comes next is decided by crates/toolbox-instances/src/rollouts.rs.

create function public.begin_rollout(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 500;
  of_user constant uuid := p ->> 'user_id';
  fleet constant boolean := coalesce((p ->> 'is_fleet')::boolean, false);
  -- An empty list names none; no list, all.
  asked constant uuid[] := case when jsonb_typeof(p -> 'toolbox_ids') = 'array' then coalesce((
    select array_agg(t.id::uuid order by t.place) from jsonb_array_elements_text(p -> 'toolbox_ids') with ordinality as t (id, place)
  ), '{}') end;
  chosen jsonb;
  rollout public.rollouts;
begin
  perform private.require_keys(p, 'user_id', 'version', 'wave_size');
  -- In the order of the list; without one, the oldest first. Of the fleet those come last that an earlier rollout of this version
  -- failed at: one machine that refuses it does not keep it from all others.
  select jsonb_agg(jsonb_build_object('id', e.id, 'name', e.name, 'state', 'waiting') order by
    array_position(asked, e.id),
    fleet and exists (
      select from public.rollouts r
      where r.is_fleet and r.version = p ->> 'version'
        and r.toolboxes @> jsonb_build_array(jsonb_build_object('id', e.id, 'state', 'failed'))
    ),
    e.created_at, e.id
  )
  into chosen
  from public.account_tool_environments e
  where (fleet or e.user_id = of_user) and (asked is null or e.id = any (asked))
    and e.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning')
    -- Machines that have not come yet are not asked unless they are named.
    and (asked is not null or e.status in ('active', 'unresponsive'))
    -- Of the fleet silent ones are left out: they would not be asked. Those that have the version need nothing.
    and (asked is not null or not fleet or e.status = 'active' and e.dtma_last_known_version is distinct from p ->> 'version');
  if chosen is null or jsonb_array_length(chosen) < (select count(distinct id) from unnest(asked) id) then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if fleet and asked is null then
    -- The oldest come first; the others are for the next rollout.
    chosen := jsonb_path_query_array(chosen, '$[0 to $last]', jsonb_build_object('last', most - 1));
  elsif jsonb_array_length(chosen) > most then
    return jsonb_build_object('outcome', 'too_many', 'most', most);
  end if;
  -- Toolboxes of the one before may be under way, or may just be asked by a tick that has it.
  if exists (
    select from public.rollouts r
    where r.is_fleet = fleet and (fleet or r.owner_id = of_user) and (r.is_due or r.leased_until > clock_timestamp())
  ) then
    return jsonb_build_object('outcome', 'in_progress');
  end if;
  insert into public.rollouts (user_id, is_fleet, version, wave_size, toolboxes, request_id)
  values (of_user, fleet, p ->> 'version', (p ->> 'wave_size')::integer, chosen, p ->> 'request_id')
  on conflict do nothing
  returning * into rollout;
  if rollout.id is null then
    return jsonb_build_object('outcome', 'in_progress');
  end if;
  if fleet then
    perform private.record_operator_event(of_user, 'rollout_begun', jsonb_build_object(
      'rollout', rollout.id, 'version', rollout.version, 'toolboxes', jsonb_array_length(chosen)
    ), p ->> 'request_id');
  end if;
  return jsonb_build_object('outcome', 'begun', 'rollout', to_jsonb(rollout));
end;
$$;
comment on function public.begin_rollout is
  'Plans the redeployment of a user''s toolboxes (toolbox_ids, or all that have a machine) in waves; with is_fleet those of all users, of which without a list the active ones that have another version, 500 at once. Answers {outcome}: begun with the rollout; not_found when a toolbox is not the user''s, or there is none; too_many; in_progress while one runs already, or toolboxes of it are under way.';

create function public.stop_rollout(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
  fleet constant boolean := coalesce((p ->> 'is_fleet')::boolean, false);
  rollout public.rollouts;
begin
  perform private.require_keys(p, 'rollout_id', 'user_id');
  update public.rollouts r
  set state = 'stopped', ended_at = clock_timestamp(), reason = jsonb_build_object(
    'code', 'stopped_by_user',
    'message', case when fleet then 'An operator' else 'Its user' end || ' stopped it; toolboxes that were asked already go on'
  )
  where r.id = (p ->> 'rollout_id')::uuid and r.is_fleet = fleet and (fleet or r.owner_id = of_user) and r.state = 'running';
  if found and fleet then
    perform private.record_operator_event(of_user, 'rollout_stopped', jsonb_build_object('rollout', p -> 'rollout_id'), p ->> 'request_id');
  end if;
  select * into rollout from public.rollouts r
  where r.id = (p ->> 'rollout_id')::uuid and r.is_fleet = fleet and (fleet or r.owner_id = of_user);
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  return jsonb_build_object('outcome', 'stopped', 'rollout', to_jsonb(rollout));
end;
$$;
comment on function public.stop_rollout is
  'Lets a user''s rollout ask no further toolbox, or with is_fleet that of any operator; one that has ended stays as it is. Answers {outcome}: stopped with the rollout, or not_found.';

create function public.claim_rollouts(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 5;
  -- Longer than a tick.
  lease constant interval := interval '1 minute';
  claimed jsonb;
begin
  with due as (
    select r.id from public.rollouts r
    where r.is_due and r.leased_until <= clock_timestamp()
    -- Who was served last is last. A user has one that is due, and operators have one, so they take turns.
    order by r.leased_until
    limit most
    for update skip locked
  ), leased as (
    update public.rollouts r set step = r.step + 1, leased_until = clock_timestamp() + lease
    from due d where r.id = d.id
    returning r.*
  )
  select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('rows', coalesce((
    -- Those that are under way, and those that may be next.
    select jsonb_agg(to_jsonb(e)) from (
      select e.id, e.status, e.public_ip_address, e.dtma_port, e.dtma_certificate_pem, e.dtma_key_id, e.dtma_last_known_version,
        e.dtma_api_version, e.instances_confirmed_at, e.unresponsive_since
      from public.account_tool_environments e
      -- What is being removed is not waited for.
      where e.status not in ('pending_deprovision', 'deprovisioning', 'deprovisioned', 'error_deprovisioning') and e.id in (
        select (t.toolbox ->> 'id')::uuid from jsonb_array_elements(l.toolboxes) as t (toolbox) where t.toolbox ->> 'state' = 'asked'
        union all
        (select (t.toolbox ->> 'id')::uuid from jsonb_array_elements(l.toolboxes) with ordinality as t (toolbox, place)
         where t.toolbox ->> 'state' = 'waiting' order by t.place limit l.wave_size)
      )
    ) e
  ), '[]'))), '[]') into claimed from leased l;
  return jsonb_build_object('outcome', 'claimed', 'rollouts', claimed);
end;
$$;
comment on function public.claim_rollouts is
  'Takes rollouts with something to do, 5 at most, for a minute. Answers {outcome: claimed, rollouts}, each with the rows of the toolboxes that are under way or next.';

create function public.record_rollout(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  perform private.require_keys(p, 'rollout_id', 'step', 'toolboxes', 'state');
  update public.rollouts r
  set toolboxes = p -> 'toolboxes', leased_until = clock_timestamp(),
    -- Who stopped it meanwhile stopped it.
    state = case when r.state = 'running' then p ->> 'state' else r.state end,
    reason = case when r.state = 'running' then nullif(p -> 'reason', 'null') else r.reason end,
    ended_at = case when r.state <> 'running' then r.ended_at when p ->> 'state' <> 'running' then clock_timestamp() end
  where r.id = (p ->> 'rollout_id')::uuid and r.step = (p ->> 'step')::integer;
  return jsonb_build_object('outcome', case when found then 'recorded' else 'superseded' end);
end;
$$;
comment on function public.record_rollout is
  'Writes how the toolboxes of a rollout are, and whether it goes on, for the tick that has it (step). Answers {outcome}: recorded, or superseded when another tick took it since.';

revoke all on function public.begin_rollout, public.stop_rollout, public.claim_rollouts, public.record_rollout
  from public, anon, authenticated, service_role;
grant execute on function public.begin_rollout, public.stop_rollout, public.claim_rollouts, public.record_rollout to service_role;
