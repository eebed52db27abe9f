-- How messages leave the outbox. Each is taken with a lease, sent outside the database, and its outcome is written. Whoever
-- dies in between has it sent again: receivers know a message by its id. That too is an attempt.

create function private.alert_pauses(event text) returns interval[]
language sql immutable
set search_path = ''
as $$
  -- About nine hours in all. Whoever tests wants to know now.
  select case when event = 'test' then '{}' else '{10 seconds,30 seconds,2 minutes,10 minutes,30 minutes,2 hours,6 hours}' end::interval[];
$$;
comment on function private.alert_pauses is 'How long a message waits before its second attempt, its third, and so on; after the last of them it is given up.';

create function private.alert_channel_json(channel public.alert_channels) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', channel.id, 'kind', channel.kind, 'webhook_url', channel.webhook_url,
    'webhook_secret', channel.webhook_secret, 'webhook_secret_key_id', channel.webhook_secret_key_id,
    -- Null while the address is not confirmed.
    'email', case when channel.kind = 'email' then (
      select u.email from auth.users u where u.id = channel.user_id and u.email_confirmed_at is not null
    ) end
  );
$$;
comment on function private.alert_channel_json is 'How a channel is reached, its secret included.';

create function private.alert_message_json(message public.alert_messages) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', message.id, 'event', message.event, 'attempt', message.attempts,
    'channel', private.alert_channel_json(c),
    'alert', case when a.id is not null then jsonb_build_object(
      'id', a.id, 'kind', a.kind, 'toolbox_id', e.id, 'toolbox_name', e.name,
      'instance_id', case when a.subject_id <> e.id then a.subject_id end,
      'instance_name', case when a.subject_id <> e.id then a.subject_name end,
      'detail', a.detail, 'opened_at', a.opened_at, 'closed_at', a.closed_at, 'times', a.times
    ) end
  )
  from public.alert_channels c
  left join public.alerts a on a.id = message.alert_id
  left join public.account_tool_environments e on e.id = a.account_tool_environment_id
  where c.id = message.channel_id;
$$;
comment on function private.alert_message_json is 'A message, its alert unless it is a test, and how its channel is reached.';

create function public.claim_alert_messages(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  most constant integer := 30;
  most_of_a_channel constant integer := 3;
  -- Longer than a delivery may take.
  lease constant interval := interval '1 minute';
  claimed jsonb;
begin
  -- Whoever sent these for the last time never said what became of it.
  with spent as (
    select m.id from public.alert_messages m
    where m.state = 'pending' and m.due_at <= clock_timestamp() and m.attempts > cardinality(private.alert_pauses(m.event))
    order by m.due_at
    limit 1000
    for update skip locked
  )
  update public.alert_messages m set state = 'failed', finished_at = clock_timestamp(), last_status = null, last_code = 'outcome_unknown'
  from spent s where m.id = s.id;
  with due as (
    select m.id, c.user_id, m.due_at, m.number, row_number() over (partition by m.channel_id order by m.due_at, m.number) as of_channel
    from public.alert_messages m join public.alert_channels c on c.id = m.channel_id
    where m.state = 'pending' and m.due_at <= clock_timestamp() and m.attempts <= cardinality(private.alert_pauses(m.event))
      -- A test is sent whatever the channel says: its owner has just asked for it.
      and (m.event = 'test' or c.is_enabled and not private.is_quiet(c))
      -- What an alert has to tell is told in order.
      and not exists (
        select from public.alert_messages earlier
        where earlier.alert_id = m.alert_id and earlier.number < m.number and earlier.state = 'pending'
      )
  ), in_turn as (
    select d.id, row_number() over (partition by d.user_id order by d.of_channel, d.due_at, d.number) as of_user
    from due d where d.of_channel <= most_of_a_channel
  ), taken as (
    -- Each user's first, then each user's second: nobody waits for another's many channels.
    select m.id from public.alert_messages m join in_turn t on t.id = m.id
    where m.state = 'pending' and m.due_at <= clock_timestamp()
    order by t.of_user, m.due_at
    limit most
    for update of m skip locked
  ), leased as (
    update public.alert_messages m set attempts = m.attempts + 1, due_at = clock_timestamp() + lease
    from taken t where m.id = t.id
    returning m.*
  )
  select coalesce(jsonb_agg(private.alert_message_json(row(l.*)::public.alert_messages) order by l.number), '[]') into claimed from leased l;
  return jsonb_build_object('outcome', 'claimed', 'messages', claimed);
end;
$$;
comment on function public.claim_alert_messages is
  'Takes messages that are due, 30 at most and 3 of a channel, from each user in turn, for a minute; gives up those whose last attempt nobody recorded. Answers {outcome: claimed, messages}, each with its alert, its channel and the channel''s secret.';

create function public.record_alert_delivery(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  pauses constant interval[] := (
    select private.alert_pauses(m.event) from public.alert_messages m where m.id = (p ->> 'message_id')::uuid
  );
  attempt constant integer := p ->> 'attempt';
  becomes constant text := case
    when p ->> 'outcome' = 'delivered' then 'delivered'
    when p ->> 'outcome' = 'retry' and attempt <= cardinality(pauses) then 'pending'
    when p ->> 'outcome' in ('retry', 'failed') then 'failed'
  end;
begin
  perform private.require_keys(p, 'message_id', 'attempt', 'outcome');
  if becomes is null then
    raise exception 'outcome in p must be delivered, retry or failed, not "%"', p ->> 'outcome' using errcode = 'invalid_parameter_value';
  end if;
  update public.alert_messages m
  set state = becomes,
    finished_at = case when becomes <> 'pending' then clock_timestamp() end,
    last_status = (p ->> 'status')::integer,
    last_code = p ->> 'code',
    -- Up to a tenth longer, so that messages that failed together do not come back together.
    due_at = case when becomes = 'pending' then clock_timestamp() + pauses[attempt] * (1 + random() / 10) else m.due_at end
  where m.id = (p ->> 'message_id')::uuid and m.state = 'pending' and m.attempts = attempt;
  return jsonb_build_object('outcome', case when found then 'recorded' else 'superseded' end, 'state', becomes);
end;
$$;
comment on function public.record_alert_delivery is
  'Writes what became of one attempt: delivered, retry (failed after the eighth, of a test after the first), or failed. Answers {outcome}: recorded with the state, or superseded when another attempt was begun since.';

revoke all on function
  private.alert_pauses, private.alert_channel_json, private.alert_message_json, public.claim_alert_messages, public.record_alert_delivery
  from public, anon, authenticated, service_role;
grant execute on function public.claim_alert_messages, public.record_alert_delivery to service_role;
