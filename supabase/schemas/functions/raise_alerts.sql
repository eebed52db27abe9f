-- How changes of state become alerts. Triggers do it in the transaction of the change: no path can forget it. Rules and
-- channels that are being removed are passed by, so that what a user does never holds up a heartbeat or the clock's job.

create function private.open_alerts(
  of_kind text, toolbox public.account_tool_environments, subject_id uuid, subject_name text, detail jsonb, lasts boolean,
  disk_percent numeric default null
) returns void
language plpgsql
set search_path = ''
as $$
declare
  rule record;
  known uuid;
  most_an_hour constant bigint := 60;
begin
  for rule in
    select r.id, r.channel_id
    from public.alert_rules r join public.alert_channels c on c.id = r.channel_id
    where r.user_id = toolbox.user_id and r.kind = of_kind and r.is_enabled and c.is_enabled
      and coalesce(r.account_tool_environment_id, toolbox.id) = toolbox.id
      and (open_alerts.disk_percent is null or open_alerts.disk_percent >= coalesce(r.disk_percent, 90))
    order by r.id
    for key share skip locked
  loop
    -- It lasts, or it came back at once: the same alert.
    update public.alerts a
    set recovering_since = null, last_at = clock_timestamp(), times = a.times + 1
    where a.rule_id = rule.id and a.subject_id = open_alerts.subject_id and a.closed_at is null and a.recovering_since is not null;
    -- What does not last is told once in ten minutes.
    update public.alerts a
    set last_at = clock_timestamp(), times = a.times + 1
    where not lasts and a.id = (
      select earlier.id from public.alerts earlier
      where earlier.rule_id = rule.id and earlier.subject_id = open_alerts.subject_id
        and earlier.last_at > clock_timestamp() - interval '10 minutes'
      order by earlier.last_at desc limit 1
    );
    if found or exists (
      select from public.alerts a
      where a.rule_id = rule.id and a.subject_id = open_alerts.subject_id and a.closed_at is null
    ) then
      continue;
    end if;
    -- A machine that reports without end neither fills the table nor sends mail without end; nor does one kind keep another
    -- from being told.
    if most_an_hour <= (
      select count(*) from public.alerts a
      where a.account_tool_environment_id = toolbox.id and a.kind = of_kind and a.opened_at > clock_timestamp() - interval '1 hour'
    ) then
      continue;
    end if;
    insert into public.alerts (rule_id, user_id, account_tool_environment_id, kind, subject_id, subject_name, detail, closed_at)
    values (
      rule.id, toolbox.user_id, toolbox.id, of_kind, open_alerts.subject_id, open_alerts.subject_name,
      jsonb_strip_nulls(open_alerts.detail), case when not lasts then clock_timestamp() end
    )
    on conflict do nothing
    returning id into known;
    if found then
      insert into public.alert_messages (alert_id, channel_id, event) values (known, rule.channel_id, 'opened');
    end if;
  end loop;
end;
$$;
comment on function private.open_alerts is
  'Opens an alert, with its message, for each rule of this kind that counts for the toolbox, unless one of the same subject is open. 60 an hour of one kind for one toolbox at most. The caller holds the lock of the subject.';

create function private.recover_alerts(of_kind text, subject_id uuid, disk_percent numeric default null) returns void
language sql
set search_path = ''
as $$
  with over as (
    select a.id from public.alerts a join public.alert_rules r on r.id = a.rule_id
    where a.subject_id = recover_alerts.subject_id and a.kind = of_kind and a.closed_at is null and a.recovering_since is null
      and (recover_alerts.disk_percent is null or recover_alerts.disk_percent < coalesce(r.disk_percent, 90) - 5)
    for key share of r skip locked
  )
  update public.alerts a set recovering_since = clock_timestamp()
  from over o where a.id = o.id and a.closed_at is null and a.recovering_since is null;
$$;
comment on function private.recover_alerts is
  'Notes that what the alerts of this kind are about is over; private.settle_alerts closes them when that has lasted a minute.';

create function private.is_older_version(version text, than text) returns boolean
language sql immutable
set search_path = ''
as $$
  -- What are no numbers is not compared. A release comes after what leads to it (1.2.0-rc.1).
  select coalesce(
    case when v.parts = t.parts then version like '%-%' and than not like '%-%' else v.parts < t.parts end, false
  )
  from (select string_to_array(substring(version from '^(\d{1,9}(\.\d{1,9})*)([-+].*)?$'), '.')::integer[] as parts) v,
    (select string_to_array(substring(than from '^(\d{1,9}(\.\d{1,9})*)([-+].*)?$'), '.')::integer[] as parts) t;
