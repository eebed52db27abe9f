// toolbox-tools in a runtime that lacks what pins a certificate.
const { createHttpClient } = Deno;
const instead: Record<string, unknown> = {
  "no client": undefined,
  "no proxy": ({ caCerts }: { caCerts: string[] }) => createHttpClient({ caCerts }),
  "denied": () => {
    throw new Deno.errors.PermissionDenied("Requires net access");
  },
};
Object.assign(Deno, { createHttpClient: instead[Deno.env.get("TEST_RUNTIME") ?? ""] });

await import("../../supabase/functions/toolbox-tools/index.ts");
