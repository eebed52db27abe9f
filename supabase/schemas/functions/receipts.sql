-- How ended operations get their receipts. The key is not here: what is to be sealed is given out, and comes back authenticated.

create function private.keep_outcome() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  -- What ran when the operation ended; a later one may change it before the receipt is written.
  select i.instance_name_on_toolbox, i.docker_image_url, i.image_digest into new.instance_name, new.image, new.image_digest
  from public.account_tool_instances i where i.id = new.tool_instance_id;
  return new;
end;
$$;
comment on function private.keep_outcome() is 'Keeps with an operation that ends what its instance ran.';

create trigger keep_outcome before update on public.tool_instance_operations
  for each row when (old.state = 'in_progress' and new.state <> 'in_progress')
  execute function private.keep_outcome();

create function public.get_unsealed_operations(p jsonb) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  chains jsonb;
begin
  with chosen as (
    (select distinct o.account_tool_environment_id as id from public.tool_instance_operations o
     where o.finished_at is not null and not o.is_sealed limit 20)
    union
    (select distinct r.toolbox_id from public.operation_receipts r
     -- Receipts of operations only: a checkpoint goes with those before it, and is no reason for another.
     where r.sealed_at < now() - private.retention() and r.operation_id is not null and exists (
       select from public.operation_receipts later
       where later.toolbox_id = r.toolbox_id and later.number > r.number and later.operation_id is not null
     )
     limit 20)
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'toolbox_id', c.id,
    'user_id', coalesce(e.user_id, head.user_id),
    'head', case when head.number is not null then jsonb_build_object('number', head.number, 'mac', head.mac) end,
    'expired', (
      select jsonb_build_object('number', old.number, 'mac', old.mac) from (
        select r.number, r.mac, r.sealed_at, r.operation_id from public.operation_receipts r
        where r.toolbox_id = c.id order by r.number limit 1000
      ) old
      where old.sealed_at < now() - private.retention() and old.operation_id is not null and old.number < (
        select max(r.number) from public.operation_receipts r where r.toolbox_id = c.id and r.operation_id is not null
      )
      order by old.number desc limit 1
    ),
    'operations', coalesce((
      select jsonb_agg(jsonb_build_object(
        'operation_id', o.id, 'user_id', o.user_id, 'instance_id', o.tool_instance_id, 'instance_name', o.instance_name,
        'action', o.action, 'generation', o.generation, 'request_id', o.request_id, 'image', left(o.image, 1000),
        'image_digest', left(o.image_digest, 200), 'result', o.state, 'error_code', o.error_code,
        'started_at', o.started_at, 'finished_at', o.finished_at
      ) order by o.finished_at, o.id)
      from (
        select * from public.tool_instance_operations ended
        where ended.account_tool_environment_id = c.id and ended.finished_at is not null and not ended.is_sealed
        order by ended.finished_at, ended.id limit 50
      ) o
    ), '[]')
  )), '[]') into chains
  from chosen c
  left join public.account_tool_environments e on e.id = c.id
  left join lateral (
    select r.number, r.mac, r.user_id from public.operation_receipts r where r.toolbox_id = c.id order by r.number desc limit 1
  ) head on true;
  return jsonb_build_object('outcome', 'found', 'chains', chains);
end;
$$;
comment on function public.get_unsealed_operations is
  'Chains with ended operations that have no receipt yet, or with receipts of operations whose time is over; 20 of each and 50 operations a chain at most. Answers {outcome: found, chains}.';

create function public.seal_operations(p jsonb) returns jsonb
language plpgsql security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  of_toolbox constant uuid := p ->> 'toolbox_id';
  expected constant bigint := coalesce((p ->> 'head_number')::bigint, 0);
  head record;
  receipt jsonb;
  place bigint := expected;
begin
  perform private.require_keys(p, 'toolbox_id', 'user_id', 'receipts');
  -- Two ticks at once: one of them seals.
  if not pg_try_advisory_xact_lock(hashtextextended('receipts of ' || of_toolbox::text, 0)) then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  select r.number, r.mac into head from public.operation_receipts r where r.toolbox_id = of_toolbox order by r.number desc limit 1;
  if coalesce(head.number, 0) <> expected or head.mac is distinct from p ->> 'head_mac' then
    return jsonb_build_object('outcome', 'superseded');
  end if;
  for receipt in select r from jsonb_array_elements(p -> 'receipts') with ordinality as s (r, n) order by n loop
    place := place + 1;
    insert into public.operation_receipts (toolbox_id, number, user_id, operation_id, content, key_id, mac)
    values (
      of_toolbox, place, (p ->> 'user_id')::uuid, (receipt ->> 'operation_id')::uuid,
      receipt ->> 'content', receipt ->> 'key_id', receipt ->> 'mac'
    );
    update public.tool_instance_operations o set is_sealed = true where o.id = (receipt ->> 'operation_id')::uuid;
  end loop;
  delete from public.operation_receipts r where r.toolbox_id = of_toolbox and r.number <= (p ->> 'delete_through')::bigint;
  return jsonb_build_object('outcome', 'sealed', 'count', place - expected);
end;
$$;
comment on function public.seal_operations is
  'Appends receipts to the chain of a toolbox whose head is still (head_number, head_mac), and deletes those up to delete_through, whose time must be over. Answers {outcome}: sealed with a count, or superseded.';

revoke all on function private.keep_outcome(), public.get_unsealed_operations, public.seal_operations
  from public, anon, authenticated, service_role;
grant execute on function public.get_unsealed_operations, public.seal_operations to service_role;
