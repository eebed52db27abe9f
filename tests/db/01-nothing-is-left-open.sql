-- Computed from the system catalogue: a new table, column or function is covered the day it appears.
begin;
\ir setup.psql
select no_plan();

create view tests.relations as
  select c.oid, c.relname as name, c.relkind as kind from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e');
create view tests.routines as
  select p.*, p.oid::regprocedure::text as signature from pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');
create view tests.attributes as
  select r.oid, r.name as relation, a.attname as name, a.attnum from tests.relations r
  join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped;

select cmp_ok(count(*), '>=', 5::bigint, 'there are tables to look at') from tests.relations;

-- "Refused or empty" says nothing about an empty table.
create temp table emptiness (name text, rows text) on commit drop;
insert into emptiness select name, tests.try('postgres', format('select from public.%I', name)) from tests.relations;
select isnt(rows, '0 rows', format('%s has a row of the owner to be kept from others', name)) from emptiness;

-- May only shrink: the catalog is the same for every signed-in user.
create temp table readable_by_strangers (name text) on commit drop;
insert into readable_by_strangers values ('tool_catalog');

create view tests.strangers as select unnest(array['anon', 'nobody', 'stranger']) as actor;
-- Own rows of the stranger are no concern of these tests.
delete from account_tool_environments where user_id = 'b0000000-0000-4000-8000-000000000002';

select matches(
  tests.try(s.actor, format('select %I from public.%I', a.name, a.relation)), '^(42501|0 rows)$',
  format('%s reads nothing of %s.%s', s.actor, a.relation, a.name)
) from tests.strangers s cross join tests.attributes a
where s.actor = 'anon' or a.relation not in (select name from readable_by_strangers);

select matches(
  tests.try(s.actor, format('update public.%I set %I = default', a.relation, a.name)), '^(42501|0 rows)$',
  format('%s changes nothing of %s.%s', s.actor, a.relation, a.name)
) from tests.strangers s cross join tests.attributes a;

-- May only shrink: what users write themselves. Which columns is below, and whose rows in 28.
create temp table written_by_users (name text) on commit drop;
insert into written_by_users values ('alert_channels'), ('alert_rules'), ('alert_messages'), ('agents');
select is(
  tests.try(s.actor, format('insert into public.%I default values', r.name)), '42501',
  format('%s inserts nothing into %s', s.actor, r.name)
) from tests.strangers s cross join tests.relations r
where s.actor <> 'stranger' or r.name not in (select name from written_by_users);
select matches(
  tests.try(s.actor, format('delete from public.%I', r.name)), '^(42501|0 rows)$',
  format('%s deletes nothing from %s', s.actor, r.name)
) from tests.strangers s cross join tests.relations r;
select is(
  tests.try(s.actor, format('truncate public.%I cascade', r.name)), '42501', format('%s does not truncate %s', s.actor, r.name)
) from tests.strangers s cross join tests.relations r;

-- The same from the side of the grants.
select is_empty(
  $$ select r.name, p from tests.relations r, unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
     where has_any_column_privilege('anon', r.oid, p) $$, 'anon has no privilege on any column');
