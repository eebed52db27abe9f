-- How a machine learns its keys, once.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.enrol(token text, certificate text, p jsonb default '{}') returns jsonb language sql as $$
  select enrol_toolbox(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'token_hash', tests.sha256(token), 'certificate_pem', tests.pem(certificate),
    'certificate_sha256', tests.sha256(certificate), 'version', '2.0.0', 'api_version', 2
  ) || p)
$$;
create function tests.make_token(p jsonb default '{}') returns text language sql as $$
  select create_toolbox_enrolment('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "ttl_seconds": 600}'::jsonb || p) ->> 'token'
$$;
create function tests.set_key(epoch int, hash text default repeat('ef', 32)) returns text language sql as $$
  select set_toolbox_key(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000001', 'key_id', '0a0b0c0d.' || epoch, 'token_hash', hash)) ->> 'outcome'
$$;
create function tests.outcome(answer jsonb) returns text language sql immutable as $$
  select concat_ws(' ', answer ->> 'outcome', answer ->> 'reason', answer ->> 'epoch')
$$;

-- Tokens
select matches(tests.make_token(), '^tbe_[A-Za-z0-9_-]{43}$', 'a token has 256 bits');
select is(count(distinct tests.make_token()), 50::bigint, 'and is another each time') from generate_series(1, 50);
select is(count(*), 1::bigint, 'only the newest counts') from private.toolbox_enrolments;
select is_empty($$ select from private.toolbox_enrolments t where t::text like '%tbe_%' $$, 'the database keeps no token');
select is(create_toolbox_enrolment('{"toolbox_id": "e0000000-0000-4000-8000-0000000000ff", "ttl_seconds": 1}') ->> 'outcome', 'not_found', 'there is none for an unknown toolbox');
select throws_ok(format('select tests.make_token(%L)', v), '22023', null, 'refused: ' || v)
from unnest(array['{"ttl_seconds": 86401}', '{"ttl_seconds": 0}', '{"ttl_seconds": null}', '{"toolbox_id": null}']) v;
select cmp_ok((create_toolbox_enrolment('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "ttl_seconds": 86400}') ->> 'expires_at')::timestamptz,
  '<=', clock_timestamp() + interval '1 day', 'a token lives a day at most');

-- Refused
select tests.make_token() as old_token \gset
select tests.make_token() as token \gset
select is(tests.outcome(tests.enrol('tbe_guess', 'one')), 'refused unknown', 'a guess is refused');
select is(tests.outcome(tests.enrol(:'old_token', 'one')), 'refused unknown', 'and a token that was replaced');
select is(tests.outcome(tests.enrol(:'token', 'one', '{"toolbox_id": "e0000000-0000-4000-8000-000000000002"}')), 'refused unknown', 'and the token of another toolbox');
select throws_ok(format('select tests.enrol(%L, ''one'', %L)', :'token', v), '22023', null, 'refused: ' || v) from unnest(array[
  '{"certificate_sha256": "00"}', '{"certificate_pem": "text"}', '{"certificate_pem": null}',
  '{"certificate_pem": "-----BEGIN CERTIFICATE-----\nA===\n-----END CERTIFICATE-----"}']) v;
select is((tests.toolbox()).dtma_token_hash, repeat('ab', 32), 'a refusal changes nothing');
update private.toolbox_enrolments set expires_at = clock_timestamp() where token_hash = tests.sha256(:'token');
select is(tests.outcome(tests.enrol(:'token', 'one')), 'refused expired', 'a token has an end');

-- A toolbox that already has keys enrols again.
select tests.heartbeat() \g /dev/null
select tests.make_token() as token \gset
select is(tests.outcome(tests.enrol(:'token', 'one')), 'enrolled 1', 'a fresh token enrols, for a new epoch');
select is(tests.heartbeat() ->> 'outcome', 'unauthorized', 'the key from before dies at once');
select results_eq(
  $$ select (t).dtma_certificate_pem, (t).dtma_certificate_sha256, (t).dtma_key_id, (t).dtma_token_hash, (t).dtma_boot, (t).dtma_last_known_version, (t).dtma_api_version
     from (select tests.toolbox() as t) a $$,
  $$ values (tests.pem('one'), tests.sha256('one'), null::text, null::text, null::bigint, '2.0.0', 2) $$, 'the certificate is pinned and the order of messages begins anew');
select is((tests.toolbox()).status::text, 'active', 'an active toolbox stays active');
select is(tests.outcome(tests.enrol(:'token', 'one')), 'enrolled 1', 'an answer that was lost may be asked for again, in the same epoch');
select is(tests.outcome(tests.enrol(:'token', 'two')), 'refused used', 'not with another certificate');
select is(tests.set_key(0), 'superseded', 'a key of another epoch is not taken');
select is(tests.set_key(2), 'superseded', 'nor of one to come');
select is(tests.set_key(1), 'set', 'the key of the epoch is');
select is(tests.set_key(1), 'set', 'twice, should the first answer be lost');
select is(tests.outcome(tests.enrol(:'token', 'one')), 'enrolled 1', 'until the key is used the answer may be asked for again');
select is(tests.heartbeat(jsonb_build_object('boot', 1, 'sequence', 1, 'certificate_sha256', tests.sha256('one')), jsonb_build_object('token_hash', repeat('ef', 32))) ->> 'outcome',
  'recorded', 'the agent reports with the new key, from the beginning');
select is(tests.outcome(tests.enrol(:'token', 'one')), 'refused used', 'then the token is worth nothing, certificate or not');
select is(tests.set_key(1, repeat('00', 32)), 'superseded', 'and no key is set over one in use');
select is((tests.toolbox()).dtma_key_id, '0a0b0c0d.1', 'the row names the key');

-- A rotation between the two steps
select tests.make_token() as token \gset
select tests.enrol(:'token', 'three') \g /dev/null
select rotate_toolbox_key('{"toolbox_id": "e0000000-0000-4000-8000-000000000001"}') \g /dev/null
select is(tests.set_key(2), 'superseded', 'a rotation comes between');
select is(tests.outcome(tests.enrol(:'token', 'three')), 'enrolled 3', 'the agent asks again and gets the newest');
select tests.make_token() \g /dev/null
select is(tests.set_key(3), 'superseded', 'a newer token ends an enrolment under way');

-- The other toolbox
select is((select dtma_token_hash from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000002'), repeat('cd', 32), 'the stranger''s toolbox was not touched');
select is((select dtma_key_epoch from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000002'), 0, 'nor its epoch');

-- A machine that is new
insert into account_tool_environments (id, user_id, name) values ('e0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000001', 'new');
select tests.make_token('{"toolbox_id": "e0000000-0000-4000-8000-000000000003"}') as token \gset
select is(set_toolbox_key(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000003', 'key_id', '0a0b0c0d.0', 'token_hash', repeat('ef', 32))) ->> 'outcome',
  'superseded', 'no key without an enrolment');
select is(tests.outcome(tests.enrol(:'token', 'one', '{"toolbox_id": "e0000000-0000-4000-8000-000000000003"}')), 'enrolled 1', 'enrols');
select is((select status::text from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000003'), 'awaiting_heartbeat', 'and is awaited');
select is(
  record_heartbeat(jsonb_build_object('toolbox_id', 'e0000000-0000-4000-8000-000000000003', 'token_hash', null, 'root_id', 'x', 'heartbeat', '{}'::jsonb) - 'token_hash'
    || jsonb_build_object('token_hash', repeat('00', 32), 'heartbeat', '{"boot": 1, "sequence": 1, "interval_seconds": 1, "instances": []}'::jsonb)) ->> 'outcome',
  'unauthorized', 'without a key nothing is accepted');

-- A toolbox that is leaving
update account_tool_environments set status = 'pending_deprovision' where id = 'e0000000-0000-4000-8000-000000000003';
select is(tests.outcome(tests.enrol(:'token', 'one', '{"toolbox_id": "e0000000-0000-4000-8000-000000000003"}')), 'refused unknown', 'a toolbox that leaves enrols no more');
select is(create_toolbox_enrolment('{"toolbox_id": "e0000000-0000-4000-8000-000000000003", "ttl_seconds": 1}') ->> 'outcome', 'not_found', 'and gets no token');
delete from account_tool_environments where id = 'e0000000-0000-4000-8000-000000000003';
select is_empty($$ select from private.toolbox_enrolments where toolbox_id = 'e0000000-0000-4000-8000-000000000003' $$, 'its tokens go with it');

select * from finish();
rollback;
