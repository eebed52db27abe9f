-- What operators set for single users, and what they did. Who is an operator is a claim of their token, which the function operators
-- checks; the functions of the database that it calls are in functions/operators.sql.
create table private.quotas (
  user_id uuid primary key references auth.users (id) on delete cascade,
  max_toolboxes integer check (max_toolboxes between 0 and 10000),
  max_monthly_usd integer check (max_monthly_usd between 0 and 1000000),
  max_tools integer check (max_tools between 0 and 10000),
  constraint a_quota_says_something check (num_nonnulls(max_toolboxes, max_monthly_usd, max_tools) > 0)
);

alter table private.quotas enable row level security;
revoke all on private.quotas from public, anon, authenticated, service_role;

comment on table private.quotas is 'What single users may have, where that is not what the variables of the functions say.';
comment on column private.quotas.user_id is 'The user.';
comment on column private.quotas.max_toolboxes is 'So many toolboxes. Null: as TOOLBOX_MAX_TOOLBOXES.';
comment on column private.quotas.max_monthly_usd is 'All machines may cost so many US dollars a month. Null: as TOOLBOX_MAX_USER_PRICE.';
comment on column private.quotas.max_tools is 'So many tools in one toolbox. Null: as TOOLBOX_MAX_INSTANCES.';

create function private.quota(of_user uuid, kind text, otherwise integer) returns integer
language sql stable
set search_path = ''
as $$
  select case when otherwise is not null then
    coalesce((select (to_jsonb(q) ->> kind)::integer from private.quotas q where q.user_id = of_user), otherwise)
  end;
$$;
comment on function private.quota is 'How much of a kind (a column of private.quotas) a user may have: what an operator set for them, or else the default that the caller knows; null where the caller asks for no limit.';

create table private.operator_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_id uuid not null,
  kind text not null check (kind ~ '^[a-z][a-z0-9_]{0,63}$'),
  detail jsonb not null check (jsonb_typeof(detail) = 'object'),
  request_id text check (char_length(request_id) between 1 and 200)
);
create index operator_events_occurred_at_idx on private.operator_events (occurred_at);

alter table private.operator_events enable row level security;
revoke all on private.operator_events from public, anon, authenticated, service_role;
revoke all on sequence private.operator_events_id_seq from public, anon, authenticated, service_role;

comment on table private.operator_events is 'What operators changed. No role of the API touches it; kept as long as private.retention() says.';
comment on column private.operator_events.id is 'Order of events.';
comment on column private.operator_events.occurred_at is 'When.';
comment on column private.operator_events.actor_id is 'The operator''s user id. No foreign key: the event outlives the user.';
comment on column private.operator_events.kind is 'What was done: agent_version_set, rollout_begun, rollout_stopped, entry_put, entry_deleted or quota_set.';
comment on column private.operator_events.detail is 'What it was done to, and how it is since.';
comment on column private.operator_events.request_id is 'The request.';

create function private.record_operator_event(actor uuid, kind text, detail jsonb, request text) returns void
language sql
set search_path = ''
as $$
  insert into private.operator_events (actor_id, kind, detail, request_id) values (actor, kind, detail, request);
$$;
comment on function private.record_operator_event is 'Writes what an operator changed.';

revoke all on function private.quota, private.record_operator_event from public, anon, authenticated, service_role;
