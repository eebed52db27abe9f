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

create function private.require_keys(p jsonb, variadic keys text[]) returns void
language plpgsql immutable
set search_path = ''
as $$
declare
  missing text;
begin
  select string_agg(k, ', ') into missing from unnest(keys) k where p ->> k is null;
  if missing is not null then
    raise exception 'Missing in the argument p: %', missing using errcode = 'invalid_parameter_value';
  end if;
end;
$$;
comment on function private.require_keys is 'Raises invalid_parameter_value naming the keys that p lacks.';

revoke all on function private.touch_updated_at(), private.require_keys from public, anon, authenticated, service_role;
