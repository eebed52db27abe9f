import { queryOptions } from "@tanstack/react-query";
import type { CatalogEntry } from "../lib/catalog.ts";
import { api, rows } from "./client.ts";

/** Everything that can be deployed. It changes with migrations and by operators, seldom. */
export const catalogQuery = () =>
  queryOptions({
    queryKey: ["catalog"],
    staleTime: 5 * 60_000,
    queryFn: ({ signal }) =>
      rows<CatalogEntry[]>(
        api().tables.from("tool_catalog").select(
          "id, name, tool_name, description, category, provider, documentation_url, packaging_type, docker_image_url, " +
            "default_spec, required_config_schema, required_secrets_schema, status, version",
        ).order("name").limit(1000).abortSignal(signal).overrideTypes<CatalogEntry[], { merge: false }>(),
      ),
  });
