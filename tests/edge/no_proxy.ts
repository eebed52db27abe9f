// toolbox-tools in a runtime whose clients know no proxy.
const { createHttpClient } = Deno;
Object.assign(Deno, { createHttpClient: ({ caCerts }: { caCerts: string[] }) => createHttpClient({ caCerts }) });

await import("../../supabase/functions/toolbox-tools/index.ts");
