begin;
\ir setup.psql
select no_plan();

create function tests.versions() returns setof text language sql stable as $$
  select concat_ws(' ', generation, image, image_digest, case when ran_at is null then 'never' else 'ran' end, actor_kind,
    case when restores is not null then 'restores ' || restores end)
  from account_tool_instance_versions where tool_instance_id = 'c0000000-0000-4000-8000-000000000001' order by generation desc
$$;
create function tests.update_to(p jsonb, more jsonb default '{}') returns text language sql as $$
  select tests.begin(jsonb_build_object('action', 'update', 'to_status', 'deploying', 'spec', p) || more) ->> 'outcome'
$$;
-- The agent runs what the instance is asked to run.
create function tests.runs(observed jsonb) returns text language sql as $$
  select tests.record(jsonb_build_object('generation', (tests.instance()).generation, 'steps', '[{"status": "running"}]'::jsonb,
    'operation_result', '{"state": "succeeded"}'::jsonb, 'observed', observed)) ->> 'outcome'
$$;

select results_eq('select tests.versions()', array['1 ghcr.io/x/y:1.2 sha256:1 ran user'], 'the first deploy is a version, with what it was seen running');
select is(actor_id::text, 'a0000000-0000-4000-8000-000000000001', 'of who asked for it') from account_tool_instance_versions;
select tests.begin('{"action": "restart", "to_status": "stopping"}') \g /dev/null
select tests.record('{"generation": 2, "expected_status": "stopping", "steps": [{"status": "stopped"}, {"status": "starting"}, {"status": "running"}], "operation_result": {"state": "succeeded"},
  "observed": {"container_id": "abd", "image_digest": "sha256:1", "registry_digest": "none"}}') \g /dev/null
select results_eq('select tests.versions()', array['1 ghcr.io/x/y:1.2 sha256:1 ran user'], 'what changes no spec makes none');
select is(registry_digest, null, 'a digest that is none is not kept') from account_tool_instance_versions;

-- An update, seen while it is under way and at its end.
select is(tests.update_to('{"image": "ghcr.io/x/y:2", "env": {"TOKEN": {"key_id": null, "value": "SECRET-2"}}}'), 'started', 'an update begins');
select tests.record('{"generation": 3, "settled": false, "expected_status": "deploying", "observed": {"image_digest": "sha256:1"}}') \g /dev/null
select is((select tests.versions() limit 1), '3 ghcr.io/x/y:2 never user', 'while it is under way nothing is known of what it runs');
select tests.runs(jsonb_build_object('image_digest', 'sha256:2', 'registry_digest', 'sha256:' || repeat('a', 64))) \g /dev/null
select is((select tests.versions() limit 1), '3 ghcr.io/x/y:2 sha256:2 ran user', 'its end is');
select is(registry_digest, 'sha256:' || repeat('a', 64), 'with the digest of its registry') from account_tool_instance_versions where generation = 3;
select tests.record('{"generation": 3, "observed": {"container_id": "xyz", "image_digest": "sha256:2"}}') \g /dev/null
select ok(registry_digest is not null, 'which a view that does not say it takes not back') from account_tool_instance_versions where generation = 3;
select is(image_digest, 'sha256:1', 'and says nothing of earlier ones') from account_tool_instance_versions where generation = 1;

-- A failed update: the spec before it is what is asked for.
select tests.update_to('{"image": "bad:1"}') \g /dev/null
select tests.record('{"generation": 4, "restore_previous_spec": true, "steps": [{"status": "running"}],
  "operation_result": {"state": "failed", "error_code": "exited", "error_message": "Exit code 1"}, "observed": {"image_digest": "sha256:2"}}') \g /dev/null
select results_eq('select tests.versions()',
  array['5 ghcr.io/x/y:2 sha256:2 ran agent restores 3', '4 bad:1 never user', '3 ghcr.io/x/y:2 sha256:2 ran user', '1 ghcr.io/x/y:1.2 sha256:1 ran user'],
  'a failed update ran never, and the version before it comes back');

