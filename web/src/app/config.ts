import { ApiError } from "../api/error.ts";

// What a deployment says of itself: config.json beside the page. One bundle serves every project.

export interface Config {
  /** The project's URL, such as https://abc.supabase.co. */
  projectUrl: string;
  /** The project's publishable key. It is no secret. */
  publishableKey: string;
}

const wrong = (message: string) => new ApiError("console_not_configured", message, null);

/** Reads config.json; throws a sentence that names what is wrong with it. */
export async function readConfig(): Promise<Config> {
  const reply = await fetch("/config.json", { cache: "no-cache", signal: AbortSignal.timeout(10_000) });
  if (!reply.ok) throw wrong(`config.json could not be read: the host answered ${reply.status}`);
  let said: Partial<Config>;
  try {
    said = await reply.json();
  } catch {
    throw wrong("config.json is no JSON: the host has to serve it beside index.html");
  }
  const { projectUrl, publishableKey } = said;
  if (typeof projectUrl !== "string" || !/^https?:\/\//.test(projectUrl)) throw wrong("config.json has no projectUrl");
  if (typeof publishableKey !== "string" || publishableKey === "") throw wrong("config.json has no publishableKey");
  return { projectUrl: projectUrl.replace(/\/$/, ""), publishableKey };
}
