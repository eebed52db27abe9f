// What of an application's accesses a user decides about anew. Pure.

import type { Access } from "../api/access.ts";
import type { Choice, McpServer } from "../api/applications.ts";

/** The accesses to servers that are listed, so that one sees and can change them. */
export function offered(before: Access[], servers: McpServer[]): Access[] {
  return before.filter((each) =>
    servers.some((server) =>
      server.toolbox_id === each.toolbox_id &&
      (each.instance_id == null ? server.is_own : server.instance_id === each.instance_id)
    )
  );
}

/** The accesses that are not chosen any more. */
export function takenBack(before: Access[], choices: Choice[]): Access[] {
  return before.filter((each) =>
    !choices.some(({ toolboxId, instanceId }) =>
      toolboxId === each.toolbox_id && instanceId === (each.instance_id ?? null)
    )
  );
}
