import { History, Server, Settings, Store } from "lucide-react";
import type { ComponentType } from "react";

interface Place {
  to: string;
  label: string;
  icon: ComponentType<{ className?: string }>;
  /** What one may type to find it. */
  words: string;
}

/** The places of the rail and of the palette, in their order. A page that is not built yet is not here. */
export const PLACES: Place[] = [
  { to: "/toolboxes", label: "Toolboxes", icon: Server, words: "machines home" },
  { to: "/marketplace", label: "Marketplace", icon: Store, words: "catalog deploy image git new tool" },
  { to: "/activity", label: "Activity", icon: History, words: "events history audit" },
  {
    to: "/settings",
    label: "Settings",
    icon: Settings,
    words: "profile password access tokens connected applications oauth alerts webhook",
  },
];
