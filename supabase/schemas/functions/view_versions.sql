-- The order of views of an agent, and the reach of its generations.

-- An agent may be ahead of a database that was restored from a backup; the database catches up. That must not bring it to
-- the end of the counter: the last generation that JSON numbers hold exactly could be neither observed nor deleted.
create function private.generation_in_reach(seen bigint, held bigint) returns boolean
language sql immutable
set search_path = ''
as $$
  select seen - held <= 1000000 and seen <= 9007199254740991 - 1000000;
$$;
comment on function private.generation_in_reach is
  'Whether an agent may be at a generation when the database is at another: a backup is not a million commands old.';

create function private.view_number(view_version jsonb) returns bigint
language sql immutable
set search_path = ''
as $$
  -- Beyond what is exact in JSON only a hostile agent counts: that must not raise, and holds nothing back.
  select case
    when (view_version ->> 'number')::numeric between 0 and 9007199254740991 then trunc((view_version ->> 'number')::numeric)::bigint
    when view_version ->> 'number' is not null then 0
  end;
$$;
comment on function private.view_number is 'The number in a ViewVersion of the DTMA API.';

create function private.is_overtaken(instance public.account_tool_instances, view_version jsonb) returns boolean
language sql stable
set search_path = ''
as $$
  -- No view is on its way for minutes. A machine that was taken back to a snapshot of its memory counts anew in the same run,
  -- and is to be believed again.
  select coalesce(
    instance.view_run = (view_version ->> 'run')::uuid and private.view_number(view_version) < instance.view_number
      and instance.view_applied_at > clock_timestamp() - interval '10 minutes',
    false
  );
$$;
comment on function private.is_overtaken is
  'A later view of the same run of the agent was applied. Those of different runs, or without a version, are taken as they come.';

revoke all on function
  private.generation_in_reach, private.view_number, private.is_overtaken
  from public, anon, authenticated, service_role;
