-- What the database makes of a report, against the table that crates/toolbox-domain is tested against too.
begin;
\ir setup.psql
select no_plan();
create table tests.observations (
  from_status account_tool_installation_status_enum, observed text, desired text, steps text, row_gone boolean
);
\copy tests.observations from 'tests/db/observations.csv' with (format csv, header)

select is(count(*), 216::bigint, 'every status with everything that can be seen and desired') from tests.observations;
select is(
  (select format('%s %s', array_to_string(o.steps, ' '), o.row_gone) from private.observe_tool_instance(g.from_status, g.observed, g.desired) o),
  format('%s %s', coalesce(g.steps, ''), g.row_gone),
  format('%s, %s is seen, %s is desired', g.from_status, g.observed, g.desired))
from tests.observations g;

select results_eq(
  $$ select phase, private.observed_of_phase(phase) from unnest(array['pending', 'pulling', 'building', 'creating', 'starting', 'running',
     'stopping', 'stopped', 'removing', 'error', null, 'dancing']) phase $$,
  $$ values ('pending', 'preparing'), ('pulling', 'preparing'), ('building', 'preparing'), ('creating', 'preparing'), ('starting', 'starting'),
     ('running', 'running'), ('stopping', 'stopping'), ('stopped', 'stopped'), ('removing', 'removing'), ('error', 'failed'), (null, 'absent'),
     ('dancing', null) $$, 'what each phase of the agent means');
select results_eq(
  $$ select o.steps::text, o.row_gone from private.observe_tool_instance('running', null, 'running') o $$,
  $$ values ('{}', false) $$, 'a phase that is unknown changes nothing');

select * from finish();
rollback;
