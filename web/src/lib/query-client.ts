import { type Query, QueryCache, QueryClient } from "@tanstack/react-query";

const failures = new WeakMap<object, number>();

/** How often a question has failed since it was last answered. */
export function failuresOf(query: object): number {
  return failures.get(query) ?? 0;
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (_error, query: Query<unknown, unknown, unknown>) => failures.set(query, failuresOf(query) + 1),
    onSuccess: (_data, query: Query<unknown, unknown, unknown>) => failures.delete(query),
  }),
  defaultOptions: {
    // Polling asks again by itself, and says meanwhile what failed.
    queries: { retry: false, staleTime: 1_000, gcTime: 10 * 60_000, networkMode: "always" },
    mutations: { retry: false, networkMode: "always" },
  },
});
