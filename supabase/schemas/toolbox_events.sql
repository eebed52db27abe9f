-- Who did what to a toolbox itself: its agent restarted, replaced, reached by SSH. The functions write it.
create table public.toolbox_events (
  id bigint generated always as identity primary key,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_kind text not null check (actor_kind in ('user', 'operator', 'agent', 'control_plane')),
  actor_id uuid,
  kind text not null check (kind ~ '^[a-z][a-z0-9_]{0,63}$'),
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object' and octet_length(detail::text) <= 4096),
  result text not null check (result ~ '^[a-z][a-z0-9_]{0,63}$'),
  request_id text check (char_length(request_id) between 1 and 200),
  constraint users_have_an_id check (actor_kind not in ('user', 'operator') or actor_id is not null)
);
create index toolbox_events_environment_id_idx on public.toolbox_events (account_tool_environment_id, id);
create index toolbox_events_occurred_at_idx on public.toolbox_events (occurred_at);

create trigger append_only before delete on public.toolbox_events
  for each row execute function private.keep_events();
-- What begun events were is kept; how they ended is added once.
create trigger ends_once before update on public.toolbox_events
  for each row when (
    old.result <> 'begun' or new.result = 'begun' or not new.detail @> old.detail
    or (new.id, new.account_tool_environment_id, new.occurred_at, new.actor_kind, new.actor_id, new.kind, new.request_id)
      is distinct from (old.id, old.account_tool_environment_id, old.occurred_at, old.actor_kind, old.actor_id, old.kind, old.request_id)
  ) execute function private.keep_events();
create trigger append_only_truncate before truncate on public.toolbox_events
  for each statement execute function private.keep_events();

create function public.record_toolbox_event(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  toolbox_id constant uuid := p ->> 'toolbox_id';
  actor constant text := p ->> 'actor_kind';
  kind constant text := p ->> 'kind';
  -- Instances have buckets of their own, named by their actions.
  bucket constant text := 'toolbox_' || kind;
  is_told boolean := false;
  event_id bigint;
begin
  perform private.require_keys(p, 'toolbox_id', 'actor_kind', 'kind', 'result');
  perform from public.account_tool_environments e where e.id = toolbox_id for key share;
  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;
  -- What a machine says becomes history only while there is a token for it. What users do is always kept.
  if actor = 'agent' and not private.take_event_token(toolbox_id, bucket) then
    is_told := private.count_dropped_event(toolbox_id, bucket);
    if not is_told then
      return jsonb_build_object('outcome', 'limited');
    end if;
  end if;
  insert into public.toolbox_events (account_tool_environment_id, actor_kind, actor_id, kind, detail, result, request_id)
  values (
    toolbox_id, actor, (p ->> 'actor_id')::uuid, kind,
    case when is_told then '{}' else coalesce(nullif(p -> 'detail', 'null'), '{}') end,
    case when is_told then 'events_limited' else p ->> 'result' end,
    p ->> 'request_id'
  ) returning id into event_id;
  return jsonb_build_object('outcome', case when is_told then 'limited' else 'recorded' end, 'id', event_id);
end;
$$;
comment on function public.record_toolbox_event is
  'Adds one event to the history of a toolbox, with the result begun where its end is not known yet. Answers {outcome, id}: recorded; limited when the agent of the toolbox causes more events than are kept; or not_found. detail is an object of 4096 bytes at most, without secrets: the owner reads it.';

create function public.end_toolbox_event(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '5s'
as $$
begin
  perform private.require_keys(p, 'id', 'result');
  update public.toolbox_events e
    set result = p ->> 'result', detail = e.detail || coalesce(nullif(p -> 'detail', 'null'), '{}')
    where e.id = (p ->> 'id')::bigint and e.result = 'begun';
  return jsonb_build_object('outcome', case when found then 'recorded' else 'not_begun' end);
end;
$$;
comment on function public.end_toolbox_event is
  'Says how an event that was recorded as begun ended, and adds to its detail. The first end holds. Answers {outcome}: recorded or not_begun.';

alter table public.toolbox_events enable row level security;
create policy "owners read the history of their toolboxes" on public.toolbox_events
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

revoke all on public.toolbox_events from public, anon, authenticated, service_role;
grant select on public.toolbox_events to authenticated, service_role;
revoke all on sequence public.toolbox_events_id_seq from public, anon, authenticated, service_role;
revoke all on function public.record_toolbox_event, public.end_toolbox_event from public, anon, authenticated, service_role;
grant execute on function public.record_toolbox_event, public.end_toolbox_event to service_role;

comment on table public.toolbox_events is 'Append-only history of toolboxes: each restart, redeployment, rollback and use of SSH, written before it is done. Kept as long as private.retention() says.';
comment on column public.toolbox_events.id is 'Order of events.';
comment on column public.toolbox_events.account_tool_environment_id is 'The toolbox; decides who may read.';
comment on column public.toolbox_events.occurred_at is 'When it was recorded.';
comment on column public.toolbox_events.actor_kind is 'user, operator (of all toolboxes), agent (the machine reported it), or control_plane.';
comment on column public.toolbox_events.actor_id is 'User id, also of an operator; or toolbox id of the agent.';
comment on column public.toolbox_events.kind is 'What was done, as a stable code.';
comment on column public.toolbox_events.detail is 'What belongs to it, by kind: operation, exit code, duration, versions. Never a secret.';
comment on column public.toolbox_events.result is 'begun until the end is recorded, and for good where the function ended before that; then succeeded or accepted, or the stable code of what went wrong; events_limited where later ones are left out.';
comment on column public.toolbox_events.request_id is 'Request that caused it.';
