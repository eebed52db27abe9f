import { useRouterState } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef } from "react";

/** The parts of a page. Each is a link, so that it has an address and the back button is right. */
export function Tabs({ label, children }: { label: string; children: ReactNode }) {
  const nav = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
  // Where there is no room for all of them, the one that is open is in view.
  useEffect(() => {
    nav.current?.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [path]);
  return (
    <nav ref={nav} aria-label={label} className="flex gap-1 overflow-x-auto shadow-[inset_0_-1px_var(--line)]">
      {children}
    </nav>
  );
}

/** How a link in tabs looks, and how the one that is open does. */
export const TAB = {
  className: "border-b-2 px-3 py-2 text-[13px] whitespace-nowrap hover:text-ink",
  activeProps: { className: "border-accent font-medium text-ink" },
  inactiveProps: { className: "border-transparent text-ink-2" },
};
