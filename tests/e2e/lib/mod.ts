/** What the end-to-end tests share. Start with {@link startWorld}. */
export * from "./agent.ts";
export * from "./callers.ts";
export * from "./console.ts";
export * from "./db.ts";
export * from "./docker.ts";
export * from "./http.ts";
export * from "./keys.ts";
export * from "./machine.ts";
export * from "./mcp.ts";
export * from "./names.ts";
export * from "./oauth.ts";
export * from "./routes.ts";
export * as tokens from "./tokens.ts";
export * from "./tools.ts";
export * from "./wait.ts";
export * from "./world.ts";
