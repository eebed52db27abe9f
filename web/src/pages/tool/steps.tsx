import { Check, Circle, LoaderCircle } from "lucide-react";
import { stepsOf } from "@/lib/steps.ts";
import type { Tool } from "@/lib/states.ts";
import { cn } from "@/lib/utils.ts";

/** What is under way until the tool can be used, as its machine tells it. */
export function Steps({ tool }: { tool: Tool }) {
  const steps = stepsOf(tool);
  if (steps === null) return null;
  return (
    <ol aria-label="What is under way" className="grid gap-2 rounded-md border border-line bg-surface p-4 text-[13px]">
      {steps.map(({ name, state, detail }) => (
        <li
          key={name}
          aria-current={state === "now" ? "step" : undefined}
          className={cn("flex items-start gap-2", state === "next" && "text-ink-3")}
        >
          {state === "done"
            ? <Check aria-label="done" className="mt-0.5 size-4 shrink-0 text-ok" />
            : state === "now"
            ? <LoaderCircle aria-label="under way" className="mt-0.5 size-4 shrink-0 animate-spin text-moving" />
            : <Circle aria-label="not yet" className="mt-0.5 size-4 shrink-0 text-ink-3" />}
          <span className="min-w-0">
            <span className={state === "now" ? "font-medium" : undefined}>{name}</span>
            {detail && <span role="status" className="block break-words text-ink-2">{detail}</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}
