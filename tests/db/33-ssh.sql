-- Where a machine's sshd is, and the host key by which it is known.
begin;
\ir setup.psql
\ir heartbeat.psql
select no_plan();

create function tests.enrol_with(p jsonb) returns text language sql as $$
  select enrol_toolbox(jsonb_build_object(
    'toolbox_id', 'e0000000-0000-4000-8000-000000000001',
    'token_hash', tests.sha256(create_toolbox_enrolment('{"toolbox_id": "e0000000-0000-4000-8000-000000000001", "ttl_seconds": 600}') ->> 'token'),
    'certificate_pem', tests.pem('one'), 'certificate_sha256', tests.sha256('one')
  ) || p) ->> 'outcome'
$$;
create function tests.host_key(digit text) returns text language sql immutable as $$
  select 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI' || repeat(digit, 43)
$$;

select results_eq($$ select (t).ssh_host_key, (t).ssh_port from (select tests.toolbox() as t) a $$,
  $$ values (null::text, 22) $$, 'a toolbox is not reached by SSH before it says how');
select is(tests.enrol_with(jsonb_build_object('ssh_host_key', tests.host_key('A'), 'ssh_port', 2222)), 'enrolled', 'an enrolment says how');
select results_eq($$ select (t).ssh_host_key, (t).ssh_port from (select tests.toolbox() as t) a $$,
  $$ values (tests.host_key('A'), 2222) $$, 'and it is stored');
select is(tests.enrol_with(jsonb_build_object('ssh_host_key', tests.host_key('B'))), 'enrolled', 'another machine enrols');
select results_eq($$ select (t).ssh_host_key, (t).ssh_port from (select tests.toolbox() as t) a $$,
  $$ values (tests.host_key('B'), 22) $$, 'its key takes the place, at the usual port');
select is(tests.enrol_with('{"ssh_host_key": null, "ssh_port": null}'), 'enrolled', 'a machine without sshd enrols');
select is((tests.toolbox()).ssh_host_key, null, 'and the key of the machine before counts no more');

select throws_ok(format('select tests.enrol_with(jsonb_build_object(''ssh_host_key'', %L::text))', v), '23514', null, 'no host key: ' || v)
from unnest(array['', 'ssh-rsa AAAA', 'ssh-ed25519 AAAA', tests.host_key('A') || ' comment', tests.host_key('A') || E'\n', ' ' || tests.host_key('A')]) v;
select throws_ok(format('select tests.enrol_with(%L)', v), '23514', null, 'no port: ' || v)
from unnest(array['{"ssh_port": 0}', '{"ssh_port": 65536}']) v;

-- Who may read and write it
select is(tests.try('owner', 'select ssh_host_key, ssh_port from account_tool_environments'), '1 rows', 'the owner reads it');
select is(tests.try('owner', 'update account_tool_environments set ssh_host_key = null'), '42501', 'and does not write it');
select is(tests.try('owner', 'update account_tool_environments set ssh_port = 1'), '42501', 'nor the port');
select is(tests.try('service', 'update account_tool_environments set ssh_host_key = null'), '42501', 'the key is written by an enrolment only');
select is(tests.try('service', 'update account_tool_environments set ssh_port = 2222'), '2 rows', 'an operator may say another port');

select * from finish();
rollback;
