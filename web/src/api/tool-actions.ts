import { useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "./client.ts";

export type ToolAction = "start" | "stop" | "restart" | "delete";

/** Asks for a change of a tool; what is on the screen is read anew afterwards. */
export function useToolAction(toolboxId: string, instance: string, onDone: (action: ToolAction) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (action: ToolAction) => {
      const params = { path: { toolboxId, instance } };
      const { tools } = api();
      switch (action) {
        case "start":
          return answer(tools.POST("/{toolboxId}/tools/{instance}/start", { params }));
        case "stop":
          return answer(tools.POST("/{toolboxId}/tools/{instance}/stop", { params }));
        case "restart":
          return answer(tools.POST("/{toolboxId}/tools/{instance}/restart", { params }));
        case "delete":
          return answer(tools.DELETE("/{toolboxId}/tools/{instance}", { params }));
      }
    },
    onSuccess: (_, action) => onDone(action),
    onSettled: async () => {
      await client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "tools"] });
      await client.invalidateQueries({ queryKey: ["tool-rows"] });
    },
  });
}
