import type { Session } from "@supabase/supabase-js";
import { useSyncExternalStore } from "react";
import { api } from "../api/client.ts";
import { queryClient } from "../lib/query-client.ts";

/** ended: it was there, and somebody or something other than this page ended it. */
export interface SessionState {
  session: Session | null;
  ended: boolean;
  /** The link in a mail was opened: a new password is to be chosen. */
  recovering: boolean;
}

let state: SessionState = { session: null, ended: false, recovering: false };
let leaving = false;
const listeners = new Set<() => void>();

function set(next: SessionState): void {
  state = next;
  for (const listener of listeners) listener();
}

/** Reads the stored session and follows it from then on: other tabs, refreshes, its end. */
export async function startSession(): Promise<void> {
  const { auth } = api().supabase;
  auth.onAuthStateChange((event, session) => {
    if (event === "SIGNED_OUT") {
      set({ session: null, ended: state.session !== null && !leaving, recovering: false });
      leaving = false;
      // Nothing of one account is left for the next.
      queryClient.clear();
    } else {
      if (session?.user.id !== state.session?.user.id) queryClient.clear();
      set({
        session,
        ended: false,
        recovering: event === "PASSWORD_RECOVERY" || (state.recovering && session !== null),
      });
    }
  });
  const { data } = await auth.getSession();
  if (data.session !== null) set({ ...state, session: data.session });
}

export const currentSession = (): SessionState => state;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSession(): SessionState {
  return useSyncExternalStore(subscribe, currentSession);
}

/** The server takes this session no more: it is forgotten, and the page asks to sign in again. */
export async function endSession(): Promise<void> {
  await api().supabase.auth.signOut({ scope: "local" });
  set({ session: null, ended: true, recovering: false });
}

export async function signOut(): Promise<void> {
  leaving = true;
  // Without an answer of the server the session is forgotten here all the same.
  const { error } = await api().supabase.auth.signOut({ scope: "local" });
  if (error !== null) set({ session: null, ended: false, recovering: false });
}
