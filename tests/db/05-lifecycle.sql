-- Every pair of statuses, tried on a row, against the table that crates/toolbox-domain is tested against too.
begin;
\ir setup.psql
select no_plan();
create table tests.edges (machine text, from_status text, to_status text);
\copy tests.edges from 'tests/db/lifecycle_edges.csv' with (format csv, header)

create function tests.move_instance(from_status account_tool_installation_status_enum, to_status account_tool_installation_status_enum)
returns text language plpgsql as $$
begin
  -- Into the starting position past the guard.
  set local session_replication_role = replica;
  update account_tool_instances set status_on_toolbox = from_status,
    instance_error_code = case from_status when 'error' then 'why' end,
    instance_error_message = case from_status when 'error' then 'because' end
  where id = 'c0000000-0000-4000-8000-000000000001';
  set local session_replication_role = origin;
  return tests.try('postgres', format(
    $sql$ update account_tool_instances set status_on_toolbox = %L, instance_error_code = %L, instance_error_message = %L
      where id = 'c0000000-0000-4000-8000-000000000001' $sql$,
    to_status, case to_status when 'error' then 'why' end, case to_status when 'error' then 'because' end));
end $$;
create function tests.move_environment(from_status account_tool_environment_status_enum, to_status account_tool_environment_status_enum)
returns text language plpgsql as $$
begin
  set local session_replication_role = replica;
  update account_tool_environments set status = from_status,
    provisioning_error_message = case when from_status::text like 'error%' then 'because' end
  where id = 'e0000000-0000-4000-8000-000000000001';
  set local session_replication_role = origin;
  return tests.try('postgres', format(
    $sql$ update account_tool_environments set status = %L, provisioning_error_message = %L
      where id = 'e0000000-0000-4000-8000-000000000001' $sql$,
    to_status, case when to_status::text like 'error%' then 'because' end));
end $$;

-- Staying is no transition: such an update is a no-op and passes.
select is(
  tests.move_instance(f, t),
  case when f = t or exists (select from tests.edges where machine = 'instance' and from_status = f::text and to_status = t::text)
    then '1 rows' else '23514' end,
  format('instance %s -> %s', f, t))
from unnest(enum_range(null::account_tool_installation_status_enum)) f, unnest(enum_range(null::account_tool_installation_status_enum)) t;
select is(
  private.tool_instance_transition_allowed(f, t),
  exists (select from tests.edges where machine = 'instance' and from_status = f::text and to_status = t::text),
  format('the table of instances says the same of %s -> %s', f, t))
from unnest(enum_range(null::account_tool_installation_status_enum)) f, unnest(enum_range(null::account_tool_installation_status_enum)) t;
select is(
  tests.move_environment(f, t),
  case when f = t or exists (select from tests.edges where machine = 'environment' and from_status = f::text and to_status = t::text)
    then '1 rows' else '23514' end,
  format('toolbox %s -> %s', f, t))
from unnest(enum_range(null::account_tool_environment_status_enum)) f, unnest(enum_range(null::account_tool_environment_status_enum)) t;
select is_empty(
  $$ select * from tests.edges where machine = 'instance' and not (from_status, to_status) in (
    select f::text, t::text from unnest(enum_range(null::account_tool_installation_status_enum)) f,
    unnest(enum_range(null::account_tool_installation_status_enum)) t) $$, 'the file names no status the database lacks');

-- How a life starts, and how it ends.
select is(
  tests.try('postgres', format(
    $sql$ insert into account_tool_instances (account_tool_environment_id, tool_catalog_id, instance_name_on_toolbox, container_name, spec, status_on_toolbox,
      instance_error_code, instance_error_message)
    values ('e0000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-000000000001', 'x', 'x', '{"image": "x"}', %L, %L, %L) $sql$,
    s, case s when 'error' then 'why' end, case s when 'error' then 'because' end)),
  case when s in ('pending_deploy', 'deploying') then '1 rows' else '23514' end, format('an instance may start in %s or not', s))
from unnest(enum_range(null::account_tool_installation_status_enum)) s;
select is(
  tests.try('postgres', format(
    $sql$ insert into account_tool_environments (user_id, name, status, provisioning_error_message)
    values ('a0000000-0000-4000-8000-000000000001', 'x', %L, %L) $sql$, s, case when s::text like 'error%' then 'because' end)),
  case s when 'pending_provision' then '1 rows' else '23514' end, format('a toolbox may start in %s or not', s))
from unnest(enum_range(null::account_tool_environment_status_enum)) s;

create function tests.remove_from(from_status account_tool_installation_status_enum) returns text language plpgsql as $$
begin
  perform tests.move_instance(from_status, from_status);
  return tests.try('postgres', 'delete from account_tool_instances where id = ''c0000000-0000-4000-8000-000000000001''');
end $$;
select is(tests.remove_from(s), case s when 'deleting' then '1 rows' else '23514' end, format('a row in %s may go or not', s))
from unnest(enum_range(null::account_tool_installation_status_enum)) s;

-- error exactly with a reason.
select tests.move_instance('running', 'running') \g /dev/null
select is(tests.try('postgres', 'update account_tool_instances set ' || v), '23514', 'refused: ' || v)
from unnest(array[
  'status_on_toolbox = ''error''',
  'status_on_toolbox = ''error'', instance_error_code = ''why''',
  'status_on_toolbox = ''error'', instance_error_message = ''because''',
  'status_on_toolbox = ''error'', instance_error_code = ''why'', instance_error_message = ''''',
  'instance_error_code = ''why'', instance_error_message = ''because''',
  'generation = 0',
  'id = gen_random_uuid()',
  'account_tool_environment_id = ''e0000000-0000-4000-8000-000000000002'''
]) v;
select is(tests.try('postgres', 'update account_tool_environments set user_id = ''b0000000-0000-4000-8000-000000000002'''), '23514', 'a toolbox keeps its owner');
select tests.move_environment('provisioning', 'provisioning') \g /dev/null
select is(tests.try('postgres', 'update account_tool_environments set status = ''error_provisioning'' where id = ''e0000000-0000-4000-8000-000000000001'''),
  '23514', 'a toolbox fails with a reason only');

-- Times are kept.
update account_tool_instances set status_on_toolbox = 'stopping' where id = 'c0000000-0000-4000-8000-000000000001';
select cmp_ok((tests.instance()).status_changed_at, '>', now(), 'status_changed_at follows the status');
select cmp_ok((tests.instance()).updated_at, '>', now(), 'updated_at follows every write');

select * from finish();
rollback;
