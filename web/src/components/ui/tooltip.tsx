import { Tooltip as Radix } from "radix-ui";
import type { ReactNode } from "react";

/** What else is known of something, on hover and on focus. The trigger must be focusable. */
export function Tooltip({ text, children }: { text: ReactNode; children: ReactNode }) {
  return (
    <Radix.Root>
      <Radix.Trigger asChild>{children}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          sideOffset={6}
          collisionPadding={12}
          className="z-50 max-w-sm rounded-md border border-line bg-surface px-2.5 py-1.5 text-xs text-ink-2 shadow-raised"
        >
          {text}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

export const TooltipProvider = Radix.Provider;
