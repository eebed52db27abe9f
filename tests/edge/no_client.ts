// toolbox-tools in a runtime that has no Deno.createHttpClient.
delete (Deno as { createHttpClient?: unknown }).createHttpClient;

await import("../../supabase/functions/toolbox-tools/index.ts");