$$;
comment on function private.is_older_version is 'Whether one version comes before another, by their numbers.';

create function private.alert_of_toolbox() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  disk constant jsonb := new.dtma_health_details_json #> '{system_metrics,disk}';
  percent numeric;
  wanted text;
begin
  if not exists (select from public.alert_rules r where r.user_id = new.user_id) then
    return null;
  end if;
  if new.status <> old.status then
    if new.status = 'unresponsive' then
      perform private.open_alerts('toolbox_silent', new, new.id, new.name, jsonb_build_object('since', new.unresponsive_since), true);
    elsif old.status = 'unresponsive' then
      perform private.recover_alerts('toolbox_silent', new.id);
    end if;
  end if;
  if old.dtma_certificate_sha256 is not null and new.dtma_certificate_sha256 is distinct from old.dtma_certificate_sha256 then
    perform private.open_alerts('certificate_changed', new, new.id, new.name, jsonb_build_object(
      'from', old.dtma_certificate_sha256, 'to', new.dtma_certificate_sha256, 'accepted', true
    ), false);
  end if;
  if new.dtma_sequence is distinct from old.dtma_sequence then
    -- An accepted heartbeat named the pinned certificate.
    perform private.recover_alerts('certificate_changed', new.id);
  end if;
  if new.dtma_health_details_json is distinct from old.dtma_health_details_json then
    if jsonb_typeof(disk -> 'used_bytes') = 'number' and (disk ->> 'total_bytes')::numeric > 0 then
      percent := round(100 * (disk ->> 'used_bytes')::numeric / (disk ->> 'total_bytes')::numeric, 1);
      perform private.open_alerts('disk_full', new, new.id, new.name, jsonb_build_object(
        'percent', percent, 'mount', left(disk ->> 'mount', 255)
      ), true, percent);
      perform private.recover_alerts('disk_full', new.id, percent);
    end if;
  end if;
  if (new.dtma_last_known_version, new.dtma_health_details_json) is distinct from (old.dtma_last_known_version, old.dtma_health_details_json)
  then
    wanted := (select s.agent_version from private.settings s);
    if private.is_older_version(new.dtma_last_known_version, wanted) then
      perform private.open_alerts('agent_outdated', new, new.id, new.name, jsonb_build_object(
        'version', new.dtma_last_known_version, 'wanted', wanted
      ), true);
    else
      perform private.recover_alerts('agent_outdated', new.id);
    end if;
  end if;
  return null;
end;
$$;
comment on function private.alert_of_toolbox() is 'Turns changes of a toolbox into alerts of its owner.';

create trigger raise_alerts after update on public.account_tool_environments
  for each row when (
    old.status is distinct from new.status
    or old.dtma_certificate_sha256 is distinct from new.dtma_certificate_sha256
    or old.dtma_sequence is distinct from new.dtma_sequence
    or old.dtma_last_known_version is distinct from new.dtma_last_known_version
    or old.dtma_health_details_json is distinct from new.dtma_health_details_json
  )
  execute function private.alert_of_toolbox();

create function private.latest_ends(instance_id uuid) returns bigint
language sql stable
set search_path = ''
as $$
  -- A server that stops when nobody uses it has not ended.
  select count(*) from (
    select e.occurred_at, e.actor_kind, e.from_status, e.to_status from public.tool_instance_events e
    where e.tool_instance_id = instance_id order by e.id desc limit 200
  ) latest
  where latest.occurred_at > clock_timestamp() - interval '10 minutes' and latest.actor_kind = 'agent'
    and latest.from_status = 'running' and (
      latest.to_status in ('starting', 'error')
      or latest.to_status = 'stopped' and not exists (
        select from public.account_tool_instances i where i.id = instance_id and i.spec ? 'idle_minutes'
      )
    )
$$;
comment on function private.latest_ends is 'How often a tool ended in the last ten minutes without anybody asking for it.';

create function private.alert_of_instance() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  toolbox public.account_tool_environments;
  ends bigint;
