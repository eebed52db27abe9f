-- How toolboxes are ordered, and how whoever has time takes their next step. What the next step is, and what is done in it, is
-- decided by crates/toolbox-domain/src/provisioning.rs; here are the lease, the compare-and-set, and what no step may do.

-- Ids that were toolboxes: a droplet with the tag of one is ours, and nobody waits for it.
create table private.removed_toolboxes (
  toolbox_id uuid primary key,
  removed_at timestamptz not null default clock_timestamp(),
  user_id uuid references auth.users (id) on delete set null,
  ordered_at timestamptz
);
create index removed_toolboxes_user_id_idx on private.removed_toolboxes (user_id, ordered_at);
alter table private.removed_toolboxes enable row level security;
revoke all on private.removed_toolboxes from public, anon, authenticated, service_role;

comment on table private.removed_toolboxes is 'Toolboxes with droplets whose rows are gone. A droplet with the tag of one was left behind, and the sweep removes it.';
comment on column private.removed_toolboxes.toolbox_id is 'The id that the toolbox had.';
comment on column private.removed_toolboxes.removed_at is 'When its row was removed.';
comment on column private.removed_toolboxes.user_id is 'Who had ordered it.';
comment on column private.removed_toolboxes.ordered_at is 'When that was.';

-- When jobs ran that need not run with every tick.
create table private.job_runs (
  job text primary key,
  ran_at timestamptz not null
);
alter table private.job_runs enable row level security;
revoke all on private.job_runs from public, anon, authenticated, service_role;

comment on table private.job_runs is 'When jobs last began that run more rarely than the clock ticks.';
comment on column private.job_runs.job is 'The job.';
comment on column private.job_runs.ran_at is 'When it last began.';

-- Lists that DigitalOcean answers to everybody alike. Its account has so many requests an hour, which all users share.
create table private.provider_lists (
  name text primary key check (name in ('sizes', 'regions', 'images')),
  content jsonb,
  fetched_at timestamptz,
  claimed_until timestamptz not null default '-infinity'
);
alter table private.provider_lists enable row level security;
revoke all on private.provider_lists from public, anon, authenticated, service_role;

comment on table private.provider_lists is 'What DigitalOcean last answered to the questions what can be bought, where, and from which image.';
comment on column private.provider_lists.name is 'Which list.';
comment on column private.provider_lists.content is 'The list; null: it was never answered.';
comment on column private.provider_lists.fetched_at is 'When it was answered.';
comment on column private.provider_lists.claimed_until is 'Until then one caller asks DigitalOcean, and nobody else does.';

