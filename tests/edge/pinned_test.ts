// An enrolled agent is trusted by exactly its own certificate.
import assert from "node:assert/strict";
import {
  all,
  caller,
  claims,
  environment,
  FUNCTION,
  HS_SECRET,
  hsSigner,
  json,
  supabase,
  token,
  TOOLBOX,
  toolList,
  Upstream,
  view,
  Worker,
} from "./harness.ts";

/** A new self-signed certificate for 127.0.0.1, as an agent makes one at its first start. */
async function certificate(): Promise<{ key: string; cert: string }> {
  const folder = await Deno.makeTempDir();
  const made = await new Deno.Command("openssl", {
    args: "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=dtma".split(" ")
      .concat(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
      .concat(["-keyout", `${folder}/key.pem`, "-out", `${folder}/cert.pem`]),
    stderr: "null",
  }).output();
  if (!made.success) throw new Error("openssl could not make a certificate");
  const read = (name: string) => Deno.readTextFile(`${folder}/${name}.pem`);
  const pair = { key: await read("key"), cert: await read("cert") };
  await Deno.remove(folder, { recursive: true });
  return pair;
}

Deno.test("only the agent with the pinned certificate is talked to", async () => {
  const [own, other] = [await certificate(), await certificate()];
  const agent = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {}, ...own }, () => toolList(view()));
  const plain = supabase((agent.addr as Deno.NetAddr).port);
  let pinned: string | null = own.cert;
  const database = new Upstream(async (request, url) => {
    const answer = await plain(request, url);
    if (!url.pathname.includes("environments")) return answer;
    const [toolbox] = await answer.json();
    return json([{ ...toolbox, dtma_certificate_pem: pinned }]);
  });
  const worker = await Worker.start(FUNCTION, environment(database.port));
  await using _all = all(database, worker);
  const ask = caller(worker, await token({ alg: "HS256" }, claims(database.port), await hsSigner(HS_SECRET)));
  const list = async () => {
    const { success, agent } = await (await ask(`/${TOOLBOX}/tools`)).json();
    return [success, agent.code];
  };
  for (let n = 0; n < 3; n++) assert.deepEqual(await list(), [true, undefined]);
  pinned = other.cert;
  assert.deepEqual(await list(), [false, "agent_certificate_invalid"]);
  pinned = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";
  assert.deepEqual(await list(), [false, "agent_certificate_invalid"]);
  pinned = own.cert;
  assert.deepEqual(await list(), [true, undefined]);
  await agent.shutdown();
});
