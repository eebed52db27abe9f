import type { Session } from "@supabase/auth-js";
import { useSyncExternalStore } from "react";
import { api, STORAGE_KEY } from "../api/client.ts";
import { queryClient } from "../lib/query-client.ts";
import { forgetCommands } from "./commands.ts";

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

/** Nothing of one account is left for the next. */
function forget(): void {
  queryClient.clear();
  forgetCommands();
}

/** Reads the stored session and follows it from then on: other tabs, refreshes, its end. */
export async function startSession(): Promise<void> {
  const { auth } = api();
  auth.onAuthStateChange((event, session) => {
    if (event === "SIGNED_OUT") {
      set({ session: null, ended: state.session !== null && !leaving, recovering: false });
      leaving = false;
      forget();
    } else {
      if (session?.user.id !== state.session?.user.id) forget();
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
  const { auth } = api();
  const { error } = await auth.signOut({ scope: "local" });
  if (error === null) return;
  // Without an answer of the server the session stays stored; once it is taken from there, signing out asks nobody.
  localStorage.removeItem(STORAGE_KEY);
  await auth.signOut({ scope: "local" });
}

export async function signOut(): Promise<void> {
  leaving = true;
  await endSession();
}
