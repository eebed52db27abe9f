import type { Session } from "@supabase/auth-js";
import { History, Layers, Server, Settings, ShieldUser, Store } from "lucide-react";
import type { ComponentType } from "react";

interface Place {
  to: string;
  label: string;
  icon: ComponentType<{ className?: string }>;
  /** What one may type to find it. */
  words: string;
}

const PLACES: Place[] = [
  { to: "/toolboxes", label: "Toolboxes", icon: Server, words: "machines home" },
  { to: "/marketplace", label: "Marketplace", icon: Store, words: "catalog deploy image git new tool" },
  { to: "/activity", label: "Activity", icon: History, words: "events history audit" },
  { to: "/rollouts", label: "Rollouts", icon: Layers, words: "agents fleet redeploy versions waves update" },
  {
    to: "/settings",
    label: "Settings",
    icon: Settings,
    words: "profile password access tokens connected applications oauth alerts webhook",
  },
];

const OPERATORS: Place = {
  to: "/operators",
  label: "Operators",
  icon: ShieldUser,
  words: "fleet all toolboxes users agents versions catalog entries quotas",
};

/** The project says that they look after everybody's toolboxes. It decides what is shown; the function reads the token itself. */
export function isOperator(session: Session | null): boolean {
  return session?.user.app_metadata.toolbox_role === "operator";
}

/** The places of the rail and of the palette, in their order. A page that is not built yet is not here. */
export function placesOf(session: Session | null): Place[] {
  return isOperator(session) ? [...PLACES, OPERATORS] : PLACES;
}
