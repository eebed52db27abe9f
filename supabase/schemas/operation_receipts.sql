-- Who had what done, and how it ended: one receipt per ended operation, in an order per toolbox, each authenticated together with
-- the one before it by a key that the database does not have. The job seal_receipts of clock/tick writes them, because
-- operations also end in the database alone.
create table public.operation_receipts (
  -- No foreign key: receipts outlive the toolbox.
  toolbox_id uuid not null,
  number bigint not null check (number > 0),
  user_id uuid not null references auth.users (id) on delete cascade,
  operation_id uuid unique,
  -- The very bytes that are authenticated.
  content text not null check (octet_length(content) <= 8192),
  key_id text not null check (key_id ~ '^[0-9a-f]{16}$'),
  mac text not null check (mac ~ '^[0-9a-f]{64}$'),
  sealed_at timestamptz not null default clock_timestamp(),
  primary key (toolbox_id, number)
);
create index operation_receipts_user_id_idx on public.operation_receipts (user_id);
create index operation_receipts_sealed_at_idx on public.operation_receipts (sealed_at);

create function private.keep_receipts() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- Out go those whose time is over, from the oldest on; and all with their user.
  if tg_op = 'DELETE' and (
    old.sealed_at < now() - private.retention() or not exists (select from auth.users u where u.id = old.user_id)
  ) then
    return old;
  end if;
  raise exception 'operation_receipts is append-only' using errcode = 'insufficient_privilege';
end;
$$;
comment on function private.keep_receipts() is 'Refuses every change of receipts, to every role, until their time is over.';

create trigger append_only before update or delete on public.operation_receipts
  for each row execute function private.keep_receipts();
create trigger append_only_truncate before truncate on public.operation_receipts
  for each statement execute function private.keep_receipts();

alter table public.operation_receipts enable row level security;
create policy "owners read their receipts" on public.operation_receipts
  for select to authenticated using (user_id = (select auth.uid()));

revoke all on public.operation_receipts from public, anon, authenticated, service_role;
grant select on public.operation_receipts to authenticated, service_role;
revoke all on function private.keep_receipts() from public, anon, authenticated, service_role;

comment on table public.operation_receipts is 'Receipts of ended operations, chained per toolbox and authenticated. scripts/receipts verifies them. Kept as long as private.retention() says, that of the last operation for ever.';
comment on column public.operation_receipts.toolbox_id is 'The chain: the toolbox, which may be gone since.';
comment on column public.operation_receipts.number is 'Place in the chain, without gaps.';
comment on column public.operation_receipts.user_id is 'The owner of the toolbox; decides who may read.';
comment on column public.operation_receipts.operation_id is 'The operation; null in a checkpoint, which says from which receipt on the chain was kept.';
comment on column public.operation_receipts.content is 'The receipt, as JSON: who, what, image, result, and the mac of the receipt before.';
comment on column public.operation_receipts.key_id is 'Fingerprint of the key.';
comment on column public.operation_receipts.mac is 'HMAC-SHA256 of content, in hex.';
comment on column public.operation_receipts.sealed_at is 'When it was written.';