begin
  if tg_op = 'DELETE' then
    perform private.recover_alerts('instance_error', old.id);
    perform private.recover_alerts('instance_flapping', old.id);
    return null;
  end if;
  select * into toolbox from public.account_tool_environments e
  where e.id = new.account_tool_environment_id and exists (select from public.alert_rules r where r.user_id = e.user_id);
  if not found then
    return null;
  end if;
  if new.status_on_toolbox <> old.status_on_toolbox then
    if new.status_on_toolbox = 'error' then
      perform private.open_alerts('instance_error', toolbox, new.id, new.instance_name_on_toolbox, jsonb_build_object(
        'reason_code', new.instance_error_code, 'reason', left(new.instance_error_message, 1000)
      ), true);
    elsif new.status_on_toolbox in ('running', 'stopped') then
      perform private.recover_alerts('instance_error', new.id);
    end if;
    -- Ends of a tool that nobody asked for. The event of this one is written already: triggers run in the order of their names.
    if old.status_on_toolbox = 'running' and new.status_on_toolbox in ('starting', 'stopped', 'error') then
      ends := private.latest_ends(new.id);
      if ends >= 5 then
        perform private.open_alerts('instance_flapping', toolbox, new.id, new.instance_name_on_toolbox, jsonb_build_object(
          'ends', ends, 'minutes', 10, 'reason_code', new.instance_error_code
        ), true);
      end if;
    end if;
  end if;
  if new.mcp_tools_fingerprint <> old.mcp_tools_fingerprint then
    perform private.open_alerts('tools_changed', toolbox, new.id, new.instance_name_on_toolbox, jsonb_build_object('change', (
      select left(e.reason, 1000) from public.tool_instance_events e
      where e.tool_instance_id = new.id and e.action = 'tools_changed' order by e.id desc limit 1
    )), false);
  end if;
  return null;
end;
$$;
comment on function private.alert_of_instance() is 'Turns changes of an instance into alerts of its owner.';

create trigger raise_alerts after update on public.account_tool_instances
  for each row when (
    old.status_on_toolbox is distinct from new.status_on_toolbox
    or old.mcp_tools_fingerprint is distinct from new.mcp_tools_fingerprint
  )
  execute function private.alert_of_instance();
create trigger raise_alerts_of_end after delete on public.account_tool_instances
  for each row execute function private.alert_of_instance();

-- What was over for a minute is told, and what flapped and has been quiet for ten.
create function private.settle_alerts() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
  settled integer := 0;
  alert record;
begin
  -- Where a rule was being removed when its toolbox was heard of again, and stayed after all, nobody noted it.
  update public.alerts a set recovering_since = clock_timestamp()
  where a.id in (
    select missed.id from public.alerts missed join public.account_tool_environments e on e.id = missed.subject_id
    where missed.kind = 'toolbox_silent' and missed.closed_at is null and missed.recovering_since is null
      and e.status <> 'unresponsive'
    limit 200
    for update of missed skip locked
  );
  for alert in
    select a.id, a.kind, a.subject_id, a.recovering_since, r.channel_id
    from public.alerts a join public.alert_rules r on r.id = a.rule_id join public.alert_channels c on c.id = r.channel_id
    where a.closed_at is null and (
      a.recovering_since < clock_timestamp() - interval '1 minute'
      or a.kind = 'instance_flapping' and private.latest_ends(a.subject_id) = 0
    )
    order by a.recovering_since, a.id
    limit 200
    for update of a skip locked for key share of r, c skip locked
  loop
    update public.alerts a set closed_at = clock_timestamp() where a.id = alert.id;
    -- Whoever was not told of the beginning yet, in quiet hours for instance, is told of both at once. A message that is taken
    -- or removed at this moment is left to whoever does it.
    update public.alert_messages m set state = 'skipped', finished_at = clock_timestamp()
    where m.id in (
      select untold.id from public.alert_messages untold
      where untold.alert_id = alert.id and untold.state = 'pending' and untold.attempts = 0
      for update skip locked
    );
    insert into public.alert_messages (alert_id, channel_id, event) values (alert.id, alert.channel_id, 'recovered');
    settled := settled + 1;
  end loop;
  return settled;
end;
$$;
comment on function private.settle_alerts is
  'Closes alerts that have been over for a minute, with a message each, and notes which toolboxes are silent no more; 200 a call; returns how many it closed.';

revoke all on function
  private.open_alerts, private.recover_alerts, private.is_older_version, private.alert_of_toolbox(), private.latest_ends,
  private.alert_of_instance(),
  private.settle_alerts
  from public, anon, authenticated, service_role;
