-- Single-use tokens by which a machine learns its keys. Only their hashes are kept.
create table private.toolbox_enrolments (
  token_hash text primary key check (token_hash ~ '^[0-9a-f]{64}$'),
  toolbox_id uuid not null references public.account_tool_environments (id) on delete cascade,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  used_at timestamptz,
  used_certificate_sha256 text check (used_certificate_sha256 ~ '^[0-9a-f]{64}$'),
  constraint used_with_a_certificate check ((used_at is null) = (used_certificate_sha256 is null))
);
create index toolbox_enrolments_toolbox_id_idx on private.toolbox_enrolments (toolbox_id);

alter table private.toolbox_enrolments enable row level security;
revoke all on private.toolbox_enrolments from public, anon, authenticated, service_role;

comment on table private.toolbox_enrolments is 'Enrolment tokens of toolboxes, by hash. Single use, with an end.';
comment on column private.toolbox_enrolments.token_hash is 'SHA-256 in hex of the token.';
comment on column private.toolbox_enrolments.toolbox_id is 'The toolbox it enrols.';
comment on column private.toolbox_enrolments.created_at is 'When it was made.';
comment on column private.toolbox_enrolments.expires_at is 'From then on it is refused.';
comment on column private.toolbox_enrolments.used_at is 'When it was used; null while it is fresh.';
comment on column private.toolbox_enrolments.used_certificate_sha256 is 'The certificate it was used with; the only one it may be used with again.';
