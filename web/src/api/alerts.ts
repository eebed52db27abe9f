import { queryOptions } from "@tanstack/react-query";
import { api, rows } from "./client.ts";

export interface Channel {
  id: string;
  name: string;
  kind: "webhook" | "email";
  webhook_url: string | null;
  is_enabled: boolean;
  quiet_from: string | null;
  quiet_until: string | null;
  time_zone: string;
}

export interface Rule {
  id: string;
  channel_id: string;
  kind: string;
  account_tool_environment_id: string | null;
  disk_percent: number | null;
  is_enabled: boolean;
}

export interface Alert {
  id: string;
  account_tool_environment_id: string;
  kind: string;
  subject_name: string;
  opened_at: string;
  last_at: string;
  times: number;
  closed_at: string | null;
}

export interface Message {
  id: string;
  state: "pending" | "delivered" | "failed" | "skipped";
  last_status: number | null;
  last_code: string | null;
}

/** Channels, rules and what they told, in three requests that belong together. */
export const alertsQuery = () =>
  queryOptions({
    queryKey: ["alerts"],
    queryFn: async ({ signal }) => {
      const { tables } = api();
      const [channels, rules, alerts] = await Promise.all([
        // The secret of a webhook is written and never read, so the columns are named.
        rows<Channel[]>(
          tables.from("alert_channels").select(
            "id, name, kind, webhook_url, is_enabled, quiet_from, quiet_until, time_zone",
          ).order("created_at").abortSignal(signal),
        ),
        rows<Rule[]>(
          tables.from("alert_rules").select(
            "id, channel_id, kind, account_tool_environment_id, disk_percent, is_enabled",
          ).order("created_at").abortSignal(signal),
        ),
        rows<Alert[]>(
          tables.from("alerts").select(
            "id, account_tool_environment_id, kind, subject_name, opened_at, last_at, times, closed_at",
          ).order("opened_at", { ascending: false }).limit(50).abortSignal(signal),
        ),
      ]);
      return { channels, rules, alerts };
    },
  });

export const messageQuery = (id: string) =>
  queryOptions({
    queryKey: ["alert-messages", id],
    queryFn: ({ signal }) =>
      rows<Message>(
        api().tables.from("alert_messages").select("id, state, last_status, last_code").eq("id", id)
          .abortSignal(signal).single(),
      ),
  });

export type NewChannel = Pick<Channel, "name" | "kind" | "webhook_url"> & { webhook_secret?: string };
export type NewRule = Pick<Rule, "channel_id" | "kind" | "account_tool_environment_id" | "disk_percent">;

export const alertChanges = {
  addChannel: (channel: NewChannel) => rows(api().tables.from("alert_channels").insert(channel)),
  changeChannel: ({ id, ...change }: Partial<Channel> & { id: string }) =>
    rows(api().tables.from("alert_channels").update(change).eq("id", id)),
  removeChannel: (id: string) => rows(api().tables.from("alert_channels").delete().eq("id", id)),
  testChannel: (channel_id: string) =>
    rows<{ id: string }>(api().tables.from("alert_messages").insert({ channel_id }).select("id").single()),
  addRule: (rule: NewRule) => rows(api().tables.from("alert_rules").insert(rule)),
  changeRule: ({ id, is_enabled }: { id: string; is_enabled: boolean }) =>
    rows(api().tables.from("alert_rules").update({ is_enabled }).eq("id", id)),
  removeRule: (id: string) => rows(api().tables.from("alert_rules").delete().eq("id", id)),
};
