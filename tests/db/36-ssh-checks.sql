-- The SSH server of a machine is checked at most once a minute, whoever asks.
begin;
\ir setup.psql
select no_plan();

\set toolbox '{"toolbox_id": "e0000000-0000-4000-8000-000000000001"}'
select is(begin_ssh_check(:'toolbox'), '{"outcome": "due"}'::jsonb, 'the first may check');
select is(begin_ssh_check(:'toolbox'), '{"outcome": "recent", "seen": null}'::jsonb, 'the next learns that it goes on');
select is(record_ssh_check(:'toolbox'::jsonb || '{"seen": {"verdict": "ok"}}'), '{"outcome": "recorded"}'::jsonb, 'what was seen is kept');
select is(begin_ssh_check(:'toolbox'), '{"outcome": "recent", "seen": {"verdict": "ok"}}'::jsonb, 'and told');
update private.ssh_checks set begun_at = begun_at - interval '59 seconds';
select is(begin_ssh_check(:'toolbox') ->> 'outcome', 'recent', 'for a minute');
update private.ssh_checks set begun_at = begun_at - interval '1 second';
select is(begin_ssh_check(:'toolbox'), '{"outcome": "due"}'::jsonb, 'and not longer');
select is(begin_ssh_check(:'toolbox'), '{"outcome": "recent", "seen": null}'::jsonb, 'what was seen before is not told again');

select is(begin_ssh_check('{"toolbox_id": "e0000000-0000-4000-8000-00000000000f"}'), '{"outcome": "not_found"}'::jsonb, 'a toolbox that is gone has no machine');
select is(record_ssh_check('{"toolbox_id": "e0000000-0000-4000-8000-00000000000f", "seen": {}}'), '{"outcome": "not_found"}'::jsonb, 'and nothing to keep');
select throws_ok(format('select %s(%L)', f, p), code, null, f || ' refuses ' || left(p, 40))
from (values
  ('begin_ssh_check', '{}', '22023'),
  ('record_ssh_check', :'toolbox', '22023'),
  ('record_ssh_check', (:'toolbox'::jsonb || '{"seen": []}')::text, '23514'),
  ('record_ssh_check', (:'toolbox'::jsonb || jsonb_build_object('seen', jsonb_build_object('x', repeat('x', 4096))))::text, '23514')
) v (f, p, code);
select is(tests.try(a, 'select * from private.ssh_checks'), '42501', a || ' does not read the table')
from unnest(array['service', 'owner', 'stranger', 'anon']) a;
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is_empty('select from private.ssh_checks', 'a removed toolbox takes its check along');

select * from finish();
rollback;
