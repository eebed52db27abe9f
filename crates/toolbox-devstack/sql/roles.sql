-- What a Supabase project has before the first migration, as far as Toolbox relies on it. This file: the roles, which
-- belong to the whole cluster. Run once by the superuser supabase_admin, in one transaction with database.sql.
-- Passwords of login roles are set by the program afterwards, so that this file holds none.

-- Roles. `postgres` is no superuser, as on Supabase: a migration that needs one fails here too.
create role postgres login createdb createrole replication bypassrls;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_auth_admin nologin noinherit createrole;
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
-- Supabase's limits, so that a slow statement is found here first.
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';

alter database postgres owner to postgres;
alter database postgres set search_path = "$user", public, extensions;
alter role postgres set search_path = "$user", public, extensions;
-- supabase_admin must find nothing of ours by accident.
alter role supabase_admin set search_path = "$user", public, auth, extensions;