select is_empty(
  $$ select r.name, role, p from tests.relations r, unnest(array['anon', 'authenticated']) role,
     unnest(array['INSERT', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
     where has_table_privilege(role, r.oid, p)
       and not (role = 'authenticated' and p = 'DELETE' and r.name in ('alert_channels', 'alert_rules', 'agents')) $$,
  'no user inserts whole rows, deletes, truncates or attaches triggers');
select set_eq(
  $$ select a.relation, a.name from tests.attributes a where has_column_privilege('authenticated', a.oid, a.attnum, 'INSERT') $$,
  $$ select 'alert_channels', c from unnest(array['name', 'kind', 'webhook_url', 'webhook_secret', 'is_enabled', 'quiet_from', 'quiet_until',
       'time_zone']) c
     union all select 'alert_rules', c from unnest(array['channel_id', 'account_tool_environment_id', 'kind', 'disk_percent', 'is_enabled']) c
     union all values ('alert_messages', 'channel_id'), ('agents', 'name') $$,
  'agents and how users are told of alerts are all that they may insert, and never for somebody else');
select set_eq(
  $$ select a.relation, a.name from tests.attributes a where has_column_privilege('authenticated', a.oid, a.attnum, 'UPDATE') $$,
  $$ values ('account_tool_environments', 'description'), ('account_tool_environments', 'name'), ('agents', 'name')
     union all select 'alert_channels', c from unnest(array['name', 'webhook_url', 'webhook_secret', 'is_enabled', 'quiet_from', 'quiet_until',
       'time_zone']) c
     union all select 'alert_rules', c from unnest(array['channel_id', 'disk_percent', 'is_enabled']) c $$,
  'name and description of a toolbox, the name of an agent, and how they are told of alerts, are all that users may write');
select set_eq(
  $$ select a.relation, a.name from tests.attributes a where not has_column_privilege('authenticated', a.oid, a.attnum, 'SELECT') $$,
  $$ values ('account_tool_environments', 'dtma_token_hash'), ('account_tool_environments', 'dtma_previous_token_hash'),
     ('account_tool_environments', 'dtma_previous_token_expires_at'), ('account_tool_environments', 'dtma_offered_key_id'),
     ('account_tool_environments', 'provisioning_tries'), ('account_tool_environments', 'provisioning_due_at'),
     ('account_tool_environments', 'provisioning_lease'), ('account_tool_environments', 'provisioning_holder'),
     ('account_tool_environments', 'provisioning_leased_until'), ('account_tool_environments', 'machine_asked_at'),
     ('account_tool_environments', 'do_firewall_id'), ('account_tool_environments', 'do_action_id'),
     ('account_tool_environments', 'order_key'), ('account_tool_environments', 'enrolled_from'), ('account_tool_environments', 'looked_at'), ('account_tool_environments', 'dtma_boot'), ('account_tool_environments', 'dtma_sequence'), ('account_tool_instances', 'spec'), ('account_tool_instance_versions', 'spec'),
     ('account_tool_instances', 'view_run'), ('account_tool_instances', 'view_number'), ('account_tool_instances', 'view_applied_at'),
     ('tool_instance_operations', 'idempotency_key'), ('tool_instance_operations', 'previous_spec'),
     ('tool_instance_operations', 'request_fingerprint'), ('alert_channels', 'webhook_secret'), ('alert_channels', 'webhook_secret_key_id'),
     ('mcp_access', 'token_hash') $$,
  'users read every column but those that are secret or of the agent alone');
select is_empty(
  $$ select c.relname, role from pg_class c, unnest(array['anon', 'authenticated']) role
     where c.relkind = 'S' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
       and has_sequence_privilege(role, c.oid, 'USAGE, SELECT, UPDATE') $$, 'no user touches a sequence');
select is_empty(
  $$ select r.name from tests.relations r join pg_class c on c.oid = r.oid where r.kind in ('r', 'p') and not c.relrowsecurity $$,
  'row level security is on everywhere');
select is_empty(
  $$ select name from tests.relations where kind not in ('r', 'p') $$,
  'there is no view: one would need security_invoker and a row in these tests');
select is_empty(
  $$ select policyname, roles from pg_policies where schemaname = 'public' and roles <> '{authenticated}' $$,
  'every policy is for authenticated alone');
select is_empty(
  $$ select policyname from pg_policies where schemaname = 'public'
     and regexp_replace(concat(qual, with_check), '\( SELECT auth\.\w+\(\) AS \w+\)', '', 'g') ~ 'auth\.' $$,
  'policies ask auth.uid() once a statement, as (select auth.uid())');

select is_empty(
  $$ select r.name from tests.relations r where r.kind in ('r', 'p') and not exists (
       select from pg_policies p where p.schemaname = 'public' and p.tablename = r.name and p.permissive = 'RESTRICTIVE'
         and p.cmd = 'ALL' and p.qual like '%client_id%') $$,
  'a token that names a client sees no row of any table');

-- Functions.
select is_empty(
  $$ select signature, role from tests.routines, unnest(array['anon', 'authenticated']) role
     where has_function_privilege(role, oid, 'EXECUTE') $$, 'no user executes a function');
select set_eq(
  $$ select signature from tests.routines where has_function_privilege('service_role', oid, 'EXECUTE') $$,
  $$ values ('begin_tool_instance_operation(jsonb)'), ('record_tool_instance_states(jsonb)'), ('create_toolbox_enrolment(jsonb)'),
     ('enrol_toolbox(jsonb)'), ('set_toolbox_key(jsonb)'), ('offer_toolbox_key(jsonb)'), ('rotate_toolbox_key(jsonb)'),
     ('record_heartbeat(jsonb)'), ('get_desired_state(jsonb)'), ('run_job(jsonb)'), ('record_toolbox_event(jsonb)'), ('end_toolbox_event(jsonb)'),
     ('claim_alert_messages(jsonb)'), ('record_alert_delivery(jsonb)'), ('get_unsealed_operations(jsonb)'),
     ('get_secrets_to_seal(jsonb)'), ('put_sealed_secrets(jsonb)'),
     ('seal_operations(jsonb)'), ('begin_ssh_check(jsonb)'), ('record_ssh_check(jsonb)'), ('get_agent_version(jsonb)'),
     ('get_provider_list(jsonb)'), ('put_provider_list(jsonb)'), ('order_toolbox(jsonb)'), ('ask_toolbox(jsonb)'), ('lease_toolboxes(jsonb)'), ('begin_toolbox_machine(jsonb)'),
     ('record_toolbox_step(jsonb)'), ('remove_toolbox(jsonb)'), ('sweep_toolboxes(jsonb)'), ('begin_rare_job(jsonb)'),
     ('begin_rollout(jsonb)'), ('stop_rollout(jsonb)'), ('claim_rollouts(jsonb)'), ('record_rollout(jsonb)'),
     ('create_own_toolbox(jsonb)'), ('update_own_toolbox(jsonb)'), ('delete_own_toolbox(jsonb)'), ('set_agent_toolbox(jsonb)'),
     ('grant_mcp_access(jsonb)'), ('revoke_mcp_access(jsonb)'), ('find_mcp_access(jsonb)'), ('find_mcp_toolbox_access(jsonb)'), ('revoke_mcp_client(jsonb)'), ('list_mcp_servers(jsonb)'),
    ('get_mcp_pin(jsonb)'), ('set_mcp_pin(jsonb)'), ('claim_mcp_pins(jsonb)'),
    ('get_mcp_use(jsonb)'), ('get_fleet(jsonb)'), ('get_fleet_rollout(jsonb)'), ('set_agent_version(jsonb)'), ('get_catalog(jsonb)'), ('put_catalog_entry(jsonb)'),
     ('delete_catalog_entry(jsonb)'), ('list_quotas(jsonb)'), ('set_quota(jsonb)'), ('get_quota(jsonb)') $$,
  'the service role executes the RPCs only');
-- Tables beside the API: no grant at all, and no policy that would let one through.
select is_empty(
  $$ select c.relname, role from pg_class c, unnest(array['anon', 'authenticated', 'service_role']) role
     where c.relkind in ('r', 'p') and c.relnamespace = 'private'::regnamespace
       and (has_any_column_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') or has_table_privilege(role, c.oid, 'DELETE, TRUNCATE')
         or not c.relrowsecurity) $$, 'no API role touches a private table');
select is_empty(
  $$ select c.relname, a.attname from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped
     where c.relkind in ('r', 'p') and c.relnamespace = 'private'::regnamespace and col_description(c.oid, coalesce(a.attnum, 0)) is null $$,
  'every column of a private table has a comment');
select is_empty(
  $$ select signature from tests.routines where not coalesce(proconfig, '{}') @> array['search_path=""'] $$,
  'every function has an empty search_path');
select is_empty(
  $$ select role from unnest(array['anon', 'authenticated', 'service_role']) role where has_schema_privilege(role, 'private', 'USAGE, CREATE') $$,
  'no API role may use the schema private');

-- Upkeep.
select is_empty(
  $$ select c.conname from pg_constraint c join tests.relations r on r.oid = c.conrelid where c.contype = 'f' and not exists (
       select from pg_index i where i.indrelid = c.conrelid and i.indpred is null
         and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] = c.conkey) $$,
  'every foreign key leads an index');
select is_empty(
  $$ select relation, name from tests.attributes where col_description(oid, attnum) is null $$, 'every column has a comment');
select is_empty(
  $$ select name from tests.relations where obj_description(oid, 'pg_class') is null
     union all select signature from tests.routines where obj_description(oid, 'pg_proc') is null $$,
  'every table and function has a comment');

select * from finish();
rollback;
