import { queryOptions } from "@tanstack/react-query";
import { answer, api, rows } from "./client.ts";
import type { components } from "./generated/toolbox-dtma-console.ts";

export type Rollout = components["schemas"]["Rollout"];

/** The user's last rollouts, the newest first. */
export const rolloutsQuery = () =>
  queryOptions({
    queryKey: ["rollouts"],
    queryFn: ({ signal }) =>
      rows<Rollout[]>(
        api().tables.from("rollouts").select("id, version, wave_size, state, toolboxes, reason, created_at, ended_at")
          .order("created_at", { ascending: false }).limit(10).abortSignal(signal)
          .overrideTypes<Rollout[], { merge: false }>(),
      ),
  });

export const beginRollout = (version: string, waveSize: number, toolboxIds: string[]) =>
  answer(
    api().machine.POST("/rollouts", {
      body: { ...(version !== "" && { version }), waveSize, toolboxIds },
    }),
  );

export const stopRollout = (rolloutId: string) =>
  answer(api().machine.POST("/rollouts/{rolloutId}/stop", { params: { path: { rolloutId } } }));
