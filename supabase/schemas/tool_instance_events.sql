-- Who did what to an instance. A trigger of account_tool_instances writes it.
create table public.tool_instance_events (
  id bigint generated always as identity primary key,
  -- No foreign key: the history of an instance outlives it.
  tool_instance_id uuid not null,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_kind text not null check (actor_kind in ('user', 'agent', 'control_plane', 'database')),
  actor_id uuid,
  action text not null,
  from_status public.account_tool_installation_status_enum,
  to_status public.account_tool_installation_status_enum,
  reason_code text,
  reason text,
  request_id text,
  operation_id uuid,
  generation bigint not null
);
create index tool_instance_events_tool_instance_id_idx on public.tool_instance_events (tool_instance_id, id);
create index tool_instance_events_environment_id_idx on public.tool_instance_events (account_tool_environment_id, id);
create index tool_instance_events_occurred_at_idx on public.tool_instance_events (occurred_at);

-- The RPCs say who acts through settings that end with the transaction. A write without them is the database's own.

create function private.set_event_context(
  actor_kind text, actor_id uuid, action text, request_id text, operation_id uuid
) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform set_config('toolbox.actor_kind', coalesce(actor_kind, ''), true),
    set_config('toolbox.actor_id', coalesce(actor_id::text, ''), true),
    set_config('toolbox.action', coalesce(action, ''), true),
    set_config('toolbox.request_id', coalesce(request_id, ''), true),
    set_config('toolbox.operation_id', coalesce(operation_id::text, ''), true);
end;
$$;
comment on function private.set_event_context is 'Names the actor of the following writes in this transaction; all nulls clear it.';

create function private.keep_events() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- Two ways out: the time of the event is over, or the toolbox itself is gone and takes its history along. A truncate
  -- has no row to ask.
  if tg_op = 'DELETE' and (
    old.occurred_at < now() - private.retention()
    or not exists (select from public.account_tool_environments e where e.id = old.account_tool_environment_id)
  ) then
    return old;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end;
$$;
comment on function private.keep_events() is 'Refuses every change of a history, to every role, until the time of an event is over.';

create trigger append_only before update or delete on public.tool_instance_events
  for each row execute function private.keep_events();
create trigger append_only_truncate before truncate on public.tool_instance_events
  for each statement execute function private.keep_events();

-- A machine says as much as it likes. What it says becomes history only while there is a token for it, per toolbox and kind.
create table private.event_buckets (
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  kind text not null,
  tokens double precision not null,
  filled_at timestamptz not null,
  dropped bigint not null default 0,
  last_dropped_at timestamptz,
  primary key (account_tool_environment_id, kind)
);
alter table private.event_buckets enable row level security;
revoke all on private.event_buckets from public, anon, authenticated, service_role;

comment on table private.event_buckets is 'How many events of each kind the agent of a toolbox may still cause, and how many were not kept.';
comment on column private.event_buckets.account_tool_environment_id is 'The toolbox.';
comment on column private.event_buckets.kind is 'The action of the events.';
comment on column private.event_buckets.tokens is 'Events that may be kept at once, as of filled_at.';
comment on column private.event_buckets.filled_at is 'When tokens was counted.';
comment on column private.event_buckets.dropped is 'Events that were not kept, ever.';
comment on column private.event_buckets.last_dropped_at is 'When the last one was not kept.';

create function private.take_event_token(toolbox_id uuid, event_kind text) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  -- All instances of a full toolbox may start, stop and start at once; after that, two events a minute.
  burst constant double precision := 600;
  per_second constant double precision := 2 / 60.0;
  filled double precision;
begin
  insert into private.event_buckets (account_tool_environment_id, kind, tokens, filled_at)
  values (toolbox_id, event_kind, burst, clock_timestamp())
  on conflict do nothing;
  select least(burst, b.tokens + per_second * greatest(0, extract(epoch from clock_timestamp() - b.filled_at))) into filled
  from private.event_buckets b
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind for no key update;
  update private.event_buckets b
  set tokens = case when filled >= 1 then filled - 1 else filled end, filled_at = clock_timestamp()
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind;
  return filled >= 1;
end;
$$;
comment on function private.take_event_token is
  'Whether one more event of this kind may be kept. The caller holds the locks of the instances it writes events of.';

-- True for the first that is not kept in ten minutes: that one is worth telling.
create function private.count_dropped_event(toolbox_id uuid, event_kind text) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  last_time timestamptz;
begin
  select b.last_dropped_at into last_time from private.event_buckets b
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind;
  update private.event_buckets b set dropped = b.dropped + 1, last_dropped_at = clock_timestamp()
  where b.account_tool_environment_id = toolbox_id and b.kind = event_kind;
  return last_time is null or last_time < clock_timestamp() - interval '10 minutes';
end;
$$;
comment on function private.count_dropped_event is 'Counts an event that is not kept; whether it is the first in ten minutes.';

alter table public.tool_instance_events enable row level security;
create policy "owners read their history" on public.tool_instance_events
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

revoke all on public.tool_instance_events from public, anon, authenticated, service_role;
grant select on public.tool_instance_events to authenticated, service_role;
revoke all on sequence public.tool_instance_events_id_seq from public, anon, authenticated, service_role;
revoke all on function
  private.set_event_context, private.keep_events(), private.take_event_token, private.count_dropped_event
  from public, anon, authenticated, service_role;

comment on table public.tool_instance_events is 'Append-only history of instances: who, what, from, to, why, for which request. Kept as long as private.retention() says.';
comment on column public.tool_instance_events.id is 'Order of events.';
comment on column public.tool_instance_events.tool_instance_id is 'The instance, which may be gone since.';
comment on column public.tool_instance_events.account_tool_environment_id is 'Its toolbox; decides who may read.';
comment on column public.tool_instance_events.occurred_at is 'Clock time, so that steps of one transaction differ.';
comment on column public.tool_instance_events.actor_kind is 'user, agent (DTMA reported it), control_plane, or database (a write outside the RPCs).';
comment on column public.tool_instance_events.actor_id is 'User id, or toolbox id of the agent.';
comment on column public.tool_instance_events.action is 'Operation, observe, lease_expired, superseded, tools_pinned, tools_accepted, tools_unpinned, or the SQL command of a write outside the RPCs.';
comment on column public.tool_instance_events.from_status is 'Null when the instance was created.';
comment on column public.tool_instance_events.to_status is 'Null when the row was removed.';
comment on column public.tool_instance_events.reason_code is 'Stable code when there is a reason.';
comment on column public.tool_instance_events.reason is 'Sentence when there is a reason.';
comment on column public.tool_instance_events.request_id is 'Request that caused it.';
comment on column public.tool_instance_events.operation_id is 'Operation it belongs to.';
comment on column public.tool_instance_events.generation is 'Generation of the instance after the change.';
