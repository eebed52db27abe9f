-- Agents of many toolboxes replaced in waves. A row is a plan and what became of it; the job advance_rollouts of clock/tick
-- carries it out.
create table public.rollouts (
  id uuid primary key default gen_random_uuid(),
  -- No foreign key: what an operator began goes on, and still says who it was, when their account is gone.
  user_id uuid not null,
  is_fleet boolean not null default false,
  owner_id uuid generated always as (case when not is_fleet then user_id end) stored references auth.users (id) on delete cascade,
  version text not null check (version ~ '^[0-9][0-9A-Za-z.+-]{0,63}$'),
  wave_size integer not null check (wave_size between 1 and 10),
  state text not null default 'running' check (state in ('running', 'stopped', 'finished')),
  -- As RolloutToolbox of crates/toolbox-api/src/rollout.rs. No foreign keys: the list outlives its toolboxes.
  toolboxes jsonb not null check (jsonb_typeof(toolboxes) = 'array'),
  reason jsonb check (jsonb_typeof(reason) = 'object'),
  request_id text,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  step integer not null default 0,
  leased_until timestamptz not null default clock_timestamp(),
  -- Of one that was stopped, toolboxes may be under way: how they end is written as well.
  is_due boolean not null generated always as (state = 'running' or toolboxes @> '[{"state": "asked"}]') stored,
  constraint ended_rollouts_have_a_time check ((state = 'running') = (ended_at is null)),
  constraint stopped_rollouts_have_a_reason check ((state = 'stopped') = (reason is not null))
);
create index rollouts_owner_id_idx on public.rollouts (owner_id, created_at);
create unique index rollouts_running_idx on public.rollouts (owner_id) where state = 'running' and not is_fleet;
create unique index rollouts_fleet_running_idx on public.rollouts (is_fleet) where state = 'running' and is_fleet;
create index rollouts_fleet_idx on public.rollouts (created_at) where is_fleet;
create index rollouts_due_idx on public.rollouts (leased_until) where is_due;
create index rollouts_ended_at_idx on public.rollouts (ended_at);

alter table public.rollouts enable row level security;
create policy "owners read their rollouts" on public.rollouts
  for select to authenticated using (owner_id = (select auth.uid()));

revoke all on public.rollouts from public, anon, authenticated, service_role;
grant select on public.rollouts to authenticated, service_role;

comment on table public.rollouts is 'Redeployments of many toolboxes in waves, which stop at the first failure; a machine that is silent when it is its turn is not asked. One runs for a user at a time, and one of operators for toolboxes of all. Ended ones are kept as long as private.retention() says.';
comment on column public.rollouts.id is 'Named by the events of its toolboxes.';
comment on column public.rollouts.user_id is 'Who asked for it.';
comment on column public.rollouts.is_fleet is 'An operator asked, and it is about toolboxes of all users: its user does not read it here.';
comment on column public.rollouts.owner_id is 'Whose toolboxes they are, who alone reads it and whose account takes it along; null for the fleet.';
comment on column public.rollouts.version is 'The version that the agents are replaced by.';
comment on column public.rollouts.wave_size is 'So many toolboxes at a time; the next wave begins when each of them is healthy, silent or gone.';
comment on column public.rollouts.state is 'running, stopped (by a failure or its user) or finished.';
comment on column public.rollouts.toolboxes is 'In order: id, name, state (waiting, asked, healthy, failed or removed), operation_id, code and message of what went wrong, asked_at, looked_at, ended_at.';
comment on column public.rollouts.reason is 'Why it was stopped: code, message, and the toolbox_id it is about.';
comment on column public.rollouts.request_id is 'The request that began it.';
comment on column public.rollouts.created_at is 'When it began.';
comment on column public.rollouts.ended_at is 'When it was stopped or finished.';
comment on column public.rollouts.step is 'Grows with each tick that takes it, which alone may write what it saw.';
comment on column public.rollouts.leased_until is 'Until then a tick has it.';
comment on column public.rollouts.is_due is 'It runs, or toolboxes that it asked are under way.';
