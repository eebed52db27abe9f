-- One row per accepted mutation: the lock (at most one in progress), the idempotency record, the spec before an update.
create table public.tool_instance_operations (
  id uuid primary key default gen_random_uuid(),
  -- No foreign key: the operation that deletes an instance outlives it.
  tool_instance_id uuid not null,
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  action text not null check (action in ('deploy', 'update', 'start', 'stop', 'restart', 'delete')),
  request_id text not null check (char_length(request_id) between 1 and 200),
  idempotency_key text check (char_length(idempotency_key) between 1 and 255),
  request_fingerprint text check (char_length(request_fingerprint) <= 255),
  state text not null default 'in_progress' check (state in ('in_progress', 'succeeded', 'failed', 'abandoned')),
  generation bigint not null check (generation > 0),
  -- An agent carries out what is desired, also later. A command that certainly did not happen takes back what it wanted,
  -- so that the agent does not carry out what the caller was told had failed.
  previous_desired text check (previous_desired in ('running', 'stopped', 'absent')),
  -- An update that failed or was abandoned may still be rolled back: its agent may have been without Docker for a while.
  previous_spec jsonb,
  error_code text check (error_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  error_message text check (char_length(error_message) between 1 and 4000),
  -- A reason and a refusal may have the same name. A replay answers what the caller was answered first.
  answered_code text check (answered_code ~ '^[a-z][a-z0-9_]{0,63}$'),
  started_at timestamptz not null default now(),
  lease_expires_at timestamptz not null,
  finished_at timestamptz,
  -- What the instance ran when the operation ended.
  instance_name text,
  image text,
  image_digest text,
  is_sealed boolean not null default false,
  constraint tool_instance_operations_user_id_idempotency_key_key unique (user_id, idempotency_key),
  constraint finished_operations_have_a_time check ((state = 'in_progress') = (finished_at is null)),
  constraint failed_operations_have_a_reason check (
    (state = 'failed') = (error_code is not null) and (state = 'failed') = (error_message is not null)
  ),
  constraint only_failed_operations_have_an_answered_code check (answered_code is null or state = 'failed'),
  constraint succeeded_operations_keep_no_spec check (state <> 'succeeded' or previous_spec is null)
);
create unique index tool_instance_operations_one_in_progress on public.tool_instance_operations (tool_instance_id)
  where state = 'in_progress';
create index tool_instance_operations_tool_instance_id_idx on public.tool_instance_operations (tool_instance_id, started_at desc);
create index tool_instance_operations_environment_id_idx on public.tool_instance_operations (account_tool_environment_id);
create index tool_instance_operations_finished_at_idx on public.tool_instance_operations (finished_at)
  where finished_at is not null;
create index tool_instance_operations_unsealed_idx
  on public.tool_instance_operations (account_tool_environment_id, finished_at, id) where finished_at is not null and not is_sealed;
create index tool_instance_operations_with_a_way_back on public.tool_instance_operations (tool_instance_id)
  where previous_spec is not null;

alter table public.tool_instance_operations enable row level security;
create policy "owners read their operations" on public.tool_instance_operations
  for select to authenticated using (
    account_tool_environment_id in (
      select e.id from public.account_tool_environments e where e.user_id = (select auth.uid())
    )
  );

revoke all on public.tool_instance_operations from public, anon, authenticated, service_role;
grant select (
  id, tool_instance_id, account_tool_environment_id, user_id, action, request_id, state, generation, previous_desired,
  error_code, error_message, answered_code, started_at, lease_expires_at, finished_at, instance_name, image, image_digest, is_sealed
) on public.tool_instance_operations to authenticated;
grant select on public.tool_instance_operations to service_role;

comment on table public.tool_instance_operations is 'Accepted mutations of instances: lock, idempotency record and outcome. Kept as long as private.retention() says.';
comment on column public.tool_instance_operations.id is 'Named to a caller that meets a running operation.';
comment on column public.tool_instance_operations.tool_instance_id is 'The instance, which may be gone since.';
comment on column public.tool_instance_operations.account_tool_environment_id is 'Its toolbox; decides who may read.';
comment on column public.tool_instance_operations.user_id is 'Who asked; idempotency keys are theirs.';
comment on column public.tool_instance_operations.action is 'What was asked for.';
comment on column public.tool_instance_operations.request_id is 'Request that started it.';
comment on column public.tool_instance_operations.idempotency_key is 'Key of the caller, freed after 24 hours. Not readable by users.';
comment on column public.tool_instance_operations.request_fingerprint is 'HMAC of the request the key was used for, with a key of the root secret: the request may hold secrets. Not readable by users.';
comment on column public.tool_instance_operations.state is 'in_progress until an outcome is recorded; abandoned when the lease ran out first, or a stop or delete took its place.';
comment on column public.tool_instance_operations.generation is 'Generation of the instance this operation made.';
comment on column public.tool_instance_operations.previous_desired is 'What was desired before this operation; null for a first deploy.';
comment on column public.tool_instance_operations.previous_spec is 'The spec an update may go back to; erased when it succeeds, when it was put back, or when the next operation begins. Not readable by users.';
comment on column public.tool_instance_operations.error_code is 'Stable reason code; set exactly when failed.';
comment on column public.tool_instance_operations.error_message is 'Sentence for the user; set exactly when failed.';
comment on column public.tool_instance_operations.answered_code is 'Error code its caller was answered when the agent could not be told; null when the end was observed.';
comment on column public.tool_instance_operations.started_at is 'When it was accepted.';
comment on column public.tool_instance_operations.lease_expires_at is 'Until then no other operation may start, except a stop or delete that takes its place.';
comment on column public.tool_instance_operations.finished_at is 'When its outcome was recorded.';
comment on column public.tool_instance_operations.instance_name is 'Display name of the instance when it ended. Kept by a trigger.';
comment on column public.tool_instance_operations.image is 'Image of the instance when it ended. Kept by a trigger.';
comment on column public.tool_instance_operations.image_digest is 'Digest of the image last observed when it ended. Kept by a trigger.';
comment on column public.tool_instance_operations.is_sealed is 'Whether its receipt was written.';
