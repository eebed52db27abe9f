#!/opt/matrix/node_modules/node/bin/node
// What the owner's browser does when a client opens it at an authorization: the owner is signed in, lets the program in to the
// toolbox, approves, and is sent back to the client. With --print it says where to instead of going there.
import { readFileSync } from "node:fs";
import process from "node:process";

// Who is signed in, and where: `url`, `apikey`, `token`, `toolboxId`.
const owner = JSON.parse(readFileSync("/tmp/owner.json", "utf8"));
const asked = process.argv.find((argument) => argument.startsWith("http"));

async function ask(path, body) {
  const answer = await fetch(owner.url + path, {
    method: body ? "POST" : "GET",
    headers: { apikey: owner.apikey, authorization: `Bearer ${owner.token}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
  return JSON.parse(text);
}

const page = await fetch(asked, { redirect: "manual" });
const consent = new URL(page.headers.get("location"));
const authorization = `/auth/v1/oauth/authorizations/${consent.searchParams.get("authorization_id")}`;
const clientId = new URL(asked).searchParams.get("client_id");
let { redirect_url: back } = await ask(authorization);
await ask(`/functions/v1/toolbox-tools/${owner.toolboxId}/mcp-access`, { name: "matrix", clientId });
back ??= (await ask(`${authorization}/consent`, { action: "approve" })).redirect_url;
if (process.argv.includes("--print")) process.stdout.write(back);
else await fetch(back);
