-- What can be deployed. Read by every signed-in user, written by migrations and, through functions/operators.sql, by operators.
create type public.catalog_tool_status_enum as enum ('available', 'beta', 'experimental', 'deprecated', 'archived');
create type public.tool_packaging_type_enum as enum ('docker_image', 'git_source');

create table public.tool_catalog (
  id uuid primary key default gen_random_uuid(),
  name text not null unique check (char_length(name) between 1 and 255),
  tool_name text not null check (tool_name ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  description text not null default '',
  category text not null default 'mcp',
  provider text,
  documentation_url text check (documentation_url ~ '^https://'),
  icon_url text check (icon_url ~ '^https://'),
  packaging_type public.tool_packaging_type_enum not null default 'docker_image',
  default_spec jsonb not null default '{}' check (jsonb_typeof(default_spec) = 'object')
  constraint default_values_are_in_envelopes check (
    not jsonb_path_exists(default_spec, '$.env.* ? (!exists(@.key_id) || !exists(@.value))')
  ),
  required_config_schema jsonb not null default '{"type": "object"}' check (jsonb_typeof(required_config_schema) = 'object'),
  required_secrets_schema jsonb not null default '{"type": "object"}' check (jsonb_typeof(required_secrets_schema) = 'object'),
  -- Generated, so that what is shown to a user is what DTMA gets.
  docker_image_url text generated always as (default_spec ->> 'image') stored check (docker_image_url <> ''),
  resource_requirements jsonb generated always as (default_spec -> 'resources') stored,
  status public.catalog_tool_status_enum not null default 'available',
  is_public boolean not null default true,
  version text not null default '1.0.0',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create trigger touch_updated_at before update on public.tool_catalog
  for each row execute function private.touch_updated_at();

alter table public.tool_catalog enable row level security;
create policy "signed-in users read public entries" on public.tool_catalog
  for select to authenticated using (is_public and status <> 'archived');

revoke all on public.tool_catalog from public, anon, authenticated, service_role;
grant select on public.tool_catalog to authenticated, service_role;

comment on table public.tool_catalog is 'What can be deployed: image or source, ports, config schema, secrets schema, limits.';
comment on column public.tool_catalog.id is 'Fixed in migrations, so that callers may hard-code an entry.';
comment on column public.tool_catalog.name is 'Display name, unique.';
comment on column public.tool_catalog.tool_name is 'Machine name: lower-case words joined by a hyphen.';
comment on column public.tool_catalog.description is 'One or two sentences for the user.';
comment on column public.tool_catalog.category is 'Group in the console, such as mcp.';
comment on column public.tool_catalog.provider is 'Who publishes the image.';
comment on column public.tool_catalog.documentation_url is 'Where the publisher documents the tool.';
comment on column public.tool_catalog.icon_url is 'Square icon.';
comment on column public.tool_catalog.packaging_type is 'docker_image is pulled, git_source is built on the machine.';
comment on column public.tool_catalog.default_spec is 'ToolSpec of the DTMA API: image, command, ports, transport, mcp_path, resources, confinement, env defaults.';
comment on column public.tool_catalog.required_config_schema is 'JSON Schema of the environment variables a user sets; its "required" ones must be given.';
comment on column public.tool_catalog.required_secrets_schema is 'JSON Schema of the environment variables that are secrets; its "required" ones must be given.';
comment on column public.tool_catalog.docker_image_url is 'default_spec.image; null means the caller must name one.';
comment on column public.tool_catalog.resource_requirements is 'default_spec.resources: memory_bytes, cpus, pids.';
comment on column public.tool_catalog.status is 'archived entries are hidden; deprecated ones are shown as such.';
comment on column public.tool_catalog.is_public is 'False hides the entry from users.';
comment on column public.tool_catalog.version is 'Version of this entry, not of the image.';
comment on column public.tool_catalog.created_at is 'When the entry was added.';
comment on column public.tool_catalog.updated_at is 'Kept by a trigger.';
