/**
 * Runs one deployed function in its own process: `deno run worker.ts <entrypoint>`. Stands in for the platform, which
 * gives the function's `Deno.serve` the requests of its URL. Prints the port it serves on.
 */
type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

const serve = Deno.serve;
Object.defineProperty(Deno, "serve", {
  value: (...args: unknown[]) => {
    const handler = args.find((arg): arg is Handler => typeof arg === "function") ??
      (args[0] as { handler: Handler }).handler;
    return serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(`listening ${port}`) }, handler);
  },
});
Object.defineProperty(globalThis, "EdgeRuntime", { value: { waitUntil: (work: Promise<unknown>) => work } });
await import(Deno.args[0]);