create function public.get_provider_list(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  kept private.provider_lists;
  oldest timestamptz;
begin
  perform private.require_keys(p, 'name', 'max_age_seconds', 'claim_seconds');
  oldest := clock_timestamp() - make_interval(secs => (p ->> 'max_age_seconds')::double precision);
  select * into kept from private.provider_lists l where l.name = p ->> 'name';
  if kept.fetched_at > oldest then
    return jsonb_build_object('outcome', 'kept', 'content', kept.content);
  end if;
  -- Of all who find it too old, one asks for it; the others go on with what there is.
  insert into private.provider_lists as l (name, claimed_until)
  values (p ->> 'name', clock_timestamp() + make_interval(secs => (p ->> 'claim_seconds')::double precision))
  on conflict (name) do update set claimed_until = excluded.claimed_until
    where l.claimed_until <= clock_timestamp() and coalesce(l.fetched_at, '-infinity') <= oldest;
  if found then
    return jsonb_build_object('outcome', 'due');
  elsif kept.content is null then
    return jsonb_build_object('outcome', 'awaited');
  end if;
  return jsonb_build_object('outcome', 'kept', 'content', kept.content);
end;
$$;
comment on function public.get_provider_list is
  'A list of DigitalOcean''s by its name: sizes, regions or images. Answers {outcome}: kept with its content; due when it is older than max_age_seconds, or nowhere: then this caller asks for it, and for claim_seconds no other; or awaited when there is none and another caller asks.';

create function public.put_provider_list(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'name', 'content');
  update private.provider_lists l
  set content = p -> 'content', fetched_at = clock_timestamp(), claimed_until = '-infinity'
  where l.name = p ->> 'name';
  return jsonb_build_object('outcome', 'kept');
end;
$$;
comment on function public.put_provider_list is 'Keeps a list that DigitalOcean answered. Answers {outcome: kept}.';

create function public.begin_rare_job(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  perform private.require_keys(p, 'job', 'every_seconds');
  insert into private.job_runs (job, ran_at) values (p ->> 'job', clock_timestamp())
  on conflict (job) do update set ran_at = excluded.ran_at
    where job_runs.ran_at <= clock_timestamp() - make_interval(secs => (p ->> 'every_seconds')::double precision);
  return jsonb_build_object('outcome', case when found then 'due' else 'not_due' end);
end;
$$;
comment on function public.begin_rare_job is 'Whether a job is due that runs every so many seconds; of all who ask at once, one is told so. Answers {outcome}: due or not_due.';

-- What a worker reads. Ages are counted by one clock, the database's.
create function private.toolbox_for_worker(e public.account_tool_environments) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', e.id, 'user_id', e.user_id, 'kind', e.kind, 'name', e.name, 'status', e.status, 'lease', e.provisioning_lease,
    'step', e.provisioning_step, 'problem', e.provisioning_problem, 'tries', e.provisioning_tries,
    'step_age_seconds', extract(epoch from clock_timestamp() - e.provisioning_step_since),
    'due_in_seconds', extract(epoch from e.provisioning_due_at - clock_timestamp()),
    'machine_asked_age_seconds', extract(epoch from clock_timestamp() - e.machine_asked_at),
    'heartbeat_age_seconds', extract(epoch from clock_timestamp() - e.last_heartbeat_at),
    'region_slug', e.region_slug, 'size_slug', e.size_slug, 'image_slug', e.image_slug, 'wanted_size_slug', e.wanted_size_slug,
    'do_droplet_id', e.do_droplet_id, 'do_droplet_name', e.do_droplet_name, 'do_firewall_id', e.do_firewall_id,
    'do_action_id', e.do_action_id, 'public_ip_address', host(e.public_ip_address)
  );
$$;
comment on function private.toolbox_for_worker is 'A toolbox as who advances it needs it.';

create function private.cost_until_now(e public.account_tool_environments) returns numeric
language sql stable
set search_path = ''
as $$
  select e.cost_before_usd + coalesce(
    e.price_hourly_usd * extract(epoch from greatest(clock_timestamp() - e.price_since, interval '0')) / 3600, 0
  );
$$;
comment on function private.cost_until_now is 'What the droplets of a toolbox cost so far, in US dollars.';

create function private.monthly_price(of_user uuid, but uuid) returns numeric
language sql stable
set search_path = ''
as $$
  -- While a machine gets another size, the dearer one counts; what failed may be tried again.
  select coalesce(sum(greatest(
    e.price_monthly_usd, case when e.wanted_size_slug is not null then e.wanted_price_monthly_usd end
  )), 0)
  from public.account_tool_environments e
  where e.user_id = of_user and e.kind = 'droplet' and e.status <> 'deprovisioned' and e.id is distinct from but;
$$;
comment on function private.monthly_price is 'What the machines of a user cost a month at most, in US dollars, without the toolbox but.';

create function private.orders_lately(of_user uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select
    (select count(*) from public.account_tool_environments e
     where e.user_id = of_user and e.kind = 'droplet' and e.created_at > now() - interval '1 hour')
    + (select count(*) from private.removed_toolboxes r
       where r.user_id = of_user and r.ordered_at > now() - interval '1 hour')
$$;
comment on function private.orders_lately is 'How many toolboxes with droplets a user ordered in the last hour, also of those that are gone.';

create function private.changes_lately(of_user uuid) returns bigint
language sql stable
set search_path = ''
as $$
  select count(*)
  from public.account_tool_environments e
  join public.toolbox_events t on t.account_tool_environment_id = e.id
  where e.user_id = of_user and t.occurred_at > now() - interval '10 minutes' and t.actor_kind = 'user' and t.result = 'accepted'
    and t.kind in ('retry', 'resize', 'reboot', 'rename')
$$;
comment on function private.changes_lately is 'How many changes of the droplets of their toolboxes a user asked for in the last ten minutes.';

create function public.order_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  of_user constant uuid := p ->> 'user_id';
  most constant integer := private.quota(of_user, 'max_toolboxes', (p ->> 'max_toolboxes')::integer);
  most_monthly constant integer := private.quota(of_user, 'max_monthly_usd', (p ->> 'max_monthly_usd')::integer);
  monthly numeric;
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(
    p, 'user_id', 'name', 'max_toolboxes', 'max_monthly_usd', 'region_slug', 'size_slug', 'image_slug', 'price_hourly_usd', 'price_monthly_usd'
  );
  -- As create_own_toolbox: two requests at once are counted one after the other.
  perform pg_advisory_xact_lock(hashtextextended('toolboxes of ' || of_user, 0));
  if not exists (select from auth.users u where u.id = of_user) then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  select * into toolbox from public.account_tool_environments e where e.user_id = of_user and e.order_key = p ->> 'order_key';
  if found then
    return jsonb_build_object('outcome', 'ordered', 'id', toolbox.id, 'is_new', false);
  end if;
  if most <= (select count(*) from public.account_tool_environments e where e.user_id = of_user and e.status <> 'deprovisioned') then
    return jsonb_build_object('outcome', 'too_many', 'most', most);
  end if;
  -- Each is some requests of DigitalOcean's account, which all users share; one that is ordered and removed again and again, too.
  if most <= private.orders_lately(of_user) then
    return jsonb_build_object('outcome', 'too_often', 'most', most);
  end if;
  monthly := private.monthly_price(of_user, null) + (p ->> 'price_monthly_usd')::numeric;
  if monthly > most_monthly then
    return jsonb_build_object('outcome', 'too_dear', 'monthly_usd', monthly, 'most_monthly_usd', most_monthly);
  end if;
  insert into public.account_tool_environments (
    user_id, kind, name, description, region_slug, size_slug, image_slug, price_hourly_usd, price_monthly_usd, order_key,
    provisioning_step, provisioning_step_since, provisioning_due_at
  ) values (
    of_user, 'droplet', p ->> 'name', p ->> 'description', p ->> 'region_slug', p ->> 'size_slug', p ->> 'image_slug',
    (p ->> 'price_hourly_usd')::numeric, (p ->> 'price_monthly_usd')::numeric, p ->> 'order_key',
    'firewall', clock_timestamp(), clock_timestamp()
  ) returning * into toolbox;
  insert into public.toolbox_events (account_tool_environment_id, actor_kind, actor_id, kind, detail, result, request_id)
  values (toolbox.id, 'user', of_user, 'ordered', jsonb_build_object(
    'region', toolbox.region_slug, 'size', toolbox.size_slug, 'image', toolbox.image_slug
  ), 'accepted', p ->> 'request_id');
  return jsonb_build_object('outcome', 'ordered', 'id', toolbox.id, 'is_new', true);
end;
$$;
comment on function public.order_toolbox is
  'Makes the row of a toolbox with a droplet for a user; it is due at once. With an order_key, ordering again answers the toolbox of the first order. Answers {outcome}: ordered with id and is_new; too_many with most when the user has max_toolboxes already, or as many as an operator allows them; too_often with most when they ordered as many in the last hour; too_dear with monthly_usd when all machines of the user would cost that, which is more than most_monthly_usd: max_monthly_usd, or what an operator allows them; or not_found when there is no such user.';

create function public.ask_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  -- Changes of one user in ten minutes: each is some requests of DigitalOcean's account, which all users share.
  most constant integer := 10;
  leaving constant public.account_tool_environment_status_enum[] := '{pending_deprovision,deprovisioning,deprovisioned,error_deprovisioning}';
  change constant text := p ->> 'change';
  toolbox public.account_tool_environments;
  monthly numeric;
  most_monthly integer;
  outcome text := 'accepted';
begin
  perform private.require_keys(p, 'toolbox_id', 'change');
  if change not in ('deprovision', 'retry', 'resize', 'reboot', 'rename', 'look') then
    raise exception 'Unknown change in p: "%"', change using errcode = 'invalid_parameter_value';
  end if;
  select * into toolbox from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and (p ->> 'user_id' is null or e.user_id = (p ->> 'user_id')::uuid)
  for no key update;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  if toolbox.kind = 'byo' then
    return jsonb_build_object('outcome', 'byo');
  elsif change = 'deprovision' and toolbox.status = any (leaving) or change = 'look' then
    -- It is on its way; it is looked at sooner.
    update public.account_tool_environments e
    set provisioning_due_at = least(e.provisioning_due_at, clock_timestamp()),
      looked_at = clock_timestamp()
    where e.id = toolbox.id and e.provisioning_due_at is not null
      -- After a failure, and after a droplet was not shown, the pause holds. Each look is a request of DigitalOcean's account, which
      -- all users share.
      and e.provisioning_tries = 0 and coalesce(e.looked_at, '-infinity') < clock_timestamp() - interval '20 seconds';
    outcome := 'unchanged';
  elsif change = 'deprovision' then
    -- The guard gives it its step.
    update public.account_tool_environments e set status = 'pending_deprovision', provisioning_error_message = null
    where e.id = toolbox.id;
    delete from private.toolbox_enrolments t where t.toolbox_id = toolbox.id;
  elsif p ->> 'user_id' is not null and most <= private.changes_lately(toolbox.user_id) then
    return jsonb_build_object('outcome', 'too_often', 'most', most);
  elsif change = 'rename' then
    perform private.require_keys(p, 'name');
    if toolbox.status = any (leaving) then
      return jsonb_build_object('outcome', 'refused', 'status', toolbox.status);
    end if;
    update public.account_tool_environments e
    set name = p ->> 'name'
    where e.id = toolbox.id;
  elsif change = 'retry' then
    if toolbox.status = 'error_provisioning' and toolbox.provisioning_step is null then
      update public.account_tool_environments e
      set status = 'provisioning', provisioning_error_message = null, provisioning_problem = null, provisioning_step = 'firewall',
        provisioning_tries = 0, provisioning_due_at = clock_timestamp()
      where e.id = toolbox.id;
    elsif toolbox.status = 'error_deprovisioning' then
      update public.account_tool_environments e set status = 'pending_deprovision', provisioning_error_message = null
      where e.id = toolbox.id;
    else
      return jsonb_build_object('outcome', 'refused', 'status', toolbox.status);
    end if;
  else
    if toolbox.status not in ('active', 'unresponsive') then
      return jsonb_build_object('outcome', 'refused', 'status', toolbox.status);
    elsif toolbox.provisioning_step is not null or toolbox.do_droplet_id is null then
      return jsonb_build_object('outcome', 'in_progress', 'step', toolbox.provisioning_step);
    end if;
    if change = 'resize' then
      perform private.require_keys(p, 'size_slug', 'price_hourly_usd', 'price_monthly_usd', 'max_monthly_usd');
      -- As order_toolbox.
      perform pg_advisory_xact_lock(hashtextextended('toolboxes of ' || toolbox.user_id, 0));
      monthly := private.monthly_price(toolbox.user_id, toolbox.id) + (p ->> 'price_monthly_usd')::numeric;
      most_monthly := private.quota(toolbox.user_id, 'max_monthly_usd', (p ->> 'max_monthly_usd')::integer);
      if monthly > most_monthly and (p ->> 'price_monthly_usd')::numeric > toolbox.price_monthly_usd then
        return jsonb_build_object('outcome', 'too_dear', 'monthly_usd', monthly, 'most_monthly_usd', most_monthly);
      end if;
    end if;
    update public.account_tool_environments e
    set provisioning_step = case change when 'resize' then 'stop' else 'reboot' end, provisioning_tries = 0,
      provisioning_problem = null, provisioning_due_at = clock_timestamp(), do_action_id = null,
      wanted_size_slug = case when change = 'resize' then p ->> 'size_slug' end,
      wanted_price_hourly_usd = case when change = 'resize' then (p ->> 'price_hourly_usd')::numeric end,
      wanted_price_monthly_usd = case when change = 'resize' then (p ->> 'price_monthly_usd')::numeric end
    where e.id = toolbox.id;
  end if;
  if outcome = 'accepted' then
    insert into public.toolbox_events (account_tool_environment_id, actor_kind, actor_id, kind, detail, result, request_id)
    values (
      toolbox.id, case when p ->> 'user_id' is null then 'control_plane' else 'user' end, (p ->> 'user_id')::uuid, change,
      jsonb_strip_nulls(jsonb_build_object('size', p ->> 'size_slug', 'name', p ->> 'name')), 'accepted', p ->> 'request_id'
    );
  end if;
  return jsonb_build_object('outcome', outcome);
end;
$$;
comment on function public.ask_toolbox is
  'Asks for a change of a toolbox with a droplet: deprovision, retry, resize, reboot, rename, or look (at the droplet, now). With user_id, only of that user''s. Answers {outcome}: accepted; unchanged; not_found; byo (its user brought the machine); refused with the status that forbids it; too_dear, as order_toolbox; too_often with most when the user asked for as many changes in the last ten minutes; or in_progress while another change is made.';

create function public.lease_toolboxes(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  leased jsonb;
begin
  perform private.require_keys(p, 'holder', 'lease_seconds', 'limit');
  with due as (
    select e.id from public.account_tool_environments e
    where e.provisioning_due_at <= clock_timestamp() and e.provisioning_leased_until <= clock_timestamp() and e.kind = 'droplet'
      and (p ->> 'toolbox_id' is null or e.id = (p ->> 'toolbox_id')::uuid)
    order by e.provisioning_due_at
    limit least((p ->> 'limit')::integer, 100)
    for no key update skip locked
  ), taken as (
    update public.account_tool_environments e
    set provisioning_lease = e.provisioning_lease + 1, provisioning_holder = p ->> 'holder',
      provisioning_leased_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::double precision)
    from due d where e.id = d.id
    returning e as toolbox
  )
  select coalesce(jsonb_agg(private.toolbox_for_worker(t.toolbox)), '[]') into leased from taken t;
  return jsonb_build_object('outcome', 'leased', 'toolboxes', leased);
end;
$$;
comment on function public.lease_toolboxes is
  'Takes toolboxes whose next step is due and that nobody else works on (or the one with toolbox_id), for lease_seconds. Answers {outcome: leased, toolboxes}.';

create function public.begin_toolbox_machine(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'toolbox_id', 'lease', 'lease_seconds', 'ttl_seconds');
  update public.account_tool_environments e
  set machine_asked_at = clock_timestamp(),
    provisioning_leased_until = clock_timestamp() + make_interval(secs => (p ->> 'lease_seconds')::double precision)
  where e.id = (p ->> 'toolbox_id')::uuid and e.provisioning_lease = (p ->> 'lease')::bigint
    and e.provisioning_leased_until > clock_timestamp() and e.provisioning_step = 'machine';
  if not found then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  -- Those that were given to machines before are good still: which of them comes to life is not known.
  return jsonb_build_object('outcome', 'begun')
    || private.add_toolbox_enrolment((p ->> 'toolbox_id')::uuid, (p ->> 'ttl_seconds')::double precision);
end;
$$;
comment on function public.begin_toolbox_machine is
  'Before a droplet is asked for: writes that it may exist from now on, and makes the token that it enrols with. Answers {outcome}: begun with token and expires_at, or superseded.';

create function public.record_toolbox_step(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  now constant timestamptz := clock_timestamp();
  from_step constant text := p ->> 'from_step';
  to_step constant text := p ->> 'to_step';
  -- Only keys that are there are written.
  set constant jsonb := coalesce(p -> 'set', '{}');
  is_failure constant boolean := coalesce((p ->> 'failed')::boolean, false);
  to_status public.account_tool_environment_status_enum := p ->> 'to_status';
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'toolbox_id', 'lease');
  select * into toolbox from public.account_tool_environments e where e.id = (p ->> 'toolbox_id')::uuid for no key update;
  if not found then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  if toolbox.provisioning_lease <> (p ->> 'lease')::bigint or toolbox.provisioning_step is distinct from from_step then
    -- Somebody asked for something else meanwhile. Who worked on it has finished what it did outside, so the next may begin.
    update public.account_tool_environments e set provisioning_leased_until = '-infinity'
    where e.id = toolbox.id and e.provisioning_lease = (p ->> 'lease')::bigint;
    return jsonb_build_object('outcome', 'superseded');
  end if;
  if to_step in ('clean_machine', 'clean_firewall') and to_step is distinct from from_step then
    -- What the machine knew ends before the machine does.
    delete from private.toolbox_enrolments t where t.toolbox_id = toolbox.id;
    update public.account_tool_environments e
    set dtma_token_hash = null, dtma_offered_key_id = null, dtma_previous_token_hash = null, dtma_previous_token_expires_at = null
    where e.id = toolbox.id;
  end if;
  -- The agent reported while nobody knew its address: now it can be reached, and nothing is waited for any more.
  if from_step = 'boot' and to_step = 'agent' and toolbox.last_heartbeat_at >= toolbox.machine_asked_at then
    to_status := 'active';
  end if;
  -- A toolbox whose agent was faster is further on already.
  if not coalesce(private.tool_environment_transition_allowed(toolbox.status, to_status), false) then
    to_status := toolbox.status;
  end if;
  update public.account_tool_environments e
  set status = to_status,
    provisioning_error_message = case
      when to_status in ('error_provisioning', 'error_deprovisioning') then coalesce(p ->> 'problem', e.provisioning_error_message, 'It is not known why')
    end,
    provisioning_step = to_step,
    provisioning_problem = p ->> 'problem',
    provisioning_tries = case when is_failure then e.provisioning_tries + 1 else 0 end,
    provisioning_due_at = now + make_interval(secs => (p ->> 'due_in_seconds')::double precision),
    provisioning_leased_until = case
      when (p ->> 'keep')::boolean then now + make_interval(secs => (p ->> 'lease_seconds')::double precision)
      else '-infinity'
    end,
    machine_asked_at = case when set ? 'machine_not_asked' then null else e.machine_asked_at end,
    do_droplet_id = case when set ? 'do_droplet_id' then (set ->> 'do_droplet_id')::bigint else e.do_droplet_id end,
    do_droplet_name = case when set ? 'do_droplet_name' then set ->> 'do_droplet_name' else e.do_droplet_name end,
    do_firewall_id = case when set ? 'do_firewall_id' then set ->> 'do_firewall_id' else e.do_firewall_id end,
    do_action_id = case when set ? 'do_action_id' then (set ->> 'do_action_id')::bigint else e.do_action_id end,
    public_ip_address = case when set ? 'public_ip_address' then (set ->> 'public_ip_address')::inet else e.public_ip_address end,
    size_slug = case when set ? 'size_slug' then set ->> 'size_slug' else e.size_slug end,
    wanted_size_slug = case when set ? 'wanted_size_slug' then set ->> 'wanted_size_slug' else e.wanted_size_slug end,
    -- What was paid for until now is added up when the price changes or ends.
    cost_before_usd = case
      when set ->> 'do_droplet_id' is null and set ? 'do_droplet_id' or set ? 'size_slug' then private.cost_until_now(e)
      else e.cost_before_usd
    end,
    price_since = case
      when set ? 'do_droplet_id' then case when set ->> 'do_droplet_id' is not null then coalesce(e.price_since, now) end
      when set ? 'size_slug' then now
      else e.price_since
    end,
    price_hourly_usd = case when set ? 'size_slug' then coalesce(e.wanted_price_hourly_usd, e.price_hourly_usd) else e.price_hourly_usd end,
    price_monthly_usd = case when set ? 'size_slug' then coalesce(e.wanted_price_monthly_usd, e.price_monthly_usd) else e.price_monthly_usd end
  where e.id = toolbox.id
  returning * into toolbox;
  return jsonb_build_object('outcome', 'recorded', 'toolbox', private.toolbox_for_worker(toolbox));
end;
$$;
comment on function public.record_toolbox_step is
  'Writes what came of a step, for the worker with this lease and only while the toolbox is in from_step; the status moves to to_status if it may. Keeps the lease with keep: true. Answers {outcome}: recorded with the toolbox, or superseded.';

create function public.remove_toolbox(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox public.account_tool_environments;
begin
  perform private.require_keys(p, 'toolbox_id', 'lease');
  select * into toolbox from public.account_tool_environments e
  where e.id = (p ->> 'toolbox_id')::uuid and e.provisioning_lease = (p ->> 'lease')::bigint and e.provisioning_step = 'remove_firewall'
  for update;
  if not found then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  if toolbox.status in ('pending_deprovision', 'error_deprovisioning') then
    update public.account_tool_environments e set status = 'deprovisioning', provisioning_error_message = null where e.id = toolbox.id;
  end if;
  update public.account_tool_environments e set status = 'deprovisioned', provisioning_step = null where e.id = toolbox.id;
  insert into private.removed_toolboxes (toolbox_id, user_id, ordered_at) values (toolbox.id, toolbox.user_id, toolbox.created_at) on conflict do nothing;
  delete from public.account_tool_environments e where e.id = toolbox.id;
  return jsonb_build_object('outcome', 'removed');
end;
$$;
comment on function public.remove_toolbox is
  'Last step of a removal, when neither droplet nor firewall is left: the row goes with its tools, keys and history, and the id is remembered as removed. Answers {outcome}: removed or superseded.';

create function public.sweep_toolboxes(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  -- What began after the list was asked for is not in it.
  asked_at constant timestamptz := clock_timestamp() - make_interval(secs => (p ->> 'list_age_seconds')::double precision);
  leftover jsonb;
  unseen jsonb;
  moved jsonb;
  adopted jsonb;
  extra jsonb;
begin
  perform private.require_keys(p, 'droplets', 'list_age_seconds');
  -- An order whose end was not known may have made two. The one that enrolled has the keys, so it is the toolbox, and the one that
  -- the row names is the second.
  with listed as (
    select * from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint, toolbox_id uuid, address inet)
  ), took as (
    update public.account_tool_environments e
    set do_droplet_id = l.droplet_id, do_droplet_name = null, public_ip_address = l.address, provisioning_due_at = clock_timestamp(),
      -- A worker that comes late writes nothing over it.
      provisioning_lease = e.provisioning_lease + 1
    from listed l, listed own
    where e.kind = 'droplet' and e.provisioning_step is null and e.status in ('active', 'unresponsive')
      and e.provisioning_leased_until <= clock_timestamp()
      and l.toolbox_id = e.id and l.address = e.enrolled_from
      and own.droplet_id = e.do_droplet_id and own.droplet_id <> l.droplet_id and own.address is distinct from e.enrolled_from
    returning e.id
  )
  select coalesce(jsonb_agg(t.id order by t.id), '[]') into adopted from took t;
  -- Droplets that no row has.
  select coalesce(jsonb_agg(jsonb_build_object(
    'droplet_id', l.droplet_id, 'toolbox_id', l.toolbox_id,
    'why', case
      when e.id is not null then 'second'
      when r.toolbox_id is not null then 'removed'
      else 'unknown'
    end,
    -- A second one only while the one that the row names is there too, and is the one that enrolled, as far as that is known.
    'is_ours', case
      when e.id is not null then e.enrolled_from is null or exists (
        select from jsonb_to_recordset(p -> 'droplets') as own (droplet_id bigint, address inet)
        where own.droplet_id = e.do_droplet_id and own.address = e.enrolled_from
      )
      else r.toolbox_id is not null
    end
  ) order by l.droplet_id), '[]') into extra
  from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint, toolbox_id uuid, address inet)
  left join public.account_tool_environments e on e.id = l.toolbox_id
  left join private.removed_toolboxes r on r.toolbox_id = l.toolbox_id
  where e.id is null or e.provisioning_step is null and e.do_droplet_id <> l.droplet_id
    and exists (select from jsonb_to_recordset(p -> 'droplets') as own (droplet_id bigint) where own.droplet_id = e.do_droplet_id);
  -- A toolbox that gave its machine up has one all the same: it is cleaned up once more.
  with again as (
    update public.account_tool_environments e
    set provisioning_step = 'clean_machine', provisioning_problem = e.provisioning_error_message, provisioning_due_at = clock_timestamp()
    where e.kind = 'droplet' and e.status = 'error_provisioning' and e.provisioning_step is null
      and exists (select from jsonb_to_recordset(p -> 'droplets') as l (toolbox_id uuid) where l.toolbox_id = e.id)
    returning e.id
  )
  select coalesce(jsonb_agg(a.id order by a.id), '[]') into leftover from again a;
  -- Rows whose droplet was not listed: looked at one by one, because a list can be behind.
  with looked as (
    update public.account_tool_environments e set provisioning_due_at = least(e.provisioning_due_at, clock_timestamp())
    where e.kind = 'droplet' and e.do_droplet_id is not null and e.status in ('awaiting_heartbeat', 'active', 'unresponsive')
      and e.status_changed_at < asked_at - interval '1 minute'
      and not exists (select from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint) where l.droplet_id = e.do_droplet_id)
    returning e.id
  )
  select coalesce(jsonb_agg(u.id order by u.id), '[]') into unseen from looked u;
  with looked as (
    update public.account_tool_environments e set provisioning_due_at = least(e.provisioning_due_at, clock_timestamp())
    from jsonb_to_recordset(p -> 'droplets') as l (droplet_id bigint, address inet)
    where e.kind = 'droplet' and e.do_droplet_id = l.droplet_id and e.public_ip_address <> l.address and e.provisioning_due_at is not null
    returning e.id
  )
  select coalesce(jsonb_agg(m.id order by m.id), '[]') into moved from looked m;
  return jsonb_build_object('outcome', 'swept', 'adopted', adopted, 'droplets', extra, 'cleaned', leftover, 'unseen', unseen, 'moved', moved);
end;
$$;
comment on function public.sweep_toolboxes is
  'Compares all droplets with our tag (droplet_id, address, and the toolbox_id of their tag) with the rows. Answers {outcome: swept} with toolboxes whose row now names another of their droplets, the one that enrolled (adopted), droplets that no row has (why: second, removed, unknown; is_ours: may be removed), toolboxes in error_provisioning that are cleaned up again, toolboxes whose droplet was not listed (unseen), and those whose droplet has another address (moved), which are looked at now.';

-- Each move of a droplet's life is history.
create function private.tell_provisioning() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  insert into public.toolbox_events (account_tool_environment_id, actor_kind, kind, detail, result)
  values (new.id, 'control_plane', 'provisioning', jsonb_strip_nulls(jsonb_build_object(
    'from_status', old.status, 'to_status', new.status, 'from_step', old.provisioning_step, 'to_step', new.provisioning_step,
    'reason', left(coalesce(new.provisioning_error_message, new.provisioning_problem), 1000)
  )), case when new.status in ('error_provisioning', 'error_deprovisioning') then 'failed' else 'succeeded' end);
  return null;
end;
$$;
comment on function private.tell_provisioning() is 'Appends each change of status or step of a droplet''s toolbox to its history.';

create trigger tell_provisioning after update on public.account_tool_environments
  for each row when (
    new.kind = 'droplet'
    and (old.status is distinct from new.status or old.provisioning_step is distinct from new.provisioning_step)
  ) execute function private.tell_provisioning();

revoke all on function
  public.begin_rare_job, public.get_provider_list, public.put_provider_list, private.toolbox_for_worker, private.cost_until_now,
  private.monthly_price, private.orders_lately, private.changes_lately, public.order_toolbox, public.ask_toolbox,
  public.lease_toolboxes, public.begin_toolbox_machine, public.record_toolbox_step, public.remove_toolbox, public.sweep_toolboxes,
  private.tell_provisioning()
  from public, anon, authenticated, service_role;
grant execute on function
  public.begin_rare_job, public.get_provider_list, public.put_provider_list, public.order_toolbox, public.ask_toolbox, public.lease_toolboxes, public.begin_toolbox_machine,
  public.record_toolbox_step, public.remove_toolbox, public.sweep_toolboxes
  to service_role;
