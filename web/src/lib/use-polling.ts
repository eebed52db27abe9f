import { type QueryKey, useQuery, type UseQueryOptions, type UseQueryResult } from "@tanstack/react-query";
import { isAttended } from "./attended.ts";
import { AT_REST, pollAfter, SLOW } from "./polling.ts";
import { askedAt, failuresOf, queryClient } from "./query-client.ts";
import { useFromNow } from "./use-now.ts";

/**
 * Asks, and goes on asking as `pollAfter` says: often while `isMoving` of the last answer, rarely otherwise, more rarely
 * still where nobody is; never in a hidden tab. What was answered stays on the screen while a later question fails; its age is shown with it.
 */
export function usePolling<T, K extends QueryKey>(
  options: UseQueryOptions<T, Error, T, K>,
  isMoving: (data: T) => boolean = () => false,
  rest: number | ((data: T | undefined) => number) = AT_REST,
): UseQueryResult<T> {
  return useQuery({
    ...options,
    refetchInterval: (query) => {
      const { data } = query.state;
      const moving = data !== undefined && isMoving(data);
      const atRest = typeof rest === "number" ? rest : rest(data);
      return pollAfter({ moving, failures: failuresOf(query), attended: isAttended() }, atRest);
    },
  });
}

/** Since when an answer to one of these questions is late, in milliseconds of this browser's clock; null if none is. */
export function useMissed(keys: QueryKey[]): number | null {
  return useFromNow((now) => {
    for (const queryKey of keys) {
      const query = queryClient.getQueryCache().find({ queryKey, exact: true });
      const asked = query?.state.fetchStatus === "fetching" ? askedAt(query) : null;
      if (asked !== null && now - asked > SLOW) return asked;
    }
    return null;
  });
}