-- A rollback.
select is(tests.update_to('{"image": "ghcr.io/x/y:1.2"}', '{"restores": 1}'), 'started', 'a rollback begins');
select is((select tests.versions() limit 1), '6 ghcr.io/x/y:1.2 never user restores 1', 'it is a version of its own, which must be seen first');
select tests.runs('{"image_digest": "sha256:1"}') \g /dev/null

-- Secrets: sealed as those of the instance are.
create function tests.specs() returns jsonb language sql as $$
  select jsonb_path_query_array(get_secrets_to_seal('{"key_ids": ["plain"]}'), '$.specs[*] ? (@.generation != null)')
$$;
select set_eq($$ select (v ->> 'generation')::int from jsonb_array_elements(tests.specs()) v $$, array[1, 3, 5], 'versions in plain text are given out');
create temp table given on commit drop as select tests.specs() as specs;
update account_tool_instance_versions set spec = '{"image": "changed:1"}' where generation = 5;
select is(put_sealed_secrets(jsonb_build_object('webhooks', '[]'::jsonb, 'specs', (
  select jsonb_agg(jsonb_set(jsonb_set(v, '{spec,env,TOKEN,key_id}', '"k1"'), '{spec,env,TOKEN,value}', '"sealed"'))
  from given, jsonb_array_elements(specs) v))) ->> 'count', '2', 'and written where nothing else was since');
select results_eq($$ select spec #>> '{env,TOKEN,value}' from account_tool_instance_versions where generation in (1, 3) order by generation $$,
  array['sealed', 'sealed'], 'sealed');
select results_eq($$ select key_id, how_many from private.secrets_by_key() where place = 'account_tool_instance_versions.spec' $$,
  $$ values ('k1', 2::bigint) $$, 'an operator sees under which keys');
update account_tool_instances set spec = '{"image": "ghcr.io/x/y:1.2", "env": {"TOKEN": {"key_id": "k2", "value": "sealed anew"}}}'
where id = 'c0000000-0000-4000-8000-000000000001';
select results_eq('select count(*), max(generation) from account_tool_instance_versions', 'values (5::bigint, 6::bigint)', 'to seal the instance makes no version');
select is(spec, (tests.instance()).spec, 'its newest one is sealed with it') from account_tool_instance_versions where generation = 6;
select throws_ok($$ update account_tool_instance_versions set spec = '{"image": "x:1", "env": {"TOKEN": "SECRET"}}' where generation = 1 $$, '23514', null, 'a value out of its envelope is refused');

-- An update to the same: the tag may have moved.
select is(tests.update_to((tests.instance()).spec), 'started', 'an update that changes nothing begins');
select tests.runs('{"image_digest": "sha256:moved"}') \g /dev/null
select results_eq('select tests.versions() limit 2', array['7 ghcr.io/x/y:1.2 sha256:moved ran user', '6 ghcr.io/x/y:1.2 sha256:1 ran user restores 1'],
  'it is a version, and the one before keeps the image that ran');

-- The newest 10.
select tests.update_to(jsonb_build_object('image', 'many:' || n), '{"preempts": ["update"], "expected_status": null}') from generate_series(1, 12) n \g /dev/null
select results_eq('select count(*), min(generation), max(generation) from account_tool_instance_versions', 'values (10::bigint, 10::bigint, 19::bigint)', 'the newest 10 are kept');

-- Who reads them.
select is(tests.try('owner', 'select generation, image, image_digest, registry_digest, ran_at, restores, actor_kind, actor_id, created_at from account_tool_instance_versions'), '10 rows', 'owners read theirs');
select is(tests.try('owner', 'select spec from account_tool_instance_versions'), '42501', 'but no spec');
select is(tests.try('stranger', 'select generation from account_tool_instance_versions'), '0 rows', 'strangers read none');
select is(tests.try('nobody', 'select generation from account_tool_instance_versions'), '0 rows', 'nor does nobody');
select is(tests.try('anon', 'select generation from account_tool_instance_versions'), '42501', 'nor who is not signed in');
select is(tests.try('service', 'update account_tool_instance_versions set image_digest = null'), '42501', 'the service role writes none');
select is(tests.try('owner', 'delete from account_tool_instance_versions'), '42501', 'nor do owners');

delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000001';
select is_empty('select from account_tool_instance_versions', 'they go with their instance');
select * from finish();
rollback;
