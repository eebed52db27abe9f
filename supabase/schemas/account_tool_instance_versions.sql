-- What instances ran before, so that a user can go back to it. A trigger of account_tool_instances writes it.
create table public.account_tool_instance_versions (
  tool_instance_id uuid not null references public.account_tool_instances (id) on delete cascade,
  generation bigint not null check (generation > 0),
  spec jsonb not null check (jsonb_typeof(spec) = 'object' and octet_length(spec::text) <= 262144)
  -- As in account_tool_instances.
  constraint values_of_the_environment_are_in_envelopes check (
    not jsonb_path_exists(spec, '$.env.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  constraint values_of_headers_are_in_envelopes check (
    not jsonb_path_exists(spec, '$.mcp_headers.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  image text generated always as (spec ->> 'image') stored,
  image_digest text,
  registry_digest text check (registry_digest ~ '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$'),
  ran_at timestamptz,
  restores bigint check (restores > 0),
  actor_kind text not null check (actor_kind in ('user', 'agent', 'control_plane', 'database')),
  actor_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tool_instance_id, generation)
);
-- For the job that seals.
create index account_tool_instance_versions_secret_keys_idx
  on public.account_tool_instance_versions using gin (private.secret_keys(spec));

-- The newest version is what the row holds, whoever writes the row.
create function private.keep_tool_instance_version() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  most constant integer := 10;
begin
  if tg_op = 'UPDATE' and new.spec is not distinct from old.spec
    and (new.generation = old.generation or coalesce(current_setting('toolbox.action', true), '') <> 'update')
  then
    return null;
  end if;
  if tg_op = 'UPDATE' and new.generation = old.generation then
    -- The same in another form, as when its secrets are sealed anew.
    update public.account_tool_instance_versions v set spec = new.spec
    where v.tool_instance_id = new.id and v.generation = (
      select max(newest.generation) from public.account_tool_instance_versions newest where newest.tool_instance_id = new.id
    );
    return null;
  end if;
  insert into public.account_tool_instance_versions (tool_instance_id, generation, spec, actor_kind, actor_id)
  values (
    new.id, new.generation, new.spec,
    coalesce(nullif(current_setting('toolbox.actor_kind', true), ''), 'database'),
    nullif(current_setting('toolbox.actor_id', true), '')::uuid
  );
  delete from public.account_tool_instance_versions v
  where v.tool_instance_id = new.id and v.generation in (
    select older.generation from public.account_tool_instance_versions older
    where older.tool_instance_id = new.id order by older.generation desc offset most
  );
  return null;
end;
$$;
comment on function private.keep_tool_instance_version() is
  'Keeps what an instance is asked to run, with each deploy and update, as a version of it; the newest 10.';

create trigger keep_first_version after insert on public.account_tool_instances
  for each row execute function private.keep_tool_instance_version();
-- An update to the same may bring another image: its tag is looked up anew.
create trigger keep_version after update of spec, generation on public.account_tool_instances
  for each row execute function private.keep_tool_instance_version();

create function private.note_restored_version(instance_id uuid, of_generation bigint, ran_on boolean) returns void
language sql
set search_path = ''
as $$
  update public.account_tool_instance_versions v
  set restores = of_generation,
    ran_at = case when ran_on then was.ran_at end,
    image_digest = case when ran_on then was.image_digest end,
    registry_digest = case when ran_on then was.registry_digest end
  from public.account_tool_instances i, (select 1) one left join public.account_tool_instance_versions was
    on was.tool_instance_id = instance_id and was.generation = of_generation
  where i.id = instance_id and v.tool_instance_id = i.id and v.generation = i.generation;
$$;
comment on function private.note_restored_version is
  'Says of the version that an instance has just got which earlier one it is; ran_on: what ran of that one was never replaced.';

create function private.note_version_that_runs(instance_id uuid, observed jsonb) returns void
language sql
set search_path = ''
as $$
  update public.account_tool_instance_versions v
  set ran_at = coalesce(v.ran_at, clock_timestamp()), image_digest = seen.image_digest,
    registry_digest = case
      when seen.registry_digest ~ '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$' then seen.registry_digest
      -- Not every view says it.
      when seen.image_digest = v.image_digest then v.registry_digest
    end
  from (select observed ->> 'image_digest' as image_digest, observed ->> 'registry_digest' as registry_digest) seen
  where v.tool_instance_id = instance_id and v.generation = (
    select max(newest.generation) from public.account_tool_instance_versions newest where newest.tool_instance_id = instance_id
  ) and (
    v.ran_at is null or v.image_digest is distinct from seen.image_digest
    or seen.registry_digest is not null and v.registry_digest is distinct from seen.registry_digest
  );
$$;
comment on function private.note_version_that_runs is
  'Stores with the newest version of an instance that it was seen running, and of which image.';

alter table public.account_tool_instance_versions enable row level security;
create policy "owners read the versions of their instances" on public.account_tool_instance_versions
  for select to authenticated using (
    tool_instance_id in (
      select i.id from public.account_tool_instances i join public.account_tool_environments e on e.id = i.account_tool_environment_id
      where e.user_id = (select auth.uid())
    )
  );

-- As of account_tool_instances, spec is for the service role alone.
revoke all on public.account_tool_instance_versions from public, anon, authenticated, service_role;
grant select (
  tool_instance_id, generation, image, image_digest, registry_digest, ran_at, restores, actor_kind, actor_id, created_at
) on public.account_tool_instance_versions to authenticated;
grant select on public.account_tool_instance_versions to service_role;
revoke all on function
  private.keep_tool_instance_version(), private.note_restored_version, private.note_version_that_runs
  from public, anon, authenticated, service_role;

comment on table public.account_tool_instance_versions is 'What an instance was asked to run, the newest 10 of each. The newest is what it is asked to run now.';
comment on column public.account_tool_instance_versions.tool_instance_id is 'The instance; its versions go with it.';
comment on column public.account_tool_instance_versions.generation is 'Generation of the instance that brought it.';
comment on column public.account_tool_instance_versions.spec is 'ToolSpec of the DTMA API, sealed as in account_tool_instances; never readable by users.';
comment on column public.account_tool_instance_versions.image is 'spec.image.';
comment on column public.account_tool_instance_versions.image_digest is 'Digest of the image that it was last seen running.';
comment on column public.account_tool_instance_versions.registry_digest is 'Digest by which its registry has that image; null where it came from no registry, or the agent does not say.';
comment on column public.account_tool_instance_versions.ran_at is 'When it was first seen running; null: never.';
comment on column public.account_tool_instance_versions.restores is 'Generation of the version that it brings back; null when it is a new one.';
comment on column public.account_tool_instance_versions.actor_kind is 'Who brought it: user, agent (an update failed there), control_plane, or database (a write outside the RPCs).';
comment on column public.account_tool_instance_versions.actor_id is 'User id, or toolbox id of the agent.';
comment on column public.account_tool_instance_versions.created_at is 'When it was asked for.';
