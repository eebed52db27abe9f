-- Who may use the MCP servers of a toolbox from anywhere, through the function mcp: the holder of an access token, or a user. A user
-- may also let an application act for them, within what they may do themself, which a row with the application's client id says. The owner of
-- the toolbox needs no row, their applications do.
create table public.mcp_access (
  id uuid primary key default gen_random_uuid(),
  account_tool_environment_id uuid not null references public.account_tool_environments (id) on delete cascade,
  -- None: every MCP server of the toolbox.
  account_tool_instance_id uuid references public.account_tool_instances (id) on delete cascade,
  granted_by uuid not null references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 255 and name !~ '[\x01-\x1f\x7f]'),
  token_hash text unique check (token_hash ~ '^[0-9a-f]{64}$'),
  user_id uuid references auth.users (id) on delete cascade,
  client_id text check (char_length(client_id) between 1 and 255),
  -- None: all. An empty list: no tool.
  allowed_tools text[] check (
    cardinality(allowed_tools) <= 100 and array_position(allowed_tools, null) is null
    and octet_length(array_to_string(allowed_tools, '')) <= 8192
  ),
  read_only boolean not null default false,
  -- None: as many as of anybody, which the agent bounds.
  requests_per_minute integer check (requests_per_minute between 1 and 600),
  concurrent_requests integer check (concurrent_requests between 1 and 64),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  last_client text check (char_length(last_client) <= 200),
  created_at timestamptz not null default now(),
  constraint a_token_or_a_user check ((token_hash is null) <> (user_id is null)),
  -- Written so that it refuses a null.
  constraint a_client_acts_for_who_lets_it_in check (client_id is null or coalesce(user_id = granted_by, false))
);
create index mcp_access_account_tool_environment_id_idx on public.mcp_access (account_tool_environment_id);
create index mcp_access_account_tool_instance_id_idx on public.mcp_access (account_tool_instance_id);
create index mcp_access_granted_by_idx on public.mcp_access (granted_by);
create index mcp_access_client_id_idx on public.mcp_access (user_id, client_id) where client_id is not null;
create index mcp_access_user_id_idx on public.mcp_access (user_id);

alter table public.mcp_access enable row level security;
create policy "owners read the access they gave" on public.mcp_access
  for select to authenticated using (granted_by = (select auth.uid()));
create policy "users read the access they were given" on public.mcp_access
  for select to authenticated using (user_id = (select auth.uid()));

-- Only the RPCs write.
revoke all on public.mcp_access from public, anon, authenticated, service_role;
grant select (
  id, account_tool_environment_id, account_tool_instance_id, granted_by, name, user_id, client_id, allowed_tools, read_only,
  requests_per_minute, concurrent_requests, expires_at, revoked_at, last_used_at, last_client, created_at
) on public.mcp_access to authenticated;

comment on table public.mcp_access is 'Who may use the MCP servers of a toolbox through the function mcp: holders of access tokens, users, and applications of users. The owner needs no row.';
comment on column public.mcp_access.id is 'Names it when it is revoked.';
comment on column public.mcp_access.account_tool_environment_id is 'The toolbox.';
comment on column public.mcp_access.account_tool_instance_id is 'The one instance it is for; null: every MCP server of the toolbox.';
comment on column public.mcp_access.granted_by is 'Who gave it. It counts while the toolbox is theirs; of an application, also while it is shared with them.';
comment on column public.mcp_access.name is 'Display name, written by who gave it; of an application, what it calls itself.';
comment on column public.mcp_access.token_hash is 'SHA-256 in hex of the access token; null where a user is named. Not readable by users.';
comment on column public.mcp_access.user_id is 'Who may come in, signed in to this project; null for a token.';
comment on column public.mcp_access.client_id is 'The application that may act for that user, as sign-in names it; null: the user themself.';
comment on column public.mcp_access.allowed_tools is 'Names of the tools that may be used; null: all.';
comment on column public.mcp_access.read_only is 'Only tools that their server calls read-only (readOnlyHint) may be used.';
comment on column public.mcp_access.requests_per_minute is 'Requests that may be made by way of it in a minute; null: as many as of anybody.';
comment on column public.mcp_access.concurrent_requests is 'Requests by way of it that may be under way at once; null: as many as of anybody.';
comment on column public.mcp_access.expires_at is 'Until then it counts; null: until it is revoked.';
comment on column public.mcp_access.revoked_at is 'From then on it does not count.';
comment on column public.mcp_access.last_used_at is 'When it was last used, to the minute.';
comment on column public.mcp_access.last_client is 'What the client that used it then calls itself (its User-Agent).';
comment on column public.mcp_access.created_at is 'When it was given.';
