import { Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect } from "react";
import { useSession } from "./session.ts";

/** A page without the frame, for somebody who signed in; who signs out of it signs in again to the same page. */
export function Asked() {
  const { session } = useSession();
  const navigate = useNavigate();
  const here = useRouterState({ select: (state) => state.location.href });
  useEffect(() => {
    if (session === null) void navigate({ to: "/sign-in", search: { next: here }, replace: true });
  }, [session, here, navigate]);
  return session === null ? null : <Outlet key={session.user.id} />;
}
