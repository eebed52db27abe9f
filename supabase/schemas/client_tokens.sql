-- A token that names a client was given to a program, such as a chat application. It is good for the function mcp alone, so it
-- sees no row here. This file comes after all tables.
do $$
declare
  name text;
begin
  for name in
    select c.relname from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
    order by 1
  loop
    execute format(
      'create policy "tokens of programs open nothing" on public.%I as restrictive for all to authenticated using ((select auth.jwt()) ->> ''client_id'' is null)',
      name
    );
  end loop;
end;
$$;
