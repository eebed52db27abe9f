import { type QueryKey, useQuery, type UseQueryOptions, type UseQueryResult } from "@tanstack/react-query";
import { AT_REST, pollAfter } from "./polling.ts";
import { failuresOf } from "./query-client.ts";

/**
 * Asks, and goes on asking as `pollAfter` says: often while `isMoving` of the last answer, rarely otherwise; never in a
 * hidden tab. What was answered stays on the screen while a later question fails; its age is shown with it.
 */
export function usePolling<T, K extends QueryKey>(
  options: UseQueryOptions<T, Error, T, K>,
  isMoving: (data: T) => boolean = () => false,
  rest = AT_REST,
): UseQueryResult<T> {
  return useQuery({
    ...options,
    refetchInterval: (query) => {
      const moving = query.state.data !== undefined && isMoving(query.state.data);
      return pollAfter({ moving, failures: failuresOf(query) }, rest);
    },
  });
}
