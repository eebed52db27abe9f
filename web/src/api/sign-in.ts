import { queryOptions } from "@tanstack/react-query";
import { api, DEADLINE, within } from "./client.ts";
import { fromAnswer } from "./error.ts";

/** Ways in that are no page of somebody else. */
const OWN = new Set(["email", "phone", "anonymous_users"]);

/** Where providers and mails lead back to: the page that goes on to where one wanted to. */
export function signInUrl(next: string | undefined): string {
  return `${location.origin}/sign-in${next === undefined ? "" : `?next=${encodeURIComponent(next)}`}`;
}

/** What the project's sign-in says of itself: whether one may sign up, and which providers there are. */
export const signInSettingsQuery = () =>
  queryOptions({
    queryKey: ["sign-in-settings"],
    staleTime: 10 * 60_000,
    queryFn: async ({ signal }) => {
      const { projectUrl, publishableKey } = api().config;
      const reply = await fetch(`${projectUrl}/auth/v1/settings`, {
        headers: { apikey: publishableKey },
        signal: within(DEADLINE, signal),
      });
      const said = await reply.json() as { disable_signup?: boolean; external?: Record<string, boolean> };
      if (!reply.ok) throw fromAnswer(reply.status, said);
      const providers = Object.entries(said.external ?? {}).filter(([name, on]) => on && !OWN.has(name));
      return { maySignUp: said.disable_signup !== true, providers: providers.map(([name]) => name) };
    },
  });
