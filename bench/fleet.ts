// DTMA's memory with fifty MCP servers behind its bridge.

import { inTurns } from "./docker.ts";
import { startAgent, stdioTool } from "./dtma.ts";
import { residentMb } from "./host.ts";
import { openSession } from "./mcp.ts";
import { type Line, samples } from "./report.ts";

const TOOLS = 50;
const IDLE_SECONDS = 10;

/** Deploys fifty servers that speak over standard streams, opens a session with each over TLS, and lets them be idle. */
export async function benchFleet(program: string): Promise<Line[]> {
  const agent = await startAgent(program, { tls: true });
  try {
    const ids = Array.from({ length: TOOLS }, () => crypto.randomUUID());
    await inTurns(ids, 4, async (id) => {
      const { phase } = await agent.call("PUT", `/tools/${id}`, stdioTool(id));
      if (phase !== "running") throw new Error(`the server ${id} is "${phase}" instead of "running"`);
    });
    const deployed = await resting(agent.pid);
    await inTurns(ids, 4, (id) =>
      openSession({
        url: `${agent.url}/mcp/${id}`,
        client: agent.client,
        headers: { authorization: `Bearer ${agent.key}` },
        echo: "echo",
      }));
    const bridged = await resting(agent.pid);
    const line = (note: string, value: number): Line => ({
      measure: `DTMA resident, ${TOOLS} stdio MCP servers`,
      note,
      unit: "MB",
      ours: samples([value]),
      target: { limit: 20, of: "value", better: "less" },
    });
    return [line("deployed", deployed), line("each with a session over TLS", bridged)];
  } finally {
    await agent.stop();
  }
}

async function resting(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
  return residentMb(pid);
}
