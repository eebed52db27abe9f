-- Internals live in a schema that PostgREST does not serve and no API role may use.
create schema private;
revoke all on schema private from public;
comment on schema private is 'Internals of Toolbox: trigger functions and helpers. Never exposed through the API.';

create function private.touch_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$$;
comment on function private.touch_updated_at() is 'BEFORE UPDATE trigger: keeps updated_at true whoever writes the row.';
revoke all on function private.touch_updated_at() from public, anon, authenticated, service_role;
