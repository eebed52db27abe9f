import type { ReactNode } from "react";
import { cn } from "@/lib/utils.ts";

/** A list that is another than the one that was asked for, until that one is there: grey, and nothing in it can be pressed. */
export function Awaited({ isOther, children }: { isOther: boolean; children: ReactNode }) {
  return <div inert={isOther} aria-busy={isOther} className={cn(isOther && "opacity-50")}>{children}</div>;
}
