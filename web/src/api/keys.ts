import { queryOptions } from "@tanstack/react-query";
import { api, rows } from "./client.ts";

interface Keys {
  dtma_key_id: string | null;
  dtma_certificate_sha256: string | null;
  ssh_host_key: string | null;
  dtma_port: number;
  ssh_port: number;
}

/** By which keys a machine is known. The keys themselves are nowhere; these are names, fingerprints and public halves. */
export const keysQuery = (toolboxId: string) =>
  queryOptions({
    queryKey: ["toolboxes", toolboxId, "keys"],
    queryFn: ({ signal }) =>
      rows<Keys | null>(
        api().tables.from("account_tool_environments")
          .select("dtma_key_id, dtma_certificate_sha256, ssh_host_key, dtma_port, ssh_port").eq("id", toolboxId)
          .abortSignal(signal).maybeSingle(),
      ),
  });
