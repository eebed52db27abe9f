// What operators ask and change. Everything under the key "operators".

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answer, api } from "./client.ts";
import type { components } from "./generated/operators.ts";

type Schemas = components["schemas"];
export type Fleet = Schemas["Fleet"];
export type FleetToolbox = Schemas["FleetToolbox"];
export type FleetRollout = Schemas["FleetRollout"];
export type Entry = Schemas["OperatorCatalogEntry"];
export type EntryRequest = Schemas["CatalogEntryRequest"];
export type UserQuota = Schemas["UserQuota"];
export type OwnQuota = Schemas["OwnQuota"];
export type QuotaLimits = Schemas["QuotaLimits"];

/** So many toolboxes or users come at once. */
export const PAGE = 50;

export const fleetQuery = (show: string, search: string, offset: number) =>
  queryOptions({
    // Rollouts are in it.
    queryKey: ["operators", "fleet", "rollouts", show, search, offset],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      answer(api().operators.GET("/fleet", { params: { query: { show, search, offset } }, signal })),
  });

/** It asks toolboxes, or those that it asked are not done. */
export const isUnderWay = ({ state, counts }: FleetRollout) => state === "running" || counts.asked > 0;

/** One rollout with all its toolboxes. */
export const fleetRolloutQuery = (rolloutId: string) =>
  queryOptions({
    queryKey: ["operators", "rollouts", rolloutId],
    queryFn: ({ signal }) =>
      answer(api().operators.GET("/rollouts/{rolloutId}", { params: { path: { rolloutId } }, signal })),
  });

export const operatorCatalogQuery = () =>
  queryOptions({
    queryKey: ["operators", "catalog"],
    queryFn: ({ signal }) => answer(api().operators.GET("/catalog", { signal })),
  });

export const quotasQuery = (search: string, offset: number) =>
  queryOptions({
    queryKey: ["operators", "quotas", search, offset],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => answer(api().operators.GET("/quotas", { params: { query: { search, offset } }, signal })),
  });

export const operatorChanges = {
  setVersion: (version: string | null) => answer(api().operators.PUT("/agent-version", { body: { version } })),
  beginRollout: (version: string, waveSize: number) =>
    answer(api().operators.POST("/rollouts", { body: { version, waveSize } })),
  stopRollout: (rolloutId: string) =>
    answer(api().operators.POST("/rollouts/{rolloutId}/stop", { params: { path: { rolloutId } } })),
  putEntry: (catalogId: string, body: EntryRequest) =>
    answer(api().operators.PUT("/catalog/{catalogId}", { params: { path: { catalogId } }, body })),
  deleteEntry: (catalogId: string) =>
    answer(api().operators.DELETE("/catalog/{catalogId}", { params: { path: { catalogId } } })),
  setQuota: (userId: string, body: OwnQuota) =>
    answer(api().operators.PUT("/quotas/{userId}", { params: { path: { userId } }, body })),
};
