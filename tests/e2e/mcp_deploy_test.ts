/** What a deploy of an MCP server answers: that its container runs is not that it can be used. */
import assert from "node:assert/strict";
import { type ConfigOverride, describe, eventually, startWorld } from "./lib/mod.ts";

Deno.test("a waited deploy of an MCP server says whether it can be used, and what cures it", async (t) => {
  await using world = await startWorld();
  const { tools } = world.owner;
  const wait = { wait: 30 };
  const port = [{ containerPort: 8080 }];

  await t.step("one that works is healthy at once", async () => {
    const reply = await tools.deploy("works", {}, wait);
    assert.equal(reply.status, 201, describe(reply));
    assert.equal(reply.json.message, "Done: deploy; the tool is running");
    assert.equal(reply.json.tool_instance.mcp.state, "healthy", describe(reply));
    assert.equal(reply.json.tool_instance.mcp.server_name, "toolbox-sample-mcp");
  });

  const cases: [string, ConfigOverride, string, RegExp][] = [
    ["path", { endpointPath: "/wrong" }, "not-mcp", /what answers is no MCP server: .*HTTP 404.*set endpointPath/],
    [
      "transport",
      { transport: "sse", endpointPath: "/mcp" },
      "unreachable",
      /its MCP server is unreachable: GET \/mcp .*set transport to streamable-http/,
    ],
    ["websocket", { transport: "websocket" }, "unreachable", /does not bridge websocket; set transport/],
    [
      "inside",
      { command: ["--listen", "127.0.0.1:8080"], portMappings: port },
      "unreachable",
      /MCP server is (unreachable|still starting): .*127\.0\.0\.1.* inside its container.*0\.0\.0\.0.*environmentVariables/,
    ],
  ];
  for (const [name, override, state, message] of cases) {
    await t.step(`${name}: its likely cause and the field that cures it are in the answer`, async () => {
      const reply = await tools.deploy(name, override, wait);
      assert.equal(reply.status, 201, describe(reply));
      assert.equal(reply.json.status, "running");
      assert.match(reply.json.message, message, describe(reply));
      const { mcp } = reply.json.tool_instance;
      assert.ok(mcp.state === state || (name === "inside" && mcp.state === "starting"), describe(reply));
      assert.ok(reply.json.message.endsWith(mcp.evidence), describe(reply));
    });
  }

  await t.step("the cure cures it", async () => {
    const reply = await tools.update("path", { endpointPath: "/mcp" }, wait);
    assert.equal(reply.status, 200, describe(reply));
    assert.equal(reply.json.tool_instance.mcp.state, "healthy", describe(reply));
    // What is read later says the same.
    const view = (await tools.get("path")).json.tool_instance;
    assert.equal(view.mcp.state, "healthy");
    await eventually("the health is reported too", async () => {
      const listed = (await tools.list()).json.tool_instances;
      const { mcp } = listed.find((one: { id: string }) => one.id === view.id);
      return mcp?.state === "healthy" || undefined;
    });
  });

  await t.step("a missing key is named in the error, and its field", async () => {
    const override = { transport: "stdio", command: ["--stdio", "--require-env", "SAMPLE_API_KEY"] };
    const reply = await tools.deploy("keyless", override, wait);
    assert.equal(reply.status, 502, describe(reply));
    assert.equal(reply.json.error.code, "deploy_failed");
    const { message } = reply.json.error.details.reason;
    assert.match(message, /it last logged: .*"SAMPLE_API_KEY".*set environmentVariables/, describe(reply));
  });

  await t.step("a header of the server's own is stored, and read by nobody", async () => {
    const secret = "canary-upstream-5512";
    const override = { upstreamHeaders: { "X-Api-Key": secret }, callTimeoutSeconds: 3600, startTimeoutSeconds: 120 };
    const reply = await tools.deploy("with a header", override, wait);
    assert.equal(reply.status, 201, describe(reply));
    assert.equal(reply.json.tool_instance.mcp.state, "healthy", describe(reply));
    for (const seen of [reply, await tools.get("with a header"), await tools.list()]) {
      assert.ok(!JSON.stringify(seen.json).includes(secret));
    }
    const refused = await tools.deploy("no header", { upstreamHeaders: { Host: secret } }, wait);
    assert.equal(refused.status, 422, describe(refused));
    assert.equal(refused.json.error.details.errors[0].code, "header_reserved");
    assert.ok(!JSON.stringify(refused.json).includes(secret));
  });
});
